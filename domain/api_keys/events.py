"""The facts of a key's life."""

from datetime import datetime

from domain.kernel.events import Event


class ApiKeyCreated(Event, frozen=True, kw_only=True):
    """A key was made. Whoever holds the secret may now do what the scopes say."""

    key_id: str
    team_id: str
    created_by: str
    name: str
    description: str | None = None
    prefix: str
    """The public beginning of the key, by which people recognise it."""
    secret_hash: str
    """SHA-256, in hex, of the whole key as text."""
    scopes: tuple[str, ...]
    requests_per_minute: int
    """How many requests a minute every gateway lets through with this key."""
    expires_at: datetime | None = None
    allowed_cidrs: tuple[str, ...] = ()
    """The networks the key may be used from; none means from everywhere."""


class ApiKeyDescribed(Event, frozen=True, kw_only=True):
    """The key is called something else now."""

    key_id: str
    name: str
    description: str | None = None


class ApiKeyScopesGranted(Event, frozen=True, kw_only=True):
    """The key may do this from now on, and nothing else."""

    key_id: str
    scopes: tuple[str, ...]


class ApiKeyNetworksAllowed(Event, frozen=True, kw_only=True):
    """The key may be used from these networks from now on; none means from everywhere."""

    key_id: str
    allowed_cidrs: tuple[str, ...]


class ApiKeyExpirySet(Event, frozen=True, kw_only=True):
    """The key works until then; without a time, until it is revoked."""

    key_id: str
    expires_at: datetime | None = None


class ApiKeyExpiryAnnounced(Event, frozen=True, kw_only=True):
    """The owners of the key's team were told that it expires soon."""

    key_id: str
    expires_at: datetime
    days_before: int
    """Of the days on which they are told, the nearest one to the expiry that was reached."""


class ApiKeyLimitSet(Event, frozen=True, kw_only=True):
    """Every gateway lets so many requests a minute through with the key from now on."""

    key_id: str
    requests_per_minute: int


class ApiKeyRotated(Event, frozen=True, kw_only=True):
    """The key has a new secret. One that was retiring already stopped working."""

    key_id: str
    prefix: str
    secret_hash: str
    """SHA-256, in hex, of the whole new key as text."""
    previous_until: datetime | None = None
    """How long the secret before works on; without a time, it has stopped."""


class ApiKeyGraceEnded(Event, frozen=True, kw_only=True):
    """The retiring secret stopped working before its time."""

    key_id: str


class ApiKeyLeaked(Event, frozen=True, kw_only=True):
    """A secret of the key was found where others can read it."""

    key_id: str
    secret_hash: str
    """Which of its secrets."""
    reported_by: str
    """`github`, `google`, or `holder` for somebody who had the key."""
    url: str | None = None
    """Where it was found, if that was said."""


class ApiKeyRevoked(Event, frozen=True, kw_only=True):
    """The key is refused everywhere from now on."""

    key_id: str
    reason: str
