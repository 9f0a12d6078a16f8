"""Ordering certificates from a real ACME server."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificates

from infrastructure.acme import CannotIssue, OrderGone, new_private_key
from infrastructure.acme.library import AcmeAuthority
from infrastructure.certificates import Certificate
from infrastructure.certificates.inspecting import facts_of_pem
from tests.infrastructure.acme.pebble import Pebble
from tests.wiring import Installation


class Answers:
    """What is answered on port 80, wherever a name leads."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.asked: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            token = head.split(" ")[1].rpartition("/")[2]
            self.asked.append(re.search(r"(?im)^host: ([^:\r]+)", head)[1])  # type: ignore[index]
            body = self.answers.get(token, "nobody told me").encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
                % (len(body), body)
            )
            await writer.drain()
            writer.close()
            await writer.wait_closed()


@pytest.fixture
async def answers() -> AsyncIterator[Answers]:
    answers = Answers()
    await answers.start()
    yield answers
    await answers.stop()


@pytest.fixture
async def pebble(tmp_path: Path, answers: Answers) -> AsyncIterator[Pebble]:
    async with Pebble(tmp_path, http_port=answers.port) as pebble:
        yield pebble


@pytest.fixture
async def authority(installation: Installation, pebble: Pebble) -> AsyncIterator[AcmeAuthority]:
    made = authority_of(installation, pebble)
    yield made
    await made.close()


def authority_of(installation: Installation, pebble: Pebble) -> AcmeAuthority:
    return AcmeAuthority(
        pebble.directory,
        installation.certificates,
        email="admin@example.com",
        ca_file=pebble.ca_file,
        poll_seconds=0.05,
        patience_seconds=20,
    )


async def ordered(authority: AcmeAuthority, answers: Answers, host: str) -> tuple[str, Certificate]:
    url, key = await authority.begin(host), new_private_key()
    for challenge in await authority.challenges(url):
        answers.answers[challenge.token] = challenge.answer
        await authority.look(challenge)
    chain = await authority.complete(url, host=host, private_key=key)
    return chain, facts_of_pem(chain)


async def test_a_certificate_is_ordered_shown_to_be_ours_and_fetched_and_each_step_may_be_repeated(
    authority: AcmeAuthority, answers: Answers, pebble: Pebble, installation: Installation
) -> None:
    host, key = "shop.example.com", new_private_key()
    url = await authority.begin(host)
    [challenge] = await authority.challenges(url)
    assert await authority.challenges(url) == [challenge]
    assert re.fullmatch(r"[\w-]+\.[\w-]{43}", challenge.answer)
    answers.answers[challenge.token] = challenge.answer
    await authority.look(challenge)
    chain = await authority.complete(url, host=host, private_key=key)
    assert facts_of_pem(chain).hosts == (host,)
    assert len(load_pem_x509_certificates(chain.encode())) == 2
    assert host in answers.asked

    later = authority_of(installation, pebble)
    assert await later.challenges(url) == []
    assert await later.complete(url, host=host, private_key=key) == chain
    await later.close()
    assert pebble.certificates_issued == 1


async def test_the_account_is_made_once_and_known_again(
    authority: AcmeAuthority, answers: Answers, pebble: Pebble, installation: Installation
) -> None:
    await ordered(authority, answers, "one.example.com")
    account = await installation.certificates.account(pebble.directory)
    assert account is not None
    assert account.url is not None
    later = authority_of(installation, pebble)
    await ordered(later, answers, "two.example.com")
    await later.close()
    assert await installation.certificates.account(pebble.directory) == account


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("shop.example.com", r"\(unauthorized\): .*nobody told me"),
        ("shop.nowhere.test", r"\((dns|unauthorized|connection|malformed)\): "),
    ],
)
async def test_why_there_is_no_certificate_is_said_in_the_authoritys_words(
    authority: AcmeAuthority, host: str, words: str
) -> None:
    url = await authority.begin(host)
    [challenge] = await authority.challenges(url)
    await authority.look(challenge)
    with pytest.raises(CannotIssue, match=words):
        await authority.complete(url, host=host, private_key=new_private_key())
    with pytest.raises(CannotIssue, match=words):
        await authority.challenges(url)


async def test_an_authority_that_forgot_the_order_or_us_or_is_away_is_told_apart(
    authority: AcmeAuthority, installation: Installation, pebble: Pebble, answers: Answers
) -> None:
    url = await authority.begin("shop.example.com")
    with pytest.raises(OrderGone):
        await authority.challenges(url + "nothing")

    account = await installation.certificates.account(pebble.directory)
    assert account is not None
    await installation.as_admin("UPDATE acme_accounts SET url = url || '99'")
    forgotten = authority_of(installation, pebble)
    with pytest.raises(CannotIssue, match="forgotten"):
        await forgotten.begin("shop.example.com")
    await ordered(forgotten, answers, "shop.example.com")
    await forgotten.close()

    away = AcmeAuthority("https://127.0.0.1:1/dir", installation.certificates)
    with pytest.raises(CannotIssue, match="cannot be asked"):
        await away.begin("shop.example.com")
