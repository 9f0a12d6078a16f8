"""A certificate authority that speaks ACME (RFC 8555), asked one step at a time.

Every step may be repeated: an order lives at the authority under its URL, and each step looks at
what it has become. So whoever was killed in the middle goes on from the URL alone.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class CannotIssue(Exception):
    """There is no certificate this time. The message says why, in words for the domain's owner."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        """How long the authority itself wants to be left alone."""


class OrderGone(CannotIssue):
    """The authority does not know the order any more."""


class Challenge(msgspec.Struct, frozen=True):
    """What the authority wants to read at the host, over plain HTTP (HTTP-01)."""

    url: str
    """Where the authority is told that it can look."""
    token: str
    answer: str


class CertificateAuthority(Protocol):
    """One authority, and us as its customer. Each method raises `CannotIssue`."""

    async def begin(self, host: str) -> str:
        """Order a certificate for a host; return the order's URL."""
        ...

    async def challenges(self, order_url: str) -> Sequence[Challenge]:
        """Return what has to be shown before the order goes on; nothing once that was seen."""
        ...

    async def look(self, challenge: Challenge) -> None:
        """Say that the answer can be read now."""
        ...

    async def complete(self, order_url: str, *, host: str, private_key: str) -> str:
        """Wait until the authority has looked and issued; return the chain as PEM."""
        ...

    async def close(self) -> None:
        """End what is kept open."""
        ...


def new_private_key() -> str:
    """Return a new ECDSA key on P-256 as PEM."""
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - only who orders
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - the same
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
