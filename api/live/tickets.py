"""Single-use tickets for a browser's WebSocket, which cannot send a header.

`<session id>.<Unix time it ends>.<nonce>.<HMAC-SHA-256 of the rest>`: nothing is stored but that a
ticket was used. It is worth one connection within 30 seconds, so it may stand in an address.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from api.errors import InvalidCredentials
from infrastructure.counters import Counters

LIFETIME = timedelta(seconds=30)
PARTS = 4


class Tickets:
    """Gives tickets out and takes each back once."""

    def __init__(self, secret: bytes, counters: Counters) -> None:
        self._secret = secret
        self._counters = counters

    def issue(self, session_id: str, *, now: datetime) -> tuple[str, datetime]:
        """Return a ticket for a session and when it ends."""
        ends_at = (now + LIFETIME).replace(microsecond=0)
        said = f"{session_id}.{int(ends_at.timestamp())}.{secrets.token_hex(16)}"
        return f"{said}.{self._signature(said)}", ends_at

    async def redeem(self, ticket: str, *, now: datetime) -> str:
        """Return whose session it is; raises `InvalidCredentials`, also the second time."""
        said, _, signature = ticket.rpartition(".")
        if not ticket.isascii() or not hmac.compare_digest(signature, self._signature(said)):
            raise InvalidCredentials
        session_id, ends_at, nonce = said.split(".")
        if int(ends_at) < now.timestamp():
            raise InvalidCredentials
        used = await self._counters.count(
            f"ticket:{nonce}", limit=1, window_seconds=2 * int(LIFETIME.total_seconds()), cost=1
        )
        if not used.allowed:
            raise InvalidCredentials
        return session_id

    def _signature(self, said: str) -> str:
        digest = hmac.new(self._secret, f"ticket\0{said}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
