"""What became of the messages to webhooks: the worker's ledger, as the team sees it."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from projections.reading import Listing, Page, Reader, Window


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message to one endpoint."""

    id: str
    webhook_id: str
    team_id: str
    event_type: str
    body: str
    status: str
    attempts: int
    due_at: datetime | None
    created_at: datetime
    last_attempt_at: datetime | None
    last_status: int | None
    problem: str | None


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """One try to send it."""

    number: int
    at: datetime
    duration_ms: int
    status: int | None
    answer: str | None
    problem: str | None


DELIVERY_LISTING = Listing(
    sorts={"createdAt": "created_at"},
    sort_default="-createdAt",
    id_column="id",
    kinds={"created_at": "timestamptz", "id": "text"},
)


async def list_deliveries(
    reader: Reader,
    window: Window,
    *,
    webhook_id: str,
    status: str | None = None,
    event_type: str | None = None,
) -> Page[DeliveryRow]:
    """Return an endpoint's messages that were not pruned."""
    return await reader.page(
        DeliveryRow,
        "SELECT d.*, e.team_id FROM webhook_deliveries AS d JOIN webhook_endpoints AS e"
        " USING (webhook_id) WHERE webhook_id = %s AND (%s::text IS NULL OR status = %s)"
        " AND (%s::text IS NULL OR event_type = %s)",
        webhook_id,
        status,
        status,
        event_type,
        event_type,
        listing=DELIVERY_LISTING,
        window=window,
    )


async def delivery_by_id(
    reader: Reader, delivery_id: str, *, team_ids: Sequence[str]
) -> DeliveryRow | None:
    """Return one message to one of these teams' endpoints."""
    return await reader.row(
        DeliveryRow,
        "SELECT d.*, e.team_id FROM webhook_deliveries AS d JOIN webhook_endpoints AS e"
        " USING (webhook_id) WHERE d.id = %s AND e.team_id = ANY(%s)",
        delivery_id,
        list(team_ids),
    )


async def attempts_at(reader: Reader, delivery_id: str) -> Sequence[AttemptRow]:
    """Return every try to send a message, the first one first."""
    return await reader.rows(
        AttemptRow,
        "SELECT number, at, duration_ms, status, answer, problem FROM webhook_attempts"
        " WHERE delivery_id = %s ORDER BY number",
        delivery_id,
    )
