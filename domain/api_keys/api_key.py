"""The rules of one key."""

from datetime import datetime

import msgspec

from domain.api_keys.events import ApiKeyCreated, ApiKeyRevoked
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import RuleViolated
from domain.kernel.events import Event


class ExpiryInThePast(RuleViolated):
    """A key must expire in the future."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key, alive or revoked."""

    key_id: str
    team_id: str
    revoked: bool = False

    def revoke(self, *, reason: str) -> list[Event]:
        """Shut the key out. Revoking twice changes nothing."""
        return [] if self.revoked else [ApiKeyRevoked(key_id=self.key_id, reason=reason)]


def must_be_in_the_future(expires_at: datetime | None, *, now: datetime) -> None:
    """Refuse a key that would be born dead."""
    if expires_at is not None and expires_at <= now:
        raise ExpiryInThePast


def evolve(state: ApiKey | None, event: Event) -> ApiKey | None:
    """Remember what happened to the key."""
    match event:
        case ApiKeyCreated():
            return ApiKey(key_id=event.key_id, team_id=event.team_id)
        case ApiKeyRevoked() if state is not None:
            return msgspec.structs.replace(state, revoked=True)
    return state


API_KEY = Aggregate(name="api_key", state=ApiKey, evolve=evolve)
