"""A real mail server (aiosmtpd) in the test's own loop, which may be told to misbehave."""

import asyncio
import contextlib
import socket
import ssl
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTPUTF8
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

USER, MAIL_PASSWORD = "postman", "pass/word@: %"
Hook = Callable[[], Any]


class MailServer:
    """Keeps what it is given. `answers` are given first, one after the other, per command."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.answers: defaultdict[str, list[str]] = defaultdict(list)
        self.on_letter: Hook = lambda: None
        self.connections = 0
        self.port = 0
        self._arrived = asyncio.Condition()

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers["MAIL"]:
            return self.answers["MAIL"].pop(0)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers["RCPT"]:
            return self.answers["RCPT"].pop(0)
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.answers["DATA"]:
            return self.answers["DATA"].pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        self.letters.append(message_from_bytes(content, policy=SMTPUTF8))  # type: ignore[arg-type]
        self.recipients += envelope.rcpt_tos
        async with self._arrived:
            self._arrived.notify_all()
        hooked = self.on_letter()
        if hooked is not None:
            await hooked
        return "250 2.0.0 taken"

    async def until(self, count: int) -> list[EmailMessage]:
        """Return the letters once there are so many."""
        async with asyncio.timeout(120), self._arrived:
            await self._arrived.wait_for(lambda: len(self.letters) >= count)
        return self.letters

    @contextlib.asynccontextmanager
    async def open(
        self,
        *,
        implicit_tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
        password_needed: bool = False,
        unicode_addresses: bool = True,
        place: socket.socket | None = None,
    ) -> AsyncIterator["MailServer"]:
        """Serve on 127.0.0.1, on a port of its own or where nobody listened so far."""
        loop = asyncio.get_running_loop()
        opened: list[SMTP] = []

        def connection() -> SMTP:
            self.connections += 1
            with warnings.catch_warnings(action="ignore"):  # of a password before TLS
                one = SMTP(
                    self,
                    hostname="mail.test",
                    tls_context=starttls,
                    require_starttls=starttls is not None,
                    authenticator=_authenticate,
                    auth_required=password_needed,
                    auth_require_tls=False,
                    enable_SMTPUTF8=unicode_addresses,
                    loop=loop,
                )
            opened.append(one)
            return one

        where: dict[str, Any] = {"sock": place} if place else {"host": "127.0.0.1", "port": 0}
        server = await loop.create_server(connection, **where, ssl=implicit_tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()
            for one in opened:
                while isinstance(one.transport, asyncio.Transport):
                    one.transport.abort()
                    await asyncio.sleep(0.001)


def _authenticate(_: SMTP, __: Session, ___: Envelope, ____: str, given: Any) -> AuthResult:
    right = LoginPassword(USER.encode(), MAIL_PASSWORD.encode())
    return AuthResult(success=given == right, handled=False)


@contextlib.contextmanager
def nobody_listening() -> Iterator[socket.socket]:
    """Hold a port that refuses every connection."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield place


class Authority:
    """A certificate authority of our own: its certificate, and the server's signed by it."""

    def __init__(self, folder: Path, *, address: str = "127.0.0.1") -> None:
        now = datetime.now(UTC)
        ca_key, key = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "our authority")])
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail server")])

        def begin(subject: x509.Name, public_key: Any) -> x509.CertificateBuilder:
            return (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(ca_name)
                .public_key(public_key)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - timedelta(hours=1))
                .not_valid_after(now + timedelta(hours=1))
            )

        ca = (
            begin(ca_name, ca_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False
            )
            .sign(ca_key, SHA256())
        )
        certificate = (
            begin(name, key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False
            )
            .sign(ca_key, SHA256())
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(ca.public_bytes(Encoding.PEM))
        both = folder / "server.pem"
        both.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server.load_cert_chain(both)
