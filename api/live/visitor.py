"""One WebSocket and whose it is: let in, sent to, looked at again, let go."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from starlette.datastructures import Headers
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.callers import Caller, Doorkeeper
from api.errors import InvalidCredentials, Unauthenticated
from api.live.queues import TooSlow
from api.live.tickets import Tickets
from api.services import Services
from domain.kernel.errors import DomainError
from infrastructure.ending import end

CHECK_SECONDS = 1.0
"""How often it is asked again whether the visitor may stay: as long as a caller is remembered, so
that a sign-out or a revocation acts within about a second."""
UNAUTHENTICATED, FORBIDDEN, TRY_AGAIN = 4401, 4403, 1013


class Visitor:
    """Somebody who came by WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self.services: Services = socket.app.state.services
        self._socket = socket
        self._doorkeeper: Doorkeeper = socket.app.state.doorkeeper
        self._credential: Headers | None = None
        self._session_id: str | None = None
        self._caller: Caller | None = None

    @property
    def caller(self) -> Caller:
        """Who it is. Only after coming in."""
        if self._caller is None:
            raise Unauthenticated
        return self._caller

    async def come_in(self) -> bool:
        """Find out who it is; close the socket and return False for a stranger."""
        query, headers = self._socket.query_params, self._socket.headers
        origin = headers.get("origin")
        try:
            if "ticket" in query:
                tickets = Tickets(self.services.secret, self.services.counters)
                now = self.services.clock()
                self._session_id = await tickets.redeem(query["ticket"], now=now)
            elif origin is not None and origin not in self.services.options.cors_origins:
                raise InvalidCredentials("A browser comes with a ticket: POST /v1/events/ticket.")
            elif "token" in query:
                self._credential = Headers({"authorization": f"Bearer {query['token']}"})
            else:
                self._credential = headers
            await self._check()
        except DomainError as error:
            await self.refuse(UNAUTHENTICATED, error.message)
            return False
        return True

    async def refuse(self, code: int, reason: str) -> None:
        """Close before anything was said. Accepted first: else the code would not arrive."""
        await self._socket.accept()
        await self._socket.close(code, reason[:120])

    async def serve(self, messages: AsyncGenerator[str, None]) -> None:
        """Send until either side has enough."""
        await self._socket.accept()
        sending = asyncio.ensure_future(self._send(messages))
        checking = asyncio.ensure_future(self._keep_checking())
        listening = asyncio.ensure_future(self._listen())
        try:
            await asyncio.wait({sending, checking, listening}, return_when=asyncio.FIRST_COMPLETED)
            if checking.done():
                await self._socket.close(UNAUTHENTICATED, "You may not watch any more.")
            elif sending.done() and isinstance(sending.exception(), TooSlow):
                await self._socket.close(TRY_AGAIN, "Too slow: come back for what is missing.")
        finally:
            await end(sending, checking, listening)

    async def _check(self) -> None:
        if self._session_id is not None:
            self._caller = await self._doorkeeper.caller_of_session(self._session_id)
            return
        address = (self._socket.client or ("unknown", 0))[0]
        self._caller = await self._doorkeeper.caller_of(self._credential or Headers(), address)
        if self._caller is None:
            raise Unauthenticated

    async def _send(self, messages: AsyncGenerator[str, None]) -> None:
        async with contextlib.aclosing(messages):
            async for message in messages:
                await self._socket.send_text(message)

    async def _keep_checking(self) -> None:
        """Return when the visitor may not stay any more."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self._check()
            except (InvalidCredentials, Unauthenticated):
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
