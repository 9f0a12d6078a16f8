"""Webhooks as their teams see them."""

from datetime import UTC, datetime

from domain.kernel.events import Event
from domain.webhooks.events import (
    WebhookCreated,
    WebhookDeleted,
    WebhookDisabled,
    WebhookEnabled,
    WebhookSecretRotated,
    WebhookTestRequested,
    WebhookUpdated,
)
from domain.webhooks.values import DisabledBecause
from projections.webhooks import WEBHOOKS
from tests.projections.asking import digest, rebuild
from tests.wiring import Installation

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIRST, SECOND = "whk-0000000001", "whk-0000000002"


def created(webhook_id: str) -> WebhookCreated:
    return WebhookCreated(
        webhook_id=webhook_id,
        team_id="org-0000000001",
        url=f"sealed url of {webhook_id}",
        event_types=("deployment.*",),
        secret="sealed secret",
        created_by="usr-0000000001",
    )


async def happened(installation: Installation, webhook_id: str, *events: Event) -> None:
    after = (await installation.store.versions([webhook_id])).get(webhook_id, 0)
    await installation.append(webhook_id, *events, after=after)


async def test_a_webhook_is_shown_as_it_stands(installation: Installation) -> None:
    installation.start_views([WEBHOOKS])
    for each in (FIRST, SECOND):
        await happened(installation, each, created(each))
    updated = WebhookUpdated(
        webhook_id=FIRST, url="sealed", event_types=("*",), description="to the pager"
    )
    rotated = WebhookSecretRotated(webhook_id=FIRST, secret="sealed", previous_until=NOON)
    disabled = WebhookDisabled(webhook_id=FIRST, reason=DisabledBecause.GONE, failing_since=NOON)
    tested = WebhookTestRequested(webhook_id=FIRST, delivery_id="whd-0000000001")
    await happened(installation, FIRST, updated, rotated, disabled, tested)
    first, second = await installation.rows(WEBHOOKS)
    assert (first["url"], first["event_types"]) == ("sealed", ["*"])
    assert (first["description"], first["previous_until"]) == ("to the pager", NOON)
    assert (first["enabled"], first["disabled_reason"]) == (False, "gone")
    assert first["disabled_at"] is not None
    assert first["version"] == 5
    assert (second["url"], second["enabled"]) == (f"sealed url of {SECOND}", True)
    assert "secret" not in second

    await happened(installation, FIRST, WebhookEnabled(webhook_id=FIRST))
    await happened(installation, SECOND, WebhookDeleted(webhook_id=SECOND))
    [first] = await installation.rows(WEBHOOKS)
    assert (first["enabled"], first["disabled_reason"], first["disabled_at"]) == (True, None, None)
    live = await digest(installation, WEBHOOKS)
    await rebuild(installation, WEBHOOKS)
    assert await digest(installation, WEBHOOKS) == live
