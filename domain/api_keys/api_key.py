"""The rules of one key."""

from datetime import datetime, timedelta

import msgspec

from domain.api_keys.events import (
    ApiKeyCreated,
    ApiKeyDescribed,
    ApiKeyExpiryAnnounced,
    ApiKeyExpirySet,
    ApiKeyGraceEnded,
    ApiKeyLeaked,
    ApiKeyLimitSet,
    ApiKeyNetworksAllowed,
    ApiKeyRevoked,
    ApiKeyRotated,
    ApiKeyScopesGranted,
)
from domain.api_keys.values import fields_after, sooner
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import RuleViolated
from domain.kernel.events import Event

LEAKED = "leaked"
GRACE_MAX = timedelta(days=7)


class ExpiryInThePast(RuleViolated):
    """A key must expire in the future."""


class KeyRevoked(RuleViolated):
    """This key was revoked, which is for ever; make a new one."""


class KeyExpired(RuleViolated):
    """This key has expired; give it another expiry first, or make a new one."""


class GraceTooLong(RuleViolated):
    """The secret before can work on for seven days at most."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key, alive or revoked."""

    key_id: str
    team_id: str
    name: str
    description: str | None = None
    prefix: str
    secret_hash: str
    scopes: tuple[str, ...]
    requests_per_minute: int
    expires_at: datetime | None = None
    allowed_cidrs: tuple[str, ...] = ()
    retiring_hash: str | None = None
    """Of the secret before, while that works on."""
    retiring_until: datetime | None = None
    announced_days: int | None = None
    """How near to this expiry it was announced, if it was."""
    leaked: tuple[str, ...] = ()
    """Hashes of those of its two secrets that were reported."""
    revoked: bool = False

    def describe(self, *, name: str, description: str | None) -> list[Event]:
        """Call it something else."""
        self._must_be_alive()
        if (name, description) == (self.name, self.description):
            return []
        return [ApiKeyDescribed(key_id=self.key_id, name=name, description=description)]

    def grant(self, scopes: tuple[str, ...]) -> list[Event]:
        """Let it do this and nothing else."""
        self._must_be_alive()
        if scopes == self.scopes:
            return []
        return [ApiKeyScopesGranted(key_id=self.key_id, scopes=scopes)]

    def allow_from(self, cidrs: tuple[str, ...]) -> list[Event]:
        """Let it be used from these networks only; from everywhere if there are none."""
        self._must_be_alive()
        if cidrs == self.allowed_cidrs:
            return []
        return [ApiKeyNetworksAllowed(key_id=self.key_id, allowed_cidrs=cidrs)]

    def expire(self, expires_at: datetime | None, *, now: datetime) -> list[Event]:
        """Let it work until then. An expired key works again; a secret that retired never does."""
        self._must_be_alive()
        if expires_at == self.expires_at:
            return []
        must_be_in_the_future(expires_at, now=now)
        return [ApiKeyExpirySet(key_id=self.key_id, expires_at=expires_at)]

    def announce_expiry(self, *, days_before: int, now: datetime) -> list[Event]:
        """Say that it expires soon. Once said, only a nearer day is worth saying."""
        if self.revoked or self.expires_at is None:
            return []
        is_due = timedelta(0) < self.expires_at - now <= timedelta(days=days_before)
        if not is_due or (self.announced_days or days_before + 1) <= days_before:
            return []
        return [
            ApiKeyExpiryAnnounced(
                key_id=self.key_id, expires_at=self.expires_at, days_before=days_before
            )
        ]

    def limit(self, requests_per_minute: int) -> list[Event]:
        """Let so many requests a minute through with it."""
        self._must_be_alive()
        if requests_per_minute == self.requests_per_minute:
            return []
        return [ApiKeyLimitSet(key_id=self.key_id, requests_per_minute=requests_per_minute)]

    def rotate(
        self, *, prefix: str, secret_hash: str, grace: timedelta, now: datetime
    ) -> list[Event]:
        """Replace the secret. The one before works on for the grace, never past its own expiry."""
        self._must_be_alive()
        if self.expires_at is not None and self.expires_at <= now:
            raise KeyExpired
        if grace > GRACE_MAX:
            raise GraceTooLong
        until = sooner(now + grace, self.expires_at) if grace > timedelta(0) else None
        return [
            ApiKeyRotated(
                key_id=self.key_id, prefix=prefix, secret_hash=secret_hash, previous_until=until
            )
        ]

    def report_leak(
        self, *, secret_hash: str, reported_by: str, url: str | None, revoke: bool, now: datetime
    ) -> list[Event]:
        """Take in that a secret was found. Shut out whoever found it, or only say so.

        A retiring secret ends alone: the key was rotated already, perhaps for that very reason. A
        second report of the same secret, or one of a secret that opens nothing, changes nothing.
        """
        is_current = secret_hash == self.secret_hash
        if self.revoked or not (is_current or self._is_retiring(secret_hash, now=now)):
            return []
        events: list[Event] = []
        if secret_hash not in self.leaked:
            leaked = ApiKeyLeaked(
                key_id=self.key_id, secret_hash=secret_hash, reported_by=reported_by, url=url
            )
            events.append(leaked)
        if revoke and is_current:
            events.append(ApiKeyRevoked(key_id=self.key_id, reason=LEAKED))
        elif revoke:
            events.append(ApiKeyGraceEnded(key_id=self.key_id))
        return events

    def revoke(self, *, reason: str) -> list[Event]:
        """Shut the key out. Revoking twice changes nothing."""
        return [] if self.revoked else [ApiKeyRevoked(key_id=self.key_id, reason=reason)]

    def _is_retiring(self, secret_hash: str, *, now: datetime) -> bool:
        until = self.retiring_until
        return until is not None and secret_hash == self.retiring_hash and now < until

    def _must_be_alive(self) -> None:
        if self.revoked:
            raise KeyRevoked


def must_be_in_the_future(expires_at: datetime | None, *, now: datetime) -> None:
    """Refuse a key that would be born dead."""
    if expires_at is not None and expires_at <= now:
        raise ExpiryInThePast


def evolve(state: ApiKey | None, event: Event) -> ApiKey | None:
    """Remember what happened to the key."""
    if isinstance(event, ApiKeyCreated):
        return ApiKey(
            key_id=event.key_id,
            team_id=event.team_id,
            name=event.name,
            description=event.description,
            prefix=event.prefix,
            secret_hash=event.secret_hash,
            scopes=event.scopes,
            requests_per_minute=event.requests_per_minute,
            expires_at=event.expires_at,
            allowed_cidrs=event.allowed_cidrs,
        )
    if state is None:
        return None
    match event:
        case ApiKeyLeaked():
            return msgspec.structs.replace(state, leaked=(*state.leaked, event.secret_hash))
        case ApiKeyRotated():
            still = tuple(leaked for leaked in state.leaked if leaked == state.secret_hash)
            state = msgspec.structs.replace(state, leaked=still)
        case ApiKeyRevoked():
            return msgspec.structs.replace(state, revoked=True)
    return msgspec.structs.replace(state, **fields_after(state, event))


API_KEY = Aggregate(name="api_key", state=ApiKey, evolve=evolve)
