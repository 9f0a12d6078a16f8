"""What a deployment's containers wrote: the last lines, and each new one."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket

from api.answers import respond
from api.deployments.finding import their_deployment
from api.deployments.shapes import DeploymentId
from api.errors import InvalidCredentials, InvalidValue
from api.guard import GuardedRoute
from api.live.queues import TooSlow
from api.live.visitor import CHECK_SECONDS, FORBIDDEN, Visitor
from api.moments import moment
from api.openapi import refusals
from api.requests import Read, reading
from api.schemas import Input, Output, Text
from infrastructure.ending import end
from projections.analytics.logs import LogEntry
from projections.deployments import deployment_by_id

router = APIRouter(route_class=GuardedRoute, prefix="/v1/deployments", tags=["Deployments"])

FOLLOWED = "application/x-ndjson"
TAIL_AT_FIRST = 100
NOT_FOUND = 4404


class LogQuery(Input):
    """Which lines of a log."""

    tail: Annotated[int, Field(ge=1, le=5000)] = 100
    follow: bool = False
    since: Annotated[Text | None, Field(max_length=40)] = None
    until: Annotated[Text | None, Field(max_length=40)] = None
    search: Annotated[Text, Field(max_length=200)] = ""


class Line(Output):
    """One line that a container wrote."""

    timestamp: datetime
    level: str
    message: str
    source: str
    replica: str


class Lines(Output):
    """The newest lines, oldest first."""

    logs: list[Line]


@router.get(
    "/{deployment_id}/logs",
    response_model=Lines,
    responses={
        **refusals(401, 403, 404),
        200: {
            "description": "The lines; with `follow=true` one JSON object per line, without end.",
            "content": {FOLLOWED: {"schema": {"type": "string"}}},
        },
    },
)
async def logs(
    deployment_id: DeploymentId,
    query: Annotated[LogQuery, Query()],
    read: Annotated[Read, reading("deployments")],
) -> Response:
    """Show what its containers wrote, and with `follow=true` go on with what they write."""
    row = await their_deployment(read, deployment_id, "logs:read")
    since = moment(query.since, "since") if query.since else None
    if query.follow:
        if query.until is not None:
            raise InvalidValue("What is followed has no end.", until="cannot be with follow")
        lines = read.services.followers.follow(
            row.id, team_id=row.team_id, tail=query.tail, since=since, search=query.search
        )
        return StreamingResponse(_streamed(read, lines), media_type=FOLLOWED)
    entries = await read.services.logs.tail(
        row.id,
        team_id=row.team_id,
        limit=query.tail,
        since=since,
        until=moment(query.until, "until") if query.until else None,
        search=query.search,
    )
    return respond(Lines(logs=[_line(entry) for entry in entries]))


@router.websocket("/{deployment_id}/logs/stream")
async def stream(socket: WebSocket, deployment_id: str) -> None:
    """Send the last lines and then each new one: `?tail=` so many of the last, `?search=`."""
    visitor = Visitor(socket)
    if not await visitor.come_in():
        return
    actor, query = visitor.caller.actor, socket.query_params
    tail = query.get("tail", str(TAIL_AT_FIRST))
    row = await deployment_by_id(
        visitor.services.views, deployment_id, team_ids=actor.teams_with("logs:read")
    )
    if row is None:
        await visitor.refuse(NOT_FOUND, "There is no such deployment.")
        return
    if not tail.isascii() or not tail.isdecimal() or int(tail) > 5000:  # noqa: PLR2004 - as above
        await visitor.refuse(FORBIDDEN, "tail is a number up to 5000")
        return
    lines = visitor.services.followers.follow(
        row.id, team_id=row.team_id, tail=int(tail), search=query.get("search", "")[:200]
    )
    await visitor.serve(_texts(lines))


async def _texts(lines: AsyncGenerator[LogEntry, None]) -> AsyncGenerator[str, None]:
    async with contextlib.aclosing(lines):
        async for entry in lines:
            yield _line(entry).model_dump_json(by_alias=True)


async def _streamed(read: Read, lines: AsyncGenerator[LogEntry, None]) -> AsyncGenerator[str, None]:
    """Yield line after line until the reader goes, is too slow, or may not read any more."""
    checking = asyncio.ensure_future(_until_refused(read))
    following: asyncio.Future[LogEntry] | None = None
    try:
        while True:
            following = asyncio.ensure_future(anext(lines))
            await asyncio.wait({following, checking}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                return
            yield _line(following.result()).model_dump_json(by_alias=True) + "\n"
    except TooSlow:
        return
    finally:
        await end(checking, *([following] if following is not None else []))
        await lines.aclose()


async def _until_refused(read: Read) -> None:
    """Return when the reader may not read any more, or was there for as long as one may."""
    request = read.request
    clock = asyncio.get_running_loop().time
    deadline = clock() + read.options.follow_seconds_max
    while (left := deadline - clock()) > 0:
        await asyncio.sleep(min(CHECK_SECONDS, left))
        with contextlib.suppress(Exception):  # the views may be away for a moment
            try:
                await read.doorkeeper.caller_of(request.headers, request.state.address)
            except InvalidCredentials:
                return


def _line(entry: LogEntry) -> Line:
    return Line(
        timestamp=entry.timestamp,
        level=entry.level or "info",
        message=entry.message,
        source=entry.source,
        replica=entry.replica_id,
    )
