"""What becomes of an event between the domain and the table."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.catalogue import EVENTS, UPCASTERS
from domain.deployments.events import DeploymentScaled
from domain.identity.events import SessionEnded, UserRegistered
from domain.identity.user import USER
from domain.kernel.events import ERASED, Event, personal_fields
from infrastructure.event_store import Metadata, RecordedEvent, UnreadableEvent
from infrastructure.event_store.codec import JsonCodec
from infrastructure.sealing import KeyDestroyed
from tests.wiring import Installation


def registered(user_id: str = "usr-0000000001", **changes: str) -> UserRegistered:
    content: dict[str, Any] = {
        "team_id": "org-0000000001",
        "username": "anna",
        "email": "anna@example.com",
        "password_hash": "$argon2id$...",
    }
    return UserRegistered(user_id=user_id, **{**content, **changes})


def recorded(topic: str, data: bytes) -> RecordedEvent:
    return RecordedEvent(
        position=1,
        stream_id="s",
        version=1,
        topic=topic,
        data=data,
        event_id=uuid4(),
        metadata=Metadata(),
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


async def test_personal_fields_are_unreadable_in_the_table_and_readable_with_the_key(
    installation: Installation,
) -> None:
    anna = await installation.register("anna")
    [stored] = await installation.store.read_stream(anna.user_id)
    for personal in (b"anna", b"example.com", b"argon2"):
        assert personal not in stored.data
    for column in await installation.query("SELECT row_to_json(e)::text AS whole FROM events e"):
        assert "anna" not in column["whole"]
    codec = JsonCodec(EVENTS, UPCASTERS, installation.another_vault())
    [event] = await codec.decode_all([stored])
    assert isinstance(event, UserRegistered)
    assert (event.username, event.email) == ("anna", "anna@example.com")


async def test_once_the_key_is_gone_personal_fields_read_erased_and_replay_still_works(
    installation: Installation,
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    await installation.as_admin("DELETE FROM subject_keys WHERE subject = %s", anna.user_id)
    codec = JsonCodec(EVENTS, UPCASTERS, installation.another_vault())
    replayed = [
        USER.replay(await codec.decode_all(await installation.store.read_stream(person.user_id)))  # type: ignore[arg-type]
        for person in (anna, bert)
    ]
    assert [user and (user.username, user.email) for user in replayed] == [
        (ERASED, ERASED),
        ("bert", "bert@example.com"),
    ]
    assert replayed[0] is not None
    assert replayed[0].user_id == anna.user_id


async def test_nothing_is_encoded_for_somebody_whose_key_is_gone(
    installation: Installation,
) -> None:
    with pytest.raises(KeyDestroyed):
        await installation.codec.encode_all([registered()])


async def test_the_same_event_is_sealed_differently_each_time(installation: Installation) -> None:
    await installation.vault.create("usr-0000000001")
    [(_, first), (_, second)] = await installation.codec.encode_all([registered(), registered()])
    assert first != second


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
async def test_every_text_comes_back_as_it_went_in(installation: Installation, text: str) -> None:
    await installation.vault.create("usr-0000000001")
    for event in (registered(email=text, username=text), SessionEnded(reason=text)):
        [(topic, data)] = await installation.codec.encode_all([event])
        assert installation.codec.decode(topic, data) == event


async def test_a_nul_and_a_huge_text_are_stored_and_read_back(installation: Installation) -> None:
    events = [SessionEnded(reason="\0"), SessionEnded(reason="x" * 3_000_000)]
    await installation.append("ses-0000000001", *events)
    stored = await installation.store.read_stream("ses-0000000001")
    assert await installation.codec.decode_all(stored) == events


def test_half_a_character_cannot_become_an_event(installation: Installation) -> None:
    with pytest.raises(UnicodeEncodeError):
        installation.codec.encode(SessionEnded(reason="\ud800"))


DEEP = 200_000
SEALED_FOR_NOBODY = "sealed:1:usr-0000000001:" + "A" * 40


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        ("nobody.Knows@1", b"{}"),
        ("deployments.DeploymentScaled@2", b'{"replicas":1,"previously":1}'),
        ("deployments.DeploymentScaled", b'{"replicas":1,"previously":1}'),
        ("os:system@1", b"{}"),
        ("deployments.DeploymentScaled@1", b""),
        ("deployments.DeploymentScaled@1", b"not JSON"),
        ("deployments.DeploymentScaled@1", b'{"replicas":"many","previously":1}'),
        ("deployments.DeploymentScaled@1", b'{"replicas":NaN,"previously":1}'),
        ("deployments.DeploymentScaled@1", b'{"replicas":1}'),
        ("deployments.DeploymentScaled@1", b"[]"),
        ("deployments.DeploymentScaled@1", b"null"),
        ("deployments.DeploymentScaled@1", b"[" * DEEP + b"]" * DEEP),
        (
            "deployments.DeploymentScaled@1",
            b'{"replicas":1,"previously":1,"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
        ),
        ("identity.SessionEnded@1", b'{"reason":"\\ud800"}'),
        ("identity.SessionEnded@1", b'{"reason":"\xff"}'),
        (
            "identity.UserRegistered@1",
            b'{"user_id":"usr-0000000001","team_id":"t","username":"clear","email":"e",\
"password_hash":"p"}',
        ),
        (
            "identity.UserRegistered@1",
            f'{{"user_id":"usr-0000000001","team_id":"t","username":"{SEALED_FOR_NOBODY}",'
            f'"email":"{SEALED_FOR_NOBODY}","password_hash":"{SEALED_FOR_NOBODY}"}}'.encode(),
        ),
    ],
)
async def test_what_cannot_be_read_is_an_error_in_its_place_and_nothing_else(
    installation: Installation, topic: str, data: bytes
) -> None:
    await installation.vault.create("usr-0000000001")
    good = recorded(*installation.codec.encode(DeploymentScaled(replicas=1, previously=2)))
    first, bad, last = await installation.codec.decode_all([good, recorded(topic, data), good])
    assert isinstance(bad, UnreadableEvent)
    assert first == last == DeploymentScaled(replicas=1, previously=2)


async def test_a_sealed_text_moved_to_another_field_is_unreadable(
    installation: Installation,
) -> None:
    await installation.vault.create("usr-0000000001")
    topic, data = installation.codec.encode(registered())
    content = msgspec.json.decode(data)
    content["username"] = content["password_hash"]
    [event] = await installation.codec.decode_all([recorded(topic, msgspec.json.encode(content))])
    assert isinstance(event, UnreadableEvent)


class LimitSet(Event, frozen=True, kw_only=True):
    """An event of this test that once had other fields."""

    per_minute: int
    scope: str


def split_scope(content: dict[str, object]) -> dict[str, object]:
    return {**content, "scope": "team"}


def to_minutes(content: dict[str, object]) -> dict[str, object]:
    return {"per_minute": int(str(content["per_second"])) * 60}


def codec_with(
    installation: Installation,
    upcasters: dict[str, Callable[[dict[str, object]], dict[str, object]]],
) -> JsonCodec:
    return JsonCodec({"test.LimitSet@3": LimitSet}, upcasters, installation.vault)


def test_an_old_version_is_lifted_step_by_step(installation: Installation) -> None:
    codec = codec_with(
        installation, {"test.LimitSet@1": to_minutes, "test.LimitSet@2": split_scope}
    )
    expected = LimitSet(per_minute=120, scope="team")
    assert codec.decode("test.LimitSet@1", b'{"per_second":2}') == expected
    assert codec.decode("test.LimitSet@2", b'{"per_minute":120}') == expected
    assert codec.decode("test.LimitSet@3", b'{"per_minute":120,"scope":"team"}') == expected
    assert codec.encode(expected)[0] == "test.LimitSet@3"


@pytest.mark.parametrize("data", [b"{}", b"[]", b'{"per_second":"x"}', b"null", b"1"])
async def test_what_an_upcaster_cannot_lift_is_unreadable(
    installation: Installation, data: bytes
) -> None:
    codec = codec_with(
        installation, {"test.LimitSet@1": to_minutes, "test.LimitSet@2": split_scope}
    )
    [event] = await codec.decode_all([recorded("test.LimitSet@1", data)])
    assert isinstance(event, UnreadableEvent)


def test_a_field_that_somebody_newer_added_is_ignored(installation: Installation) -> None:
    data = b'{"replicas":1,"previously":2,"added_later":[1,2]}'
    decoded = installation.codec.decode("deployments.DeploymentScaled@1", data)
    assert decoded == DeploymentScaled(replicas=1, previously=2)


def test_every_event_with_personal_fields_says_whose_they_are() -> None:
    for kind in EVENTS.values():
        if personal_fields(kind):
            assert "user_id" in kind.__struct_fields__, f"{kind.__name__} needs a user_id"
