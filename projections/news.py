"""News of views: wakes whoever waits for rows of a view to change."""

import asyncio
import contextlib
from collections.abc import Iterable

import psycopg
import structlog
from psycopg.rows import TupleRow

from infrastructure.ending import end
from projections.tables import ROWS_CHANNEL

RECONNECT_SECONDS = 0.5


class ViewNews:
    """Listens for changes of some views, on a connection of its own that it makes again."""

    def __init__(self, conninfo: str, views: Iterable[str]) -> None:
        self._conninfo = conninfo
        self._news: dict[str, set[str] | None] = dict.fromkeys(views)
        """Keys of the rows that changed since the last `take`; None: any may have."""
        self._changed = asyncio.Event()
        self._changed.set()
        self._task: asyncio.Task[None] | None = None

    async def wait(self, timeout_seconds: float) -> bool:
        """Return True when something changed since the last call, False after the time."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._changed.wait()
        changed = self._changed.is_set()
        self._changed.clear()
        return changed

    def take(self, view: str) -> set[str] | None:
        """Return the keys of the view's rows that changed since the last time, None: any may have.

        Whoever then fails to read them says so by `forget`.
        """
        changed = self._news[view]
        self._news[view] = set()
        return changed

    def forget(self) -> None:
        """Know nothing: every row may have changed."""
        self._news = dict.fromkeys(self._news)

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            await end(self._task)

    async def _listen(self) -> None:
        while True:
            try:
                connection: psycopg.AsyncConnection[
                    TupleRow
                ] = await psycopg.AsyncConnection.connect(
                    self._conninfo, autocommit=True, application_name="tallyport news"
                )
                async with connection:
                    await connection.execute(f"LISTEN {ROWS_CHANNEL}")
                    self.forget()  # whatever happened while nobody listened
                    self._changed.set()
                    async for news in connection.notifies():
                        self._hear(news.payload)
            except (psycopg.Error, OSError) as error:
                structlog.get_logger().warning("no news of views", error=str(error))
            await asyncio.sleep(RECONNECT_SECONDS)

    def _hear(self, payload: str) -> None:
        view, *keys = payload.split(" ")
        if view not in self._news:
            return
        known = self._news[view]
        if not keys or known is None:
            self._news[view] = None
        else:
            known.update(keys)
        self._changed.set()
