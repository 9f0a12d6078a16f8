"""One connection that listens for everybody in a process who follows the log.

PostgreSQL wakes every connection that listens, at every notification in the database: with one
for each view it had more to do with waking them than with the events.
"""

import asyncio
from contextlib import suppress

import psycopg
from psycopg.rows import TupleRow

from infrastructure.ending import end

UNCLEAR = 2**63
"""Something happened, nobody knows where: further than whatever anybody has seen."""


class Listener:
    """What one follower was told."""

    def __init__(self) -> None:
        self.listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._told = asyncio.Event()
        self._furthest = 0
        self._error: Exception | None = None

    async def news(self, *, beyond: int, seconds: float) -> None:
        """Return when there is something beyond, or after the time; raises what ended the ear."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._error is None and self._furthest <= beyond:
                    self._told.clear()
                    await self._told.wait()
        if self._error is not None:
            raise self._error
        if self._furthest == UNCLEAR:
            self._furthest = 0

    def tell(self, position: int) -> None:
        """Let it know of an event."""
        self._furthest = max(self._furthest, position)
        self._told.set()

    def fail(self, error: Exception) -> None:
        """Let it know that nobody listens any more."""
        self._error = error
        self._told.set()
        if not self.listening.done():
            self.listening.set_exception(error)


class Ear:
    """Listens as long as somebody attends."""

    def __init__(self, conninfo: str, channel: str) -> None:
        self._conninfo = conninfo
        self._channel = channel
        self._listeners: set[Listener] = set()
        self._hears = False
        self._task: asyncio.Task[None] | None = None

    async def attend(self) -> Listener:
        """Return when everything from now on will be told; raises when PostgreSQL is away."""
        listener = Listener()
        self._listeners.add(listener)
        if self._hears:
            return listener
        if self._task is None:
            self._task = asyncio.create_task(self._listen())
        try:
            await listener.listening
        except BaseException:
            await self.leave(listener)
            raise
        return listener

    async def leave(self, listener: Listener) -> None:
        """Attend no more; with the last one the connection goes."""
        self._listeners.discard(listener)
        if not self._listeners and self._task is not None:
            task = self._task
            self._hears, self._task = False, None
            await end(task)

    async def _listen(self) -> None:
        try:
            async with await self._connect() as connection:
                await connection.execute(f'LISTEN "{self._channel}"')
                self._begin()
                async for news in connection.notifies():
                    position = int(news.payload) if news.payload.isdigit() else UNCLEAR
                    for listener in self._listeners:
                        listener.tell(position)
            error: Exception = psycopg.OperationalError("the connection that listens was closed")
        except Exception as caught:  # noqa: BLE001 - those who attend are told, and raise it
            error = caught
        if self._is_current():
            self._hears, self._task = False, None
            for listener in self._listeners:
                listener.fail(error)

    def _begin(self) -> None:
        if self._is_current():
            self._hears = True
            for listener in self._listeners:
                if not listener.listening.done():
                    listener.listening.set_result(None)

    def _is_current(self) -> bool:
        """Return whether those who attend now have not been given another connection."""
        return self._task is asyncio.current_task()

    async def _connect(self) -> psycopg.AsyncConnection[TupleRow]:
        return await psycopg.AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=5,
            keepalives_idle=10,
            application_name="tallyport follow",
        )
