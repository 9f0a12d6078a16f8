"""The rules of one webhook."""

from datetime import datetime, timedelta

import msgspec

from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import LimitReached, RuleViolated
from domain.kernel.events import Event, SealedText
from domain.webhooks.events import (
    WebhookCreated,
    WebhookDeleted,
    WebhookDisabled,
    WebhookEnabled,
    WebhookReplayRequested,
    WebhookRetryRequested,
    WebhookSecretRotated,
    WebhookTestRequested,
    WebhookUpdated,
)
from domain.webhooks.values import DisabledBecause


class TooManyWebhooks(LimitReached):
    """A team cannot have more webhooks."""


class WebhookIsDisabled(RuleViolated):
    """This webhook is disabled; enable it first."""


class NothingToReplay(RuleViolated):
    """A replay begins in the past, and before it ends."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint of one team."""

    webhook_id: str
    team_id: str
    url: SealedText
    event_types: tuple[str, ...]
    description: str | None
    secret: SealedText
    previous_until: datetime | None = None
    """How long the secret before signs along."""
    enabled: bool = True
    deleted: bool = False

    def change(
        self, *, url: SealedText, event_types: tuple[str, ...], description: str | None
    ) -> list[Event]:
        """Let it lead elsewhere or want something else; as it is already changes nothing."""
        if (url, event_types, description) == (self.url, self.event_types, self.description):
            return []
        return [
            WebhookUpdated(
                webhook_id=self.webhook_id,
                url=url,
                event_types=event_types,
                description=description,
            )
        ]

    def rotate(self, secret: SealedText, *, grace: timedelta, now: datetime) -> list[Event]:
        """Sign with another secret, and for the grace with the one before too."""
        until = now + grace
        return [
            WebhookSecretRotated(webhook_id=self.webhook_id, secret=secret, previous_until=until)
        ]

    def enable(self) -> list[Event]:
        """Tell it again. Enabled already: nothing."""
        return [] if self.enabled else [WebhookEnabled(webhook_id=self.webhook_id)]

    def disable(
        self, reason: DisabledBecause, *, failing_since: datetime | None = None
    ) -> list[Event]:
        """Tell it nothing. Disabled already, or gone: nothing."""
        if not self.enabled or self.deleted:
            return []
        disabled = WebhookDisabled(
            webhook_id=self.webhook_id, reason=reason, failing_since=failing_since
        )
        return [disabled]

    def test(self, delivery_id: str) -> list[Event]:
        """Send a message that means nothing; to a disabled one too, to see whether it is well."""
        return [WebhookTestRequested(webhook_id=self.webhook_id, delivery_id=delivery_id)]

    def retry(self, delivery_id: str) -> list[Event]:
        """Send a message now."""
        self._must_be_enabled()
        return [WebhookRetryRequested(webhook_id=self.webhook_id, delivery_id=delivery_id)]

    def replay(
        self, *, since: datetime, until: datetime, missed_only: bool, now: datetime
    ) -> list[Event]:
        """Send what happened since a time."""
        self._must_be_enabled()
        if since >= min(until, now):
            raise NothingToReplay
        return [
            WebhookReplayRequested(
                webhook_id=self.webhook_id,
                since=since,
                until=min(until, now),
                missed_only=missed_only,
            )
        ]

    def delete(self) -> list[Event]:
        """Let it go."""
        return [] if self.deleted else [WebhookDeleted(webhook_id=self.webhook_id)]

    def _must_be_enabled(self) -> None:
        if not self.enabled:
            raise WebhookIsDisabled


def must_have_room(present: int, *, webhooks_max: int) -> None:
    """Refuse one more than a team may have."""
    if present >= webhooks_max:
        raise TooManyWebhooks(f"At most {webhooks_max} webhooks.", webhooks_max=webhooks_max)


def evolve(state: Webhook | None, event: Event) -> Webhook | None:
    """Remember what happened to the webhook."""
    if isinstance(event, WebhookCreated):
        return Webhook(
            webhook_id=event.webhook_id,
            team_id=event.team_id,
            url=event.url,
            event_types=event.event_types,
            description=event.description,
            secret=event.secret,
        )
    if state is None:
        return None
    changed: dict[str, object] = {}
    match event:
        case WebhookUpdated():
            changed = {
                "url": event.url,
                "event_types": event.event_types,
                "description": event.description,
            }
        case WebhookSecretRotated():
            changed = {"secret": event.secret, "previous_until": event.previous_until}
        case WebhookDisabled():
            changed = {"enabled": False}
        case WebhookEnabled():
            changed = {"enabled": True}
        case WebhookDeleted():
            changed = {"deleted": True}
    return msgspec.structs.replace(state, **changed)


WEBHOOK = Aggregate(name="webhook", state=Webhook, evolve=evolve)
