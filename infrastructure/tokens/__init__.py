"""Access tokens: short proofs that somebody signed in, checked without asking anybody."""

from datetime import datetime
from typing import Protocol

import msgspec

from domain.kernel.errors import DomainError


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says. Whether its session still lasts is another question."""

    user_id: str
    session_id: str
    expires_at: datetime


class InvalidToken(DomainError):
    """The access token is not valid; sign in again."""


class Tokens(Protocol):
    """Makes and reads access tokens."""

    def issue(self, *, user_id: str, session_id: str, now: datetime) -> tuple[str, datetime]:
        """Return a token and when it ends."""
        ...

    def read(self, token: str, *, now: datetime) -> AccessToken:
        """Return what a good token says; raises `InvalidToken`."""
        ...
