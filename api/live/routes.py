"""The socket on which live events come, and the ticket a browser needs for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter
from pydantic import Field
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.answers import answer
from api.callers import Caller, Doorkeeper
from api.errors import InvalidCredentials
from api.guard import GuardedRoute
from api.live.hub import TooSlow, place_of
from api.live.tickets import Tickets
from api.openapi import refusals
from api.requests import Writing
from api.schemas import Output
from api.services import Services
from domain.kernel.errors import DomainError
from infrastructure.ending import end
from projections.live import LiveEvent

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Live events"])

CHECK_SECONDS = 1.0
"""How often it is asked again whether the watcher may still watch: as long as a caller is
remembered, so that a sign-out or a revocation acts within about a second."""
UNAUTHENTICATED, FORBIDDEN, TRY_AGAIN = 4401, 4403, 1013
SCOPES = {"deployment": "deployments:read", "domain": "deployments:read", "key": "keys:read"}


class Ticket(Output):
    """What opens one socket."""

    ticket: Annotated[str, Field(examples=["ses-….1795438200.…"])]
    expires_at: datetime


@router.post("/events/ticket", response_model=Ticket, responses=refusals(401, 403))
async def ticket(write: Writing) -> Response:
    """Get a ticket for `WS /v1/events?ticket=…`: good for one connection within 30 seconds."""
    write.must_be_a_person()
    tickets = Tickets(write.services.secret, write.services.counters)
    text, ends_at = tickets.issue(write.caller.session_id or "", now=write.services.clock())
    return answer(Ticket(ticket=text, expires_at=ends_at)).response()


@router.websocket("/events")
async def events(socket: WebSocket) -> None:
    """Tell what happens to the caller's things, from now on or since a cursor."""
    services: Services = socket.app.state.services
    doorkeeper: Doorkeeper = socket.app.state.doorkeeper
    watcher = _Visitor(socket, services, doorkeeper)
    try:
        await watcher.come_in()
        since = socket.query_params.get("since")
        place = place_of(since) if since is not None else None
    except ValueError:
        await watcher.refuse(FORBIDDEN, "since is a position of the log")
        return
    except DomainError as error:
        await watcher.refuse(UNAUTHENTICATED, error.message)
        return
    await socket.accept()
    await watcher.serve(services.live.watch(watcher.wants, since=place))


class _Visitor:
    """One connection, and whose it is."""

    def __init__(self, socket: WebSocket, services: Services, doorkeeper: Doorkeeper) -> None:
        self._socket = socket
        self._services = services
        self._doorkeeper = doorkeeper
        self._credential: Headers | None = None
        self._session_id: str | None = None
        self._caller: Caller | None = None

    async def come_in(self) -> None:
        """Find out who it is; raises a `DomainError` for a stranger."""
        query, headers = self._socket.query_params, self._socket.headers
        origin = headers.get("origin")
        if "ticket" in query:
            tickets = Tickets(self._services.secret, self._services.counters)
            now = self._services.clock()
            self._session_id = await tickets.redeem(query["ticket"], now=now)
        elif origin is not None and origin not in self._services.options.cors_origins:
            raise InvalidCredentials("A browser comes with a ticket: POST /v1/events/ticket.")
        elif "token" in query:
            self._credential = Headers({"authorization": f"Bearer {query['token']}"})
        else:
            self._credential = headers
        await self._check()

    async def _check(self) -> None:
        if self._session_id is not None:
            self._caller = await self._doorkeeper.caller_of_session(self._session_id)
            return
        address = (self._socket.client or ("unknown", 0))[0]
        self._caller = await self._doorkeeper.caller_of(self._credential or Headers(), address)
        if self._caller is None:
            raise InvalidCredentials

    def wants(self, event: LiveEvent) -> bool:
        """Tell whether the visitor may know this."""
        caller = self._caller
        scope = SCOPES.get(event.type.partition(".")[0], "deployments:read")
        return caller is not None and caller.actor.holds(scope, team_id=event.team_id)

    async def refuse(self, code: int, reason: str) -> None:
        """Close before anything was said. Accepted first: else the code would not arrive."""
        await self._socket.accept()
        await self._socket.close(code, reason[:120])

    async def serve(self, events: AsyncIterator[LiveEvent]) -> None:
        """Send until either side has enough."""
        sending = asyncio.ensure_future(self._send(events))
        checking = asyncio.ensure_future(self._keep_checking())
        listening = asyncio.ensure_future(self._listen())
        try:
            await asyncio.wait({sending, checking, listening}, return_when=asyncio.FIRST_COMPLETED)
            if checking.done():
                await self._socket.close(UNAUTHENTICATED, "You may not watch any more.")
            elif sending.done() and isinstance(sending.exception(), TooSlow):
                await self._socket.close(TRY_AGAIN, "Too slow: come back with since=<cursor>.")
        finally:
            await end(sending, checking, listening)

    async def _send(self, events: AsyncIterator[LiveEvent]) -> None:
        encoder = msgspec.json.Encoder()
        async with contextlib.aclosing(events):  # type: ignore[type-var] # a generator
            async for event in events:
                await self._socket.send_text(encoder.encode(event).decode())

    async def _keep_checking(self) -> None:
        """Return when the visitor may not watch any more."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self._check()
            except InvalidCredentials:
                return
            except Exception:  # noqa: BLE001, S112 - the views are away for a moment
                continue

    async def _listen(self) -> None:
        """Return when the other side has gone. What it says is not listened to."""
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
