"""The socket on which live events come, and the ticket a browser needs for it."""

import contextlib
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response
from starlette.websockets import WebSocket

from api.answers import answer
from api.guard import GuardedRoute
from api.live.hub import Place, place_of
from api.live.tickets import Tickets
from api.live.visitor import FORBIDDEN, Visitor
from api.openapi import refusals
from api.requests import Writing
from api.schemas import Output
from projections.live import LiveEvent

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Live events"])

SCOPES = {"deployment": "deployments:read", "domain": "deployments:read", "key": "keys:read"}


class Ticket(Output):
    """What opens one socket."""

    ticket: Annotated[str, Field(examples=["ses-….1795438200.…"])]
    expires_at: datetime


@router.post("/events/ticket", response_model=Ticket, responses=refusals(401, 403))
async def ticket(write: Writing) -> Response:
    """Get a ticket for a WebSocket (`?ticket=…`): good for one connection within 30 seconds."""
    write.must_be_a_person()
    tickets = Tickets(write.services.secret, write.services.counters)
    text, ends_at = tickets.issue(write.caller.session_id or "", now=write.services.clock())
    return answer(Ticket(ticket=text, expires_at=ends_at)).response()


@router.websocket("/events")
async def events(socket: WebSocket) -> None:
    """Tell what happens to the caller's things, from now on or since a cursor."""
    visitor = Visitor(socket)
    if not await visitor.come_in():
        return
    since = socket.query_params.get("since")
    try:
        place = place_of(since) if since is not None else None
    except ValueError:
        await visitor.refuse(FORBIDDEN, "since is a position of the log")
        return
    await visitor.serve(_told(visitor, place))


async def _told(visitor: Visitor, since: Place | None) -> AsyncGenerator[str, None]:
    encoder = msgspec.json.Encoder()
    watched = visitor.services.live.watch(lambda event: _may_know(visitor, event), since=since)
    async with contextlib.aclosing(watched):
        async for event in watched:
            yield encoder.encode(event).decode()


def _may_know(visitor: Visitor, event: LiveEvent) -> bool:
    scope = SCOPES.get(event.type.partition(".")[0], "deployments:read")
    return visitor.caller.actor.holds(scope, team_id=event.team_id)
