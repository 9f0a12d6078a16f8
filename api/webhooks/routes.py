"""Webhooks: made, shown, changed, given a new secret, deleted."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query
from pydantic import Field
from pydantic.types import Strict
from starlette.responses import Response

from api.answers import Answer, answer, respond
from api.errors import InvalidValue
from api.guard import GuardedRoute
from api.lists import Pagination, TeamPageQuery, pagination_of, sorted_by, window_of
from api.openapi import refusals
from api.requests import Read, Writing, etag, reading
from api.schemas import Input, Integer, Message, Output, Text, identifier
from api.services import Services
from commands.webhooks import (
    URL_PURPOSE,
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    RotateWebhookSecret,
    ShownWebhook,
)
from domain.kernel.errors import NotFound
from domain.kernel.events import ERASED
from domain.kernel.ids import is_id
from domain.webhooks.values import (
    URL_LENGTH_MAX,
    DisabledBecause,
    InvalidWebhookUrl,
    endpoint_of,
)
from infrastructure.outside import is_public
from infrastructure.sealing import Vault, opened
from projections.live import LIVE_TYPES
from projections.webhooks import (
    WEBHOOK_LISTING,
    WebhookRow,
    count_webhooks,
    list_webhooks,
    webhook_by_id,
)

router = APIRouter(route_class=GuardedRoute, prefix="/v1/webhooks", tags=["Webhooks"])

VIEWS = ("webhooks",)
WebhookId = Annotated[str, identifier("whk")]
Reading = Annotated[Read, reading(*VIEWS)]
GRACE_SECONDS_MAX = 7 * 24 * 3600
GRACE_SECONDS_DEFAULT = 24 * 3600
LOOKUP_SECONDS = 3.0

Url = Annotated[
    Text,
    Field(max_length=URL_LENGTH_MAX, examples=["https://hooks.example.com/tallyport"]),
]
EventTypes = Annotated[
    list[Text],
    Field(min_length=1, max_length=50, examples=[["deployment.*", "domain.failed"]]),
]
Description = Annotated[Text, Field(max_length=200)]

log = structlog.get_logger()


class NewWebhook(Input):
    """A webhook to be made."""

    team_id: Annotated[str | None, Field(max_length=40)] = None
    """Whose it is; the caller's own team unless named."""
    url: Url
    """Where messages are sent: `https://`, a public host, port 443. Only the team sees it."""
    event_types: EventTypes
    """What it is told of: types by name, `deployment.*` for all that begin so, `*` for all."""
    description: Description | None = None


class WebhookChange(Input):
    """What is to be different. What is left out stays."""

    url: Url = Field(default_factory=str)
    event_types: EventTypes = Field(default_factory=list)
    description: Description | None = None
    """Null: none."""
    enabled: Annotated[bool, Strict()] = Field(default_factory=bool)
    """What happened meanwhile is not sent by itself: replay it."""


class SecretRotation(Input):
    """How the secret before ends."""

    grace_seconds: Annotated[Integer, Field(ge=0, le=GRACE_SECONDS_MAX)] = GRACE_SECONDS_DEFAULT
    """So long messages are signed with both; with 0 only with the new one."""


class WhatAWebhookIs(Output):
    """A webhook, without its secret."""

    id: str
    team_id: str
    url: str
    event_types: list[str]
    description: str | None
    enabled: bool


class WebhookOut(WhatAWebhookIs):
    """A webhook as it stands."""

    disabled_reason: DisabledBecause | None
    """`asked`: by somebody of the team; `failing`: it took nothing for days; `gone`: it said so."""
    disabled_at: datetime | None
    previous_secret_until: datetime | None
    """While the secret is being rotated: how long the one before signs along."""
    created_by: str
    created_at: datetime
    updated_at: datetime


class CreatedWebhook(WhatAWebhookIs):
    """A new webhook, and the only sight of its secret."""

    secret: Annotated[str, Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])]
    created_at: datetime


class ChangedWebhook(WhatAWebhookIs):
    """A webhook after a change."""

    updated_at: datetime


class RotatedWebhook(ChangedWebhook):
    """A webhook after it got a new secret, and the only sight of that."""

    secret: Annotated[str, Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])]
    previous_secret_until: datetime | None


class Webhooks(Output):
    """A part of the webhooks."""

    webhooks: list[WebhookOut]
    pagination: Pagination


class EventTypeOut(Output):
    """Something that can be asked for."""

    type: str
    description: str


class EventTypesOut(Output):
    """All there are."""

    event_types: list[EventTypeOut]


@router.post("", status_code=201, response_model=CreatedWebhook, responses=refusals(401, 403, 404))
async def create(body: NewWebhook, write: Writing) -> Response:
    """Make a webhook. Its secret is shown in this answer and never again."""
    team_id = write.team_id("webhooks:write", named=body.team_id)
    await must_lead_outside(body.url, write.services)
    command = CreateWebhook(
        team_id=team_id,
        url=body.url,
        event_types=tuple(body.event_types),
        description=body.description,
        known_types=tuple(LIVE_TYPES),
        private_hosts=write.options.webhook_hosts,
        present=await count_webhooks(write.views, team_id=team_id),
        webhooks_max=write.options.webhooks_max,
    )

    def made(done: ShownWebhook) -> Answer:
        shown = CreatedWebhook(**_after(done), secret=done.secret, created_at=done.at)
        return answer(shown, status=201, headers={"Location": f"/v1/webhooks/{shown.id}"})

    return await write.dispatch(command, made)


