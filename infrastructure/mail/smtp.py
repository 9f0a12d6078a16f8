"""Mail by SMTP (RFC 5321): the standard library's client in a thread, one connection per letter.

Trouble before the recipient is named (no connection, an untrusted certificate, a wrong password, a
sender that is not allowed) would hit every letter, so none of them is blamed for it. The server's
own words are not passed on: they tend to repeat the recipient's address.
"""

import asyncio
import contextlib
import re
import smtplib
import socket
import ssl
from collections.abc import Collection
from email.headerregistry import Address
from email.message import EmailMessage
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from infrastructure.mail import MailAway, MailRefused, OutgoingMail
from infrastructure.mail.mime import build

TIMEOUT_SECONDS = 30.0
PERMANENT = 500
_ENHANCED = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}\b")


class Tls(StrEnum):
    """How the connection is kept private."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"


PORTS = {Tls.STARTTLS: 587, Tls.IMPLICIT: 465, Tls.NONE: 25}


class SmtpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is and how to speak to it."""

    host: str
    port: int
    tls: Tls
    username: str = ""
    password: str = ""
    ca_file: str | None = None
    """Certificates to trust instead of the system's."""
    timeout_seconds: float = TIMEOUT_SECONDS
    """For the whole delivery of one letter."""

    def __repr__(self) -> str:
        """Name the server, never the password."""
        return f"SmtpOptions({self.host}:{self.port}, {self.tls})"


def smtp_options(url: str) -> SmtpOptions:
    """Read `smtp://user:password@host:587?tls=starttls` or `smtps://...`; raises `ValueError`.

    With `smtp` a server that offers no STARTTLS gets nothing, unless `tls=none` says so; then
    there is no password either. `ca=/path` names the certificates to trust.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        wishes = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise ValueError("is not a well-formed URL") from None
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path or parts.fragment:
        raise ValueError("must look like smtp://USER:PASSWORD@HOST:PORT or smtps://...")
    tls = Tls.IMPLICIT if parts.scheme == "smtps" else Tls.STARTTLS
    wanted = wishes.pop("tls", tls.value)
    if wanted != tls and (parts.scheme, wanted) != ("smtp", Tls.NONE):
        raise ValueError("must have tls=starttls or tls=none after smtp://, nothing after smtps://")
    ca_file = wishes.pop("ca", None)
    if wishes:
        raise ValueError("has parameters other than tls and ca")
    if Tls(wanted) is Tls.NONE and parts.password:
        raise ValueError("would send the password in the clear; use smtps:// or tls=starttls")
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(username) != bool(password) or not (username + password).isascii():
        raise ValueError("must have both a user and a password, without accents, or neither")
    return SmtpOptions(
        host=parts.hostname,
        port=port or PORTS[Tls(wanted)],
        tls=Tls(wanted),
        username=username,
        password=password,
        ca_file=ca_file,
    )


class SmtpMailer:
    """Hands letters to one mail server."""

    def __init__(self, options: SmtpOptions, *, sender: Address) -> None:
        self._options = options
        self._sender = sender

    async def forget(self, mail_ids: Collection[str]) -> None:
        """Do nothing: no letter is kept here."""

    async def send(self, mail: OutgoingMail) -> None:
        """Return once the server has taken the letter; raises `MailRefused` or `MailAway`."""
        message = build(mail, sender=self._sender)
        delivery = _Delivery(self._options, sender=self._sender)
        try:
            async with asyncio.timeout(self._options.timeout_seconds):
                await asyncio.to_thread(delivery.run, message)
        except TimeoutError:
            if not delivery.taken:
                raise delivery.away("the server did not answer in time") from None
        finally:
            delivery.break_off()


class _Delivery:
    """One letter's conversation with the server, in a thread."""

    def __init__(self, options: SmtpOptions, *, sender: Address) -> None:
        self._options = options
        self._sender = sender
        self._client: smtplib.SMTP | None = None
        self._let_in = False
        self.taken = False

    def run(self, message: EmailMessage) -> None:
        try:
            client = self._connect()
            self._let_in = True
            client.send_message(message, from_addr=self._sender.addr_spec)
            self.taken = True
            with contextlib.suppress(OSError, smtplib.SMTPException):
                client.putcmd("quit")  # the answer changes nothing any more
        except (smtplib.SMTPException, OSError) as error:
            raise self._meaning(error) from None  # its text may name the recipient
        finally:
            if self._client is not None:
                self._client.close()

    def break_off(self) -> None:
        """End the thread wherever it waits."""
        opened = self._client.sock if self._client is not None else None
        if opened is not None:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def away(self, reason: str) -> MailAway:
        return MailAway(reason, for_all=not self._let_in)

    def _connect(self) -> smtplib.SMTP:
        options = self._options
        name, seconds = self._sender.domain, options.timeout_seconds
        client: smtplib.SMTP
        if options.tls is Tls.IMPLICIT:
            client = smtplib.SMTP_SSL(
                options.host, options.port, name, timeout=seconds, context=_trust(options)
            )
        else:
            client = smtplib.SMTP(options.host, options.port, name, timeout=seconds)
        self._client = client
        if options.tls is Tls.STARTTLS:
            client.starttls(context=_trust(options))
        if options.username:
            client.login(options.username, options.password)
        client.ehlo_or_helo_if_needed()
        return client

    def _meaning(self, error: Exception) -> MailRefused | MailAway:
        """Return what came of it, in words of ours."""
        match error:
            case smtplib.SMTPRecipientsRefused() | smtplib.SMTPDataError():
                return _answer_to_letter(error)
            case smtplib.SMTPSenderRefused():
                number = _number(error.smtp_code, error.smtp_error)
                return MailAway(f"the server refused the sender: {number}", for_all=True)
            case smtplib.SMTPAuthenticationError():
                return self.away(f"the server refused our password: {error.smtp_code}")
            case smtplib.SMTPResponseException():
                return self.away(f"the server is not ready: {error.smtp_code}")
            case smtplib.SMTPNotSupportedError() if self._let_in:
                return MailRefused("the server cannot write to such an address")
        return self.away(_trouble(error))


def _trouble(error: Exception) -> str:
    """Return why there was no conversation, or no more of it."""
    match error:
        case smtplib.SMTPServerDisconnected():
            return "the server broke off"
        case smtplib.SMTPException():
            return f"the server lacks what the settings ask for: {type(error).__name__}"
        case ssl.SSLCertVerificationError():
            return f"the server's certificate is not trusted: {error.verify_message}"
        case OSError():
            return f"the server cannot be reached: {error.strerror or type(error).__name__}"
    return type(error).__name__


def _trust(options: SmtpOptions) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=options.ca_file)


def _answer_to_letter(
    error: smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError,
) -> MailRefused | MailAway:
    if isinstance(error, smtplib.SMTPDataError):
        what, code, answer = "the letter", error.smtp_code, error.smtp_error
    else:
        what, [(code, answer)] = "the recipient", list(error.recipients.values())
    number = _number(code, answer)
    if code >= PERMANENT:
        return MailRefused(f"the server refused {what}: {number}")
    return MailAway(f"the server put {what} off: {number}", for_all=False)


def _number(code: int, answer: bytes | str) -> str:
    """Return the reply's code with its enhanced one (RFC 3463): nothing of its text."""
    text = answer.encode("utf-8", "replace") if isinstance(answer, str) else answer
    enhanced = _ENHANCED.match(text)
    return f"{code} {enhanced[0].decode()}" if enhanced else str(code)
