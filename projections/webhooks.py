"""The webhooks there are. Their secrets are in the log only; their URLs are sealed here, too."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.kernel.events import Event
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
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Listing, Page, Reader, Window
from projections.view import Change, View


class WebhookRow(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook, without its secret."""

    id: str
    team_id: str
    created_by: str
    url: str
    """Sealed with the team's key."""
    event_types: tuple[str, ...]
    description: str | None
    enabled: bool = True
    disabled_reason: DisabledBecause | None = None
    disabled_at: datetime | None = None
    previous_until: datetime | None = None
    """How long the secret before signs along."""
    created_at: datetime
    updated_at: datetime
    version: int = 1


WEBHOOK_EVENTS = (
    WebhookCreated
    | WebhookUpdated
    | WebhookSecretRotated
    | WebhookDisabled
    | WebhookEnabled
    | WebhookTestRequested
    | WebhookRetryRequested
    | WebhookReplayRequested
    | WebhookDeleted
)


def _changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    return [((event.webhook_id,), event)] if isinstance(event, WEBHOOK_EVENTS) else []


def _fold(row: WebhookRow | None, event: Event, recorded: RecordedEvent) -> WebhookRow | None:
    at = recorded.recorded_at
    if isinstance(event, WebhookCreated):
        return WebhookRow(
            id=event.webhook_id,
            team_id=event.team_id,
            created_by=event.created_by,
            url=event.url,
            event_types=event.event_types,
            description=event.description,
            created_at=at,
            updated_at=at,
            version=recorded.version,
        )
    if row is None or isinstance(event, WebhookDeleted):
        return None
    changed: dict[str, object] = {}
    match event:
        case WebhookUpdated():
            changed = {
                "url": event.url,
                "event_types": event.event_types,
                "description": event.description,
                "updated_at": at,
            }
        case WebhookSecretRotated():
            changed = {"previous_until": event.previous_until, "updated_at": at}
        case WebhookDisabled():
            changed = {
                "enabled": False,
                "disabled_reason": event.reason,
                "disabled_at": at,
                "updated_at": at,
            }
        case WebhookEnabled():
            changed = {
                "enabled": True,
                "disabled_reason": None,
                "disabled_at": None,
                "updated_at": at,
            }
    return msgspec.structs.replace(row, **changed, version=recorded.version)


WEBHOOKS = View(
    name="webhooks",
    version=1,
    topic=Topic.EVENTS,
    row=WebhookRow,
    key=("id",),
    changes=_changes,
    fold=_fold,
    indexes=("team_id, created_at, id",),
)

WEBHOOK_LISTING = Listing(
    sorts={"createdAt": "created_at", "updatedAt": "updated_at"},
    sort_default="-createdAt",
    id_column="id",
    kinds=WEBHOOKS.columns,
)


async def webhook_by_id(
    reader: Reader, webhook_id: str, *, team_ids: Sequence[str]
) -> WebhookRow | None:
    """Return one of these teams' webhooks."""
    return await reader.row(
        WebhookRow,
        "SELECT * FROM views.webhooks WHERE id = %s AND team_id = ANY(%s)",
        webhook_id,
        list(team_ids),
    )


async def list_webhooks(
    reader: Reader, window: Window, *, team_ids: Sequence[str]
) -> Page[WebhookRow]:
    """Return these teams' webhooks."""
    return await reader.page(
        WebhookRow,
        "SELECT * FROM views.webhooks WHERE team_id = ANY(%s)",
        list(team_ids),
        listing=WEBHOOK_LISTING,
        window=window,
    )


async def count_webhooks(reader: Reader, *, team_id: str) -> int:
    """Return how many webhooks a team has."""
    return await reader.number("SELECT count(*) FROM views.webhooks WHERE team_id = %s", team_id)
