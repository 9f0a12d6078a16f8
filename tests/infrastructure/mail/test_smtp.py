"""Letters by SMTP, to a real server in every mood."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.headerregistry import Address
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from infrastructure.mail import MailAway, MailRefused, OutgoingMail
from infrastructure.mail.smtp import SmtpMailer, Tls, smtp_options
from tests.mail_server import MAIL_PASSWORD, USER, Authority, MailServer, nobody_listening

SENDER = Address("Tallyport", "no-reply", "tallyport.example")
LETTER = OutgoingMail(
    mail_id="mai-0000000001",
    recipient="anna@example.com",
    subject="Confirm your e-mail address",
    text="Hello\n\n.\n.. a line may begin with dots\n",
    html="<p>Hello</p>",
    requested_at=datetime(2026, 11, 23, 6, tzinfo=UTC),
)
LOGIN = f"{USER}:{quote(MAIL_PASSWORD, safe='')}@"


@pytest.fixture
def server() -> MailServer:
    return MailServer()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def mailer(
    port: int, *, scheme: str = "smtp", query: str = "tls=none", login: str = ""
) -> SmtpMailer:
    options = smtp_options(f"{scheme}://{login}127.0.0.1:{port}?{query}")
    return SmtpMailer(options, sender=SENDER)


async def away(sending: SmtpMailer, letter: OutgoingMail = LETTER) -> MailAway:
    with pytest.raises(MailAway) as trouble:
        await sending.send(letter)
    assert "anna" not in str(trouble.value)
    return trouble.value


async def test_a_letter_arrives_as_it_was_written(server: MailServer) -> None:
    async with server.open():
        await mailer(server.port).send(LETTER)
    [message] = server.letters
    assert server.recipients == ["anna@example.com"]
    assert message["Message-ID"] == "<mai-0000000001@tallyport.example>"
    text, html = message.iter_parts()
    assert isinstance(text, type(message))
    assert text.get_content().replace("\r\n", "\n") == LETTER.text
    assert "<p>Hello</p>" in str(html)


async def test_starttls_and_a_password(server: MailServer, authority: Authority) -> None:
    query = f"tls=starttls&ca={authority.file}"
    async with server.open(starttls=authority.server, password_needed=True):
        await mailer(server.port, query=query, login=LOGIN).send(LETTER)
        assert len(server.letters) == 1
        wrong = await away(mailer(server.port, query=query, login=f"{USER}:wrong@"))
    assert (wrong.for_all, str(wrong)) == (True, "the server refused our password: 535")
    assert len(server.letters) == 1


async def test_tls_from_the_beginning(server: MailServer, authority: Authority) -> None:
    async with server.open(implicit_tls=authority.server, password_needed=True):
        sending = mailer(server.port, scheme="smtps", query=f"ca={authority.file}", login=LOGIN)
        await sending.send(LETTER)
    assert len(server.letters) == 1


@pytest.mark.parametrize("implicit", [True, False])
async def test_a_server_that_we_do_not_trust_gets_nothing(
    server: MailServer, authority: Authority, tmp_path: Path, *, implicit: bool
) -> None:
    elsewhere = Authority(tmp_path, address="192.0.2.1")
    for theirs, ours in ((authority, None), (elsewhere, elsewhere)):
        query = [f"ca={ours.file}"] if ours else []
        context: dict[str, Any] = {"implicit_tls" if implicit else "starttls": theirs.server}
        async with server.open(**context):
            sending = mailer(
                server.port,
                scheme="smtps" if implicit else "smtp",
                query="&".join([*query, f"tls={'implicit' if implicit else 'starttls'}"]),
            )
            trouble = await away(sending)
        assert trouble.for_all
        assert "certificate" in str(trouble)
    assert server.letters == []


async def test_a_server_without_starttls_gets_nothing_when_it_is_asked_for(
    server: MailServer,
) -> None:
    async with server.open():
        trouble = await away(mailer(server.port, query="tls=starttls", login=LOGIN))
    assert trouble.for_all
    assert server.letters == []


@pytest.mark.parametrize(
    ("command", "answer", "reason"),
    [
        (
            "RCPT",
            "550 5.1.1 <anna@example.com> unknown",
            "the server refused the recipient: 550 5.1.1",
        ),
        ("RCPT", "553 no", "the server refused the recipient: 553"),
        ("DATA", "554 5.7.1 anna looks like spam", "the server refused the letter: 554 5.7.1"),
    ],
)
async def test_what_is_refused_for_good_is_refused(
    server: MailServer, command: str, answer: str, reason: str
) -> None:
    server.answers[command] = [answer]
    async with server.open():
        with pytest.raises(MailRefused) as refused:
            await mailer(server.port).send(LETTER)
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("command", "answer", "reason"),
    [
        ("RCPT", "451 4.7.1 anna: try later", "the server put the recipient off: 451 4.7.1"),
        ("DATA", "452 4.3.1 full", "the server put the letter off: 452 4.3.1"),
    ],
)
async def test_what_is_put_off_can_be_sent_again(
    server: MailServer, command: str, answer: str, reason: str
) -> None:
    server.answers[command] = [answer]
    async with server.open():
        trouble = await away(mailer(server.port))
        assert (trouble.for_all, str(trouble)) == (False, reason)
        await mailer(server.port).send(LETTER)
    assert len(server.letters) == 1


@pytest.mark.parametrize("answer", ["550 5.7.60 not as this sender", "421 4.7.0 too many letters"])
async def test_no_letter_is_blamed_for_its_sender(server: MailServer, answer: str) -> None:
    server.answers["MAIL"] = [answer]
    async with server.open():
        trouble = await away(mailer(server.port))
    assert trouble.for_all


async def test_an_address_in_another_alphabet_needs_a_server_that_can(server: MailServer) -> None:
    letter = msgspec.structs.replace(LETTER, recipient="аня@example.com")
    async with server.open():
        await mailer(server.port).send(letter)
    assert server.recipients == ["аня@example.com"]
    async with server.open(unicode_addresses=False):
        with pytest.raises(MailRefused, match="cannot write to such an address"):
            await mailer(server.port).send(letter)


@contextlib.asynccontextmanager
async def speaking(*lines: bytes, then: str) -> AsyncIterator[int]:
    """A server that says these lines, each after it heard something, then breaks off or hangs."""

    conversations: list[asyncio.Task[None]] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.append(task)
        with contextlib.suppress(ConnectionError):
            for number, line in enumerate(lines):
                if number:
                    await reader.read(65536)
                writer.write(line + b"\r\n")
                await writer.drain()
            if lines:
                await reader.read(100)
            if then == "hang":
                await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    listening = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
    await asyncio.gather(*conversations)


POLITE = (b"220 mail.test", b"250 mail.test", b"250 sender", b"250 recipient", b"354 go on")


@pytest.mark.parametrize("said", range(len(POLITE) + 1))
async def test_a_server_that_breaks_off_is_asked_again_later(said: int) -> None:
    async with speaking(*POLITE[:said], then="break off") as port:
        trouble = await away(mailer(port))
    assert trouble.for_all == (said < 2)
    assert "broke off" in str(trouble) or "cannot be reached" in str(trouble)


@pytest.mark.parametrize("said", [0, 1, len(POLITE)])
async def test_a_server_that_hangs_holds_nobody_up_for_longer_than_the_timeout(said: int) -> None:
    async with speaking(*POLITE[:said], then="hang") as port:
        options = msgspec.structs.replace(
            smtp_options(f"smtp://127.0.0.1:{port}?tls=none"), timeout_seconds=0.3
        )
        await away(SmtpMailer(options, sender=SENDER))


async def test_a_letter_that_was_taken_is_sent_though_the_server_never_says_goodbye() -> None:
    async with speaking(*POLITE, b"250 taken", then="hang") as port:
        await mailer(port).send(LETTER)


@pytest.mark.parametrize("greeting", [b"554 no mail here", b"421 later", b"SSH-2.0-OpenSSH"])
async def test_a_server_that_does_not_want_anything_is_away(greeting: bytes) -> None:
    async with speaking(greeting, then="break off") as port:
        trouble = await away(mailer(port))
    assert trouble.for_all


async def test_no_server_at_all_is_trouble_for_all_letters() -> None:
    with nobody_listening() as place:
        trouble = await away(mailer(place.getsockname()[1]))
    assert trouble.for_all
    assert "cannot be reached" in str(trouble)


def test_the_settings_name_server_login_and_privacy() -> None:
    options = smtp_options(f"smtp://{LOGIN}mail.example:2525?tls=starttls&ca=/etc/ca.pem")
    assert (options.host, options.port, options.tls) == ("mail.example", 2525, Tls.STARTTLS)
    assert (options.username, options.password) == (USER, MAIL_PASSWORD)
    assert options.ca_file == "/etc/ca.pem"
    assert MAIL_PASSWORD not in repr(options)
    for url, port, tls in (
        ("smtp://mail.example", 587, Tls.STARTTLS),
        ("smtps://mail.example", 465, Tls.IMPLICIT),
        ("smtp://mail.example?tls=none", 25, Tls.NONE),
    ):
        read = smtp_options(url)
        assert (read.port, read.tls, read.username) == (port, tls, "")


@pytest.mark.parametrize(
    "url",
    [
        "mail.example",
        "http://mail.example",
        "smtp://",
        "smtp://mail.example/path",
        "smtp://mail.example:99999",
        "smtp://secret:se/cret@mail.example",
        "smtp://mail.example?tls=maybe",
        "smtps://mail.example?tls=none",
        "smtp://user:secret@mail.example?tls=none",
        "smtp://user@mail.example",
        "smtp://user:s%C3%A9cret@mail.example",
        "smtp://mail.example?secret=1",
        "smtp://mail.example?secret",
    ],
)
def test_settings_that_cannot_be_meant_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|is|has|would)") as refused:
        smtp_options(url)
    assert "secret" not in str(refused.value)
