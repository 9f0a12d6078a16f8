"""The log followed in the store itself: LISTEN wakes it, pages bring the events.

Needs no Kafka, has no holes, and is the default. A poll each second stands behind the
notifications, because a connection may die without a word.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

import structlog

from infrastructure.ending import share
from infrastructure.event_store import EventReader, RecordedEvent
from infrastructure.stream import Batch, Cursor, Topic
from infrastructure.stream.bookmark import STORE_AWAY, Bookmark, PageReader, next_page
from infrastructure.stream.ear import Ear

_Asked = tuple[int, int | None, int, str]
_Reading = asyncio.Future[Sequence[RecordedEvent]]

_log = structlog.get_logger()


class SharedPages:
    """Reads a page once for all who ask for it together, as followers do that one event woke.

    It may have been asked for before the event that woke somebody: who was told of more than it
    has, asks again.
    """

    def __init__(self, reader: PageReader) -> None:
        self._reader = reader
        self._under_way: dict[_Asked, _Reading] = {}

    async def read_all(
        self, *, after: int, up_to: int | None = None, limit: int, without_data_of: str = ""
    ) -> Sequence[RecordedEvent]:
        """Return the page, as the reader does."""
        asked = (after, up_to, limit, without_data_of)
        reading = self._under_way.get(asked)
        # One that has just ended is still here until the loop comes to its callback. Who asks now
        # may have been told of more than it has, and asking for it again would stop the loop.
        if reading is None or reading.done():
            reading = asyncio.ensure_future(
                self._reader.read_all(
                    after=after, up_to=up_to, limit=limit, without_data_of=without_data_of
                )
            )
            self._under_way[asked] = reading
            reading.add_done_callback(partial(self._forget, asked))
        return await share(reading)

    def _forget(self, asked: _Asked, reading: _Reading) -> None:
        if self._under_way.get(asked) is reading:
            del self._under_way[asked]


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
        self._reader = SharedPages(reader)
        self._poll_seconds = poll_seconds
        self._backoff_seconds_max = backoff_seconds_max
        self._ear = Ear(conninfo, channel)

    async def follow(
        self, topic: Topic, start: Cursor, *, batch_size_max: int
    ) -> AsyncIterator[Batch]:
        """Yield batches as they come. Ends only by cancellation or an error of ours."""
        bookmark = Bookmark(topic, start)
        backoff_seconds = 0.05
        while True:
            listener = None
            try:
                listener = await self._ear.attend()
                while True:
                    batch, more = await next_page(
                        self._reader, bookmark, up_to=None, limit=batch_size_max
                    )
                    backoff_seconds = 0.05
                    if batch is not None:
                        yield batch
                    if not more:
                        # Under load most of what is told is what the last page already had.
                        await listener.news(beyond=bookmark.lowest, seconds=self._poll_seconds)
            except STORE_AWAY as error:
                _log.warning("store is away, follower waits", topic=topic, error=str(error))
            finally:
                if listener is not None:
                    await self._ear.leave(listener)
            await asyncio.sleep(backoff_seconds)
            backoff_seconds = min(2 * backoff_seconds, self._backoff_seconds_max)