@router.get(
    "",
    response_model=Webhooks,
    responses=refusals(401, 403),
    openapi_extra=sorted_by(WEBHOOK_LISTING),
)
async def list_all(query: Annotated[TeamPageQuery, Query()], read: Reading) -> Response:
    """List the webhooks."""
    team_ids = read.team_ids("webhooks:read", "webhooks:write", named=query.team_id)
    window = window_of(query, WEBHOOK_LISTING, "webhooks", read.services)
    page = await list_webhooks(read.views, window, team_ids=team_ids)
    await read.services.vault.load({row.team_id for row in page.rows})
    return respond(
        Webhooks(
            webhooks=[_shown(row, read) for row in page.rows],
            pagination=pagination_of(page, window, query, "webhooks", read.services),
        )
    )


@router.get("/event-types", response_model=EventTypesOut, responses=refusals(401))
async def list_event_types(read: Annotated[Read, reading()]) -> Response:
    """List what a webhook may ask for."""
    del read
    types = [EventTypeOut(type=name, description=told) for name, told in LIVE_TYPES.items()]
    return respond(EventTypesOut(event_types=types))


@router.get("/{webhook_id}", response_model=WebhookOut, responses=refusals(401, 403, 404))
async def get(webhook_id: WebhookId, read: Reading) -> Response:
    """Show one webhook."""
    row = await their_webhook(read, webhook_id)
    await read.services.vault.load([row.team_id])
    return respond(_shown(row, read), headers={"ETag": etag(row.version)})


@router.patch(
    "/{webhook_id}", response_model=ChangedWebhook, responses=refusals(401, 403, 404, 412)
)
async def change(webhook_id: WebhookId, body: WebhookChange, write: Writing) -> Response:
    """Change a webhook; what is on its way already goes to the new URL too."""
    if not is_id(webhook_id, "whk"):
        raise NotFound
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    if not changes:
        raise InvalidValue("Name at least one field that is to be different.")
    if "url" in changes:
        await must_lead_outside(body.url, write.services)
    if "event_types" in changes:
        changes["event_types"] = tuple(body.event_types)
    command = ChangeWebhook(
        webhook_id=webhook_id,
        known_types=tuple(LIVE_TYPES),
        private_hosts=write.options.webhook_hosts,
        **changes,
    )
    return await write.dispatch(
        command,
        lambda done: answer(ChangedWebhook(**_after(done), updated_at=done.at)),
        resource=webhook_id,
    )


@router.delete("/{webhook_id}", response_model=Message, responses=refusals(401, 403, 404, 412))
async def delete(webhook_id: WebhookId, write: Writing) -> Response:
    """Delete a webhook, and what was to be sent to it."""
    if not is_id(webhook_id, "whk"):
        raise NotFound
    return await write.dispatch(
        DeleteWebhook(webhook_id=webhook_id),
        lambda _: answer(Message(message="Webhook deleted successfully")),
        resource=webhook_id,
    )


@router.post(
    "/{webhook_id}/rotate-secret",
    response_model=RotatedWebhook,
    responses=refusals(401, 403, 404, 412),
)
async def rotate_secret(webhook_id: WebhookId, body: SecretRotation, write: Writing) -> Response:
    """Give a webhook a new secret, shown in this answer and never again.

    For the grace every message carries two signatures, one of each secret.
    """
    if not is_id(webhook_id, "whk"):
        raise NotFound

    def rotated(done: ShownWebhook) -> Answer:
        return answer(
            RotatedWebhook(
                **_after(done),
                updated_at=done.at,
                secret=done.secret,
                previous_secret_until=done.webhook.previous_until if body.grace_seconds else None,
            )
        )

    command = RotateWebhookSecret(
        webhook_id=webhook_id, grace=timedelta(seconds=body.grace_seconds)
    )
    return await write.dispatch(command, rotated, resource=webhook_id)


async def their_webhook(read: Read, webhook_id: str) -> WebhookRow:
    """Return a webhook that the caller may look at."""
    row = None
    if is_id(webhook_id, "whk"):
        row = await webhook_by_id(read.views, webhook_id, team_ids=read.seen_teams)
    if row is None:
        raise NotFound
    read.must_hold("webhooks:read", "webhooks:write", team_id=row.team_id)
    return row


async def must_lead_outside(url: str, services: Services) -> None:
    """Refuse early what no message would ever be sent to; raises `InvalidWebhookUrl`.

    A name that cannot be looked up now may be known tomorrow. What counts is asked again with every
    connection.
    """
    endpoint = endpoint_of(url, private_hosts=services.options.webhook_hosts)
    if endpoint.vouched:
        return
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            addresses = await services.lookup(endpoint.host, endpoint.port)
    except (OSError, TimeoutError, UnicodeError) as error:
        log.info("webhook host not looked up", error=type(error).__name__)
        return
    if not all(is_public(address) for address in addresses):
        raise InvalidWebhookUrl("This host is not on the public internet.")


def _after(done: ShownWebhook) -> dict[str, Any]:
    webhook = done.webhook
    return {
        "id": webhook.webhook_id,
        "team_id": webhook.team_id,
        "url": done.url,
        "event_types": list(webhook.event_types),
        "description": webhook.description,
        "enabled": webhook.enabled,
    }


def _shown(row: WebhookRow, read: Read) -> WebhookOut:
    until = row.previous_until
    return WebhookOut(
        id=row.id,
        team_id=row.team_id,
        url=shown_url(read.services.vault, row),
        event_types=list(row.event_types),
        description=row.description,
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        disabled_at=row.disabled_at,
        previous_secret_until=until
        if until is not None and read.services.clock() < until
        else None,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def shown_url(vault: Vault, row: WebhookRow) -> str:
    """Return the URL in clear, for its team. The team's key is loaded."""
    return opened(vault, row.url, purpose=URL_PURPOSE) or ERASED
