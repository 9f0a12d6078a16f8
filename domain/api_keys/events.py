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


class ApiKeyRevoked(Event, frozen=True, kw_only=True):
    """The key is refused everywhere from now on."""

    key_id: str
    reason: str
