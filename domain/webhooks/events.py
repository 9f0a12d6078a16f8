"""The facts of a webhook's life. Its URL may hold a token, so that is sealed as its secret is."""

from datetime import datetime

from domain.kernel.events import Event, SealedText
from domain.webhooks.values import DisabledBecause


class WebhookCreated(Event, frozen=True, kw_only=True):
    """A team wants a server of its own to be told of what happens."""

    webhook_id: str
    team_id: str
    url: SealedText
    event_types: tuple[str, ...]
    description: str | None = None
    secret: SealedText
    created_by: str


class WebhookUpdated(Event, frozen=True, kw_only=True):
    """It leads elsewhere, wants something else, or is described otherwise: all of it as it is."""

    webhook_id: str
    url: SealedText
    event_types: tuple[str, ...]
    description: str | None = None


class WebhookSecretRotated(Event, frozen=True, kw_only=True):
    """It has a new secret; the one before signs along for a while."""

    webhook_id: str
    secret: SealedText
    previous_until: datetime


class WebhookDisabled(Event, frozen=True, kw_only=True):
    """It is told nothing any more."""

    webhook_id: str
    reason: DisabledBecause
    failing_since: datetime | None = None
    """Since when it took nothing, where that is the reason."""


class WebhookEnabled(Event, frozen=True, kw_only=True):
    """It is told again of what happens from now on."""

    webhook_id: str


class WebhookTestRequested(Event, frozen=True, kw_only=True):
    """Somebody wants to see whether a message arrives."""

    webhook_id: str
    delivery_id: str


class WebhookRetryRequested(Event, frozen=True, kw_only=True):
    """Somebody wants a message to be sent now, whatever became of it before."""

    webhook_id: str
    delivery_id: str


class WebhookReplayRequested(Event, frozen=True, kw_only=True):
    """Somebody wants everything since a time to be sent, from the log."""

    webhook_id: str
    since: datetime
    until: datetime
    missed_only: bool
    """Leave out what the endpoint has taken already."""


class WebhookDeleted(Event, frozen=True, kw_only=True):
    """It is gone, and with it what was to be sent to it."""

    webhook_id: str
