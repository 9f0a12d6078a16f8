"""Signatures under reports of leaked keys: whether a report comes from whom it says."""

from typing import Protocol

from domain.kernel.errors import DomainError


class WrongSignature(DomainError):
    """The signature under this report is missing or not the sender's."""


class SignersAway(DomainError):
    """The sender's public keys cannot be fetched at the moment; send the report again later."""


class ReportSignatures(Protocol):
    """Knows one sender's public keys."""

    async def check(self, body: bytes, *, key_identifier: str, signature: str) -> None:
        """Return if the sender signed exactly this; raises `WrongSignature`, `SignersAway`."""
        ...
