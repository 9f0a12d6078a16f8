"""The log followed in the store itself: LISTEN wakes it, pages bring the events.

Needs no Kafka, has no holes, and is the default. A poll each second stands behind the
notifications, because a connection may die without a word.
"""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import structlog
from psycopg.rows import TupleRow

from infrastructure.event_store import EventReader
from infrastructure.stream import Batch, Cursor, Topic
from infrastructure.stream.bookmark import STORE_AWAY, Bookmark, next_page

_log = structlog.get_logger()


class StoreStream:
    """Follows a topic in PostgreSQL. Outlives its restarts."""

    def __init__(
        self,
        reader: EventReader,
        conninfo: str,
        *,
        poll_seconds: float = 1.0,
        backoff_seconds_max: float = 2.0,
        channel: str = "tallyport_events",
    ) -> None:
        self._reader = reader
        self._conninfo = conninfo
        self._poll_seconds = poll_seconds
        self._backoff_seconds_max = backoff_seconds_max
        self._channel = channel

    async def follow(
        self, topic: Topic, start: Cursor, *, batch_size_max: int
    ) -> AsyncIterator[Batch]:
        """Yield batches as they come. Ends only by cancellation or an error of ours."""
        bookmark = Bookmark(topic, start)
        backoff_seconds = 0.05
        while True:
            connection = None
            try:
                connection = await self._listen()
                while True:
                    batch, more = await next_page(
                        self._reader, bookmark, up_to=None, limit=batch_size_max
                    )
                    backoff_seconds = 0.05
                    if batch is not None:
                        yield batch
                    if not more:
                        await self._news(connection, beyond=bookmark.lowest)
            except STORE_AWAY as error:
                _log.warning("store is away, follower waits", topic=topic, error=str(error))
            finally:
                if connection is not None:
                    await connection.close()
            await asyncio.sleep(backoff_seconds)
            backoff_seconds = min(2 * backoff_seconds, self._backoff_seconds_max)

    async def _listen(self) -> psycopg.AsyncConnection[TupleRow]:
        connection = await psycopg.AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=5,
            keepalives_idle=10,
            application_name="tallyport follow",
        )
        try:
            await connection.execute(f'LISTEN "{self._channel}"')
        except BaseException:  # cancelled, too: nobody else knows of this connection
            await connection.close()
            raise
        return connection

    async def _news(self, connection: psycopg.AsyncConnection[TupleRow], *, beyond: int) -> None:
        """Return when the store has more, or when it is time to look."""
        # Under load most notifications tell of what the last page already had.
        async for news in connection.notifies(timeout=self._poll_seconds):
            if not news.payload.isdigit() or int(news.payload) > beyond:
                return
