"""What a webhook was told and what it answered; sent again one by one, or all since a time."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from pydantic.types import Strict
from starlette.responses import Response

from api.answers import Answer, answer, respond
from api.guard import GuardedRoute
from api.lists import PageQuery, Pagination, pagination_of, sorted_by, window_of
from api.openapi import refusals
from api.requests import Asking, Read, Writing, reading
from api.schemas import Input, Instant, Message, Output, Text, identifier
from api.webhooks.routes import WebhookId, their_webhook
from commands.webhooks import Asked, ReplayWebhook, RetryDelivery, SendTestMessage
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from projections.webhook_deliveries import (
    DELIVERY_LISTING,
    AttemptRow,
    DeliveryRow,
    attempts_at,
    delivery_by_id,
    list_deliveries,
)

router = APIRouter(route_class=GuardedRoute, prefix="/v1/webhooks", tags=["Webhooks"])

DeliveryId = Annotated[str, identifier("whd")]
Reading = Annotated[Read, reading("webhooks")]
Status = Literal["pending", "delivered", "failed"]
ACCEPTED = 202


class DeliveryQuery(PageQuery):
    """Which messages."""

    status: Status | None = None
    event_type: Annotated[Text | None, Field(max_length=100)] = None


class DeliveryOut(Output):
    """A message, and how it stands."""

    id: str
    """The same with every attempt, as the header `webhook-id`."""
    webhook_id: str
    event_type: str
    status: Status
    """`pending`: it will be tried (again); `delivered`: taken; `failed`: given up."""
    attempts: int
    created_at: datetime
    last_attempt_at: datetime | None
    next_attempt_at: datetime | None
    response_status: int | None
    """What it was answered with last; null: nothing came."""
    problem: str | None
    """Why it was not taken."""


class AttemptOut(Output):
    """One try to send a message."""

    number: int
    at: datetime
    duration_ms: int
    response_status: int | None
    response_body: str | None
    """The beginning of the answer, up to 64 KiB."""
    problem: str | None


class WholeDelivery(DeliveryOut):
    """A message with what was sent and every answer."""

    request_body: str
    """Exactly what is signed and sent."""
    attempt_log: list[AttemptOut]


class Deliveries(Output):
    """A part of the messages."""

    deliveries: list[DeliveryOut]
    pagination: Pagination


class Sent(Output):
    """A message that is on its way."""

    delivery_id: str
    message: str


class ReplayWish(Input):
    """What is to be sent again."""

    since: Instant
    until: Instant | None = None
    """Now, unless given."""
    missed_only: Annotated[bool, Strict()] = False
    """Leave out what the endpoint has taken already."""


@router.get(
    "/{webhook_id}/deliveries",
    response_model=Deliveries,
    responses=refusals(401, 403, 404),
    openapi_extra=sorted_by(DELIVERY_LISTING),
)
async def deliveries(
    webhook_id: WebhookId, query: Annotated[DeliveryQuery, Query()], read: Reading
) -> Response:
    """List what a webhook was told, newest first."""
    webhook = await their_webhook(read, webhook_id)
    name = f"deliveries of {webhook.id}"
    window = window_of(query, DELIVERY_LISTING, name, read.services)
    page = await list_deliveries(
        read.views,
        window,
        webhook_id=webhook.id,
        status=query.status,
        event_type=query.event_type,
    )
    return respond(
        Deliveries(
            deliveries=[DeliveryOut(**_delivery(row)) for row in page.rows],
            pagination=pagination_of(page, window, query, name, read.services),
        )
    )


@router.get(
    "/deliveries/{delivery_id}", response_model=WholeDelivery, responses=refusals(401, 403, 404)
)
async def delivery(delivery_id: DeliveryId, read: Reading) -> Response:
    """Show one message: what was sent, and what came back each time."""
    row = await _their_delivery(read, delivery_id)
    read.must_hold("webhooks:read", "webhooks:write", team_id=row.team_id)
    attempts = await attempts_at(read.views, row.id)
    return respond(
        WholeDelivery(
            **_delivery(row),
            request_body=row.body,
            attempt_log=[_attempt(each) for each in attempts],
        )
    )


@router.post(
    "/deliveries/{delivery_id}/retry",
    status_code=ACCEPTED,
    response_model=Sent,
    responses=refusals(401, 403, 404),
)
async def retry(delivery_id: DeliveryId, write: Writing) -> Response:
    """Send one message now, whatever became of it before."""
    row = await _their_delivery(write, delivery_id)
    return await write.dispatch(
        RetryDelivery(webhook_id=row.webhook_id, delivery_id=row.id),
        lambda asked: _sent(asked, "The message is being sent again"),
    )


@router.post(
    "/{webhook_id}/replay",
    status_code=ACCEPTED,
    response_model=Message,
    responses=refusals(401, 403, 404),
)
async def replay(webhook_id: WebhookId, body: ReplayWish, write: Writing) -> Response:
    """Send what happened since a time, from the log: also what was before the webhook, or missed.

    What the endpoint was told before comes under the same id.
    """
    if not is_id(webhook_id, "whk"):
        raise NotFound
    return await write.dispatch(
        ReplayWebhook(
            webhook_id=webhook_id,
            since=body.since,
            until=body.until,
            missed_only=body.missed_only,
        ),
        lambda _: answer(Message(message="What happened is being sent again"), status=ACCEPTED),
    )


@router.post(
    "/{webhook_id}/test",
    status_code=ACCEPTED,
    response_model=Sent,
    responses=refusals(401, 403, 404),
)
async def send_test(webhook_id: WebhookId, write: Writing) -> Response:
    """Send a message of the type `webhook.test`; what it was answered is with its delivery."""
    if not is_id(webhook_id, "whk"):
        raise NotFound
    return await write.dispatch(
        SendTestMessage(webhook_id=webhook_id),
        lambda asked: _sent(asked, "A test message is being sent"),
    )


async def _their_delivery(asking: Asking, delivery_id: str) -> DeliveryRow:
    row = None
    if is_id(delivery_id, "whd"):
        row = await delivery_by_id(asking.views, delivery_id, team_ids=asking.seen_teams)
    if row is None:
        raise NotFound
    return row


def _sent(asked: Asked, message: str) -> Answer:
    return answer(Sent(delivery_id=asked.delivery_id, message=message), status=ACCEPTED)


def _delivery(row: DeliveryRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "webhook_id": row.webhook_id,
        "event_type": row.event_type,
        "status": row.status,
        "attempts": row.attempts,
        "created_at": row.created_at,
        "last_attempt_at": row.last_attempt_at,
        "next_attempt_at": row.due_at if row.status == "pending" else None,
        "response_status": row.last_status,
        "problem": row.problem,
    }


def _attempt(row: AttemptRow) -> AttemptOut:
    return AttemptOut(
        number=row.number,
        at=row.at,
        duration_ms=row.duration_ms,
        response_status=row.status,
        response_body=row.answer,
        problem=row.problem,
    )
