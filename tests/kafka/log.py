"""A log to follow in tests: writers, followers, and what must come out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from uuid import uuid4

from psycopg_pool import AsyncConnectionPool

from infrastructure.event_store import Metadata, NewEvent, RecordedEvent
from infrastructure.event_store.postgres import PostgresEventStore
from infrastructure.stream import Cursor, Progress, Stream, Topic, partitions_of, place_of

FRAME = "metering.RequestsServed@1"
FACT = "deployments.DeploymentScaled@1"


class Log:
    """An event store that tests write to."""

    def __init__(self, store: PostgresEventStore, conninfo: str) -> None:
        self.store = store
        self.conninfo = conninfo

    async def append(self, stream_id: str, version: int, topic: str = FACT) -> int:
        return await self.store.append([new_event(stream_id, version, topic)])

    async def write(self, writer: str, count: int, *, pause_seconds: float = 0.0) -> None:
        """Append events of both topics, as one of several writers."""
        for n in range(1, count + 1):
            await self.append(f"{writer}-fact", n)
            await self.append(f"{writer}-gateway-{n % 7}", (n + 6) // 7, FRAME)
            await asyncio.sleep(pause_seconds)

    async def events(self, topic: Topic) -> Sequence[RecordedEvent]:
        """Return what a follower must have seen."""
        everything = await self.store.read_all(after=0, limit=1_000_000)
        return [event for event in everything if place_of(event)[0] is topic]


@asynccontextmanager
async def open_log(conninfo: str) -> AsyncIterator[Log]:
    async with AsyncConnectionPool(
        conninfo,
        open=False,
        min_size=1,
        max_size=6,
        timeout=5,
        kwargs={"autocommit": True},
        check=AsyncConnectionPool.check_connection,
    ) as pool:
        store = PostgresEventStore(pool, conninfo, outage_seconds_max=60)
        try:
            yield Log(store, conninfo)
        finally:
            await store.close()


def new_event(stream_id: str, version: int, topic: str = FACT) -> NewEvent:
    return NewEvent(
        stream_id=stream_id,
        version=version,
        topic=topic,
        data=b'{"replicas":%d,"note":"\xc3\xa9"}' % version,
        event_id=uuid4(),
        metadata=Metadata(actor="tester", team_id="t-1", correlation_id=f"c-{version}"),
    )


class Follower:
    """Follows a topic in the background and keeps everything it was handed."""

    def __init__(self, stream: Stream, topic: Topic, start: Cursor | None = None) -> None:
        self.topic = topic
        self.seen: list[RecordedEvent] = []
        self.cursor: Cursor = dict(start or {})
        self._stream = stream
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async with aclosing(
            self._stream.follow(self.topic, self.cursor, batch_size_max=100)  # type: ignore[type-var]
        ) as batches:
            async for batch in batches:
                assert len(batch.events) <= 100
                self.seen.extend(batch.events)
                self.cursor = batch.progress

    @property
    def position(self) -> int:
        """Up to where every partition is complete."""
        partitions = range(partitions_of(self.topic))
        return min(self.cursor.get(n, Progress()).position for n in partitions)

    async def until(self, reached: Callable[[], bool], seconds: float = 30) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while not reached():
            if self._task.done():
                self._task.result()
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"{self.topic}: {len(self.seen)} seen, at {self.cursor}")
            await asyncio.sleep(0.01)

    async def until_position(self, position: int, seconds: float = 30) -> None:
        await self.until(lambda: self.position >= position, seconds)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()


def assert_exactly(seen: Sequence[RecordedEvent], expected: Sequence[RecordedEvent]) -> None:
    """Assert that every event was seen once, unchanged, and in order within its partition."""
    assert len(seen) == len(expected)
    assert {e.position: e for e in seen} == {e.position: e for e in expected}
    last: dict[object, int] = {}
    for event in seen:
        place = place_of(event)
        assert event.position > last.get(place, 0)
        last[place] = event.position
