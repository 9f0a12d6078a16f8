"""Who did what, when, from where; and the history of one thing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from api.addresses import opened_addresses
from api.answers import respond
from api.guard import GuardedRoute
from api.lists import Pagination, TeamPageQuery, pagination_of, sorted_by, window_of
from api.moments import moment
from api.openapi import refusals
from api.requests import Read, reading
from api.schemas import Output, Text
from commands.work import missing
from domain.alerts.values import PLATFORM
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from projections.audit import AUDIT_LISTING, AuditRow, Sought, history, list_audit

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Audit"])

RESOURCES = ("org", "dpl", "crt", "dom", "key", "usr", "ses", "whk")
Reading = Annotated[Read, reading("audit")]


class AuditQuery(TeamPageQuery):
    """Which events."""

    actor: Annotated[Text | None, Field(max_length=60)] = None
    type: Annotated[Text | None, Field(max_length=100)] = None
    stream_id: Annotated[Text | None, Field(max_length=100)] = None
    from_: Annotated[Text | None, Field(alias="from", max_length=40)] = None
    to: Annotated[Text | None, Field(max_length=40)] = None


class Entry(Output):
    """One event. What is personal or secret in it is masked."""

    position: int
    event_id: str
    recorded_at: datetime
    type: str
    stream_id: str
    version: int
    actor: str
    address: str | None
    correlation_id: str | None
    content: dict[str, Any]


class Entries(Output):
    """A part of the audit list."""

    events: list[Entry]
    pagination: Pagination


class History(Output):
    """All that happened to one thing, oldest first."""

    resource: str
    events: list[Entry]


@router.get(
    "/audit",
    response_model=Entries,
    responses=refusals(401, 403),
    openapi_extra=sorted_by(AUDIT_LISTING),
)
async def audit(query: Annotated[AuditQuery, Query()], read: Reading) -> Response:
    """List what happened to the team's things, newest first."""
    team_ids = read.team_ids("audit:read", named=query.team_id)
    if query.team_id is None and read.caller.actor.platform_admin:
        team_ids = (*team_ids, PLATFORM)
    window = window_of(query, AUDIT_LISTING, "audit", read.services)
    sought = Sought(
        actor=query.actor,
        type=query.type,
        stream_id=query.stream_id,
        start=moment(query.from_, "from") if query.from_ is not None else None,
        end=moment(query.to, "to") if query.to is not None else None,
    )
    page = await list_audit(
        read.views,
        window,
        sought,
        team_ids=team_ids,
        user_id=read.caller.actor.user_id if query.team_id is None else None,
    )
    return respond(
        Entries(
            events=await _entries(page.rows, read),
            pagination=pagination_of(page, window, query, "audit", read.services),
        )
    )


@router.get("/history/{resource}", response_model=History, responses=refusals(401, 403, 404))
async def history_of(
    resource: Annotated[str, Path(description="An id, for example of a deployment")],
    read: Reading,
) -> Response:
    """Show all that happened to one thing. What is gone still has its history."""
    team_ids = read.team_ids("audit:read")
    if not any(is_id(resource, prefix) for prefix in RESOURCES):
        raise NotFound
    user_id = read.caller.actor.user_id
    rows = await history(read.views, resource, team_ids=team_ids, user_id=user_id)
    if not rows:
        seen = await history(read.views, resource, team_ids=read.seen_teams, user_id=user_id)
        raise missing("audit:read") if seen else NotFound
    return respond(History(resource=resource, events=await _entries(rows, read)))


async def _entries(rows: Sequence[AuditRow], read: Read) -> list[Entry]:
    addresses = await opened_addresses(read.services.vault, [row.address for row in rows])
    return [
        entry_of(row, address=address, content=row.content)
        for row, address in zip(rows, addresses, strict=True)
    ]


def entry_of(row: AuditRow, *, address: str | None, content: dict[str, Any]) -> Entry:
    """Return an event as it is shown to somebody who may see this much of it."""
    return Entry(
        position=row.position,
        event_id=row.event_id,
        recorded_at=row.recorded_at,
        type=row.type,
        stream_id=row.stream_id,
        version=row.version,
        actor=row.actor,
        address=address,
        correlation_id=row.correlation_id,
        content=content,
    )
