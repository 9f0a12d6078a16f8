"""Against a server that publishes keys as GitHub does."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from infrastructure.report_signatures import SignersAway, WrongSignature
from infrastructure.report_signatures.published_keys import ANSWER_BYTES_MAX, PublishedKeySignatures
from tests.infrastructure.report_signatures.publisher import Publisher, publishing

BODY = b'[{"token": "tp_live_...", "type": "tallyport_api_key"}]'


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    async with publishing() as opened:
        opened.publish("first")
        yield opened


async def refused(signatures: PublishedKeySignatures, identifier: str, signature: str) -> None:
    with pytest.raises(WrongSignature):
        await signatures.check(BODY, key_identifier=identifier, signature=signature)


async def test_only_what_was_signed_is_taken(publisher: Publisher) -> None:
    publisher.publish("second")
    publisher.publish("another curve", ec.SECP384R1())
    signatures = PublishedKeySignatures(publisher.url)
    good = publisher.sign(BODY, "first")
    await signatures.check(BODY, key_identifier="first", signature=good)
    for identifier, signature in (
        ("second", good),
        ("third", good),
        ("", good),
        ("first", ""),
        ("first", "no base64!"),
        ("first", good[:-4]),
        ("first", publisher.sign(BODY + b" ", "first")),
        ("another curve", publisher.sign(BODY, "another curve")),
    ):
        await refused(signatures, identifier, signature)
    with pytest.raises(WrongSignature):
        await signatures.check(BODY + b"\n", key_identifier="first", signature=good)


async def test_keys_are_fetched_once_and_again_when_they_are_old_or_a_new_one_is_named(
    publisher: Publisher,
) -> None:
    clock = Clock()
    signatures = PublishedKeySignatures(publisher.url, clock=clock)
    good = publisher.sign(BODY, "first")
    await asyncio.gather(
        *(signatures.check(BODY, key_identifier="first", signature=good) for _ in range(20))
    )
    assert publisher.asked == 1
    clock.now += 3600
    await signatures.check(BODY, key_identifier="first", signature=good)
    assert publisher.asked == 2

    publisher.publish("next")
    signed_by_next = publisher.sign(BODY, "next")
    await refused(signatures, "next", signed_by_next)  # asked a moment ago
    assert publisher.asked == 2
    clock.now += 30
    await signatures.check(BODY, key_identifier="next", signature=signed_by_next)
    for made_up in range(100):
        await refused(signatures, f"made up {made_up}", good)
    assert publisher.asked == 3

    del publisher.private_keys["first"]
    clock.now += 3600
    await refused(signatures, "first", good)


async def test_a_publisher_that_is_away_or_talks_nonsense_is_no_reason_to_believe_anything(
    publisher: Publisher,
) -> None:
    clock = Clock()
    signatures = PublishedKeySignatures(publisher.url, clock=clock)
    good = publisher.sign(BODY, "first")
    answers = [
        ("500 Internal Server Error", b""),
        ("302 Found", b""),
        ("200 OK", b"<html>"),
        ("200 OK", b'{"public_keys": 7}'),
        ("200 OK", b" " * (ANSWER_BYTES_MAX + 1)),
    ]
    for number, publisher.answer in enumerate(answers, start=1):
        for _ in range(3):  # and is not asked again at once
            with pytest.raises(SignersAway):
                await signatures.check(BODY, key_identifier="first", signature=good)
        assert publisher.asked == number
        clock.now += 30
    publisher.answer = None
    await signatures.check(BODY, key_identifier="first", signature=good)
    publisher.answer = answers[0]
    clock.now += 30
    await signatures.check(BODY, key_identifier="first", signature=good)  # still fresh
    assert publisher.asked == len(answers) + 1
    clock.now += 3600
    with pytest.raises(SignersAway):
        await signatures.check(BODY, key_identifier="first", signature=good)


async def test_keys_that_cannot_be_read_do_not_hide_the_others(publisher: Publisher) -> None:
    listed = publisher._published().replace(
        b'[{"key_id', b'[{"key_identifier": "x", "key": "no PEM"}, {"key_id', 1
    )
    publisher.answer = ("200 OK", listed)
    signatures = PublishedKeySignatures(publisher.url)
    good = publisher.sign(BODY, "first")
    await signatures.check(BODY, key_identifier="first", signature=good)
    await refused(signatures, "x", good)
