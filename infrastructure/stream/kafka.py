"""The log followed through Kafka, with the store beside it: Kafka is the fast lane.

A follower starts in the store, at its own position, and joins Kafka at the end: what it missed is
one indexed scan away, so no offset is kept and none has to be searched. From then on it takes from
Kafka what is the direct successor of what it has (see `bookmark.py`) and reads the store for
whatever Kafka skipped. Every `patience_seconds` it compares itself with the store: if something
that was in the store then has not come by now, it takes it from there; and if Kafka was silent all
the while, it joins anew. That one rule covers a broker that is away, a relay that is dead, a topic
that is gone, and a Kafka that lost its data and left us at an offset it does not reach. So views
never stop, and while Kafka is away they lag by about `patience_seconds`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter

from infrastructure.event_store import EventReader, RecordedEvent
from infrastructure.stream import Batch, Cursor, Topic, partitions_of
from infrastructure.stream.bookmark import STORE_AWAY, Bookmark, Mark, Verdict, next_page
from infrastructure.stream.kafka_connection import KafkaServers, open_client
from infrastructure.stream.kafka_library import (
    ConsumerRecord,
    KafkaConsumer,
    KafkaError,
    KafkaTimeoutError,
    TopicPartition,
)
from infrastructure.stream.kafka_records import UnreadableRecord, event_of, mark_of

_log = structlog.get_logger()


class KafkaStreamMetrics:
    """What the followers of one process did."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "tallyport_stream_events",
            "Events handed on, by where they came from: kafka or store.",
            ["topic", "source"],
            registry=registry,
        )
        self.holes = Counter(
            "tallyport_stream_holes",
            "Times a record was not the direct successor, so that the store was asked.",
            ["topic"],
            registry=registry,
        )
        self.miscounts = Counter(
            "tallyport_stream_miscounts",
            "Holes whose size in the store was not what the sequences said.",
            ["topic"],
            registry=registry,
        )
        self.unreadable = Counter(
            "tallyport_stream_unreadable_records",
            "Records in Kafka that no relay of ours wrote.",
            ["topic"],
            registry=registry,
        )
        self.joins = Counter(
            "tallyport_stream_joins",
            "Times a follower joined Kafka.",
            ["topic"],
            registry=registry,
        )


class KafkaStreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a follower waits for what."""

    fetch_wait_ms: int = 20
    """The broker's long poll. Some brokers sleep it out, so it bounds the latency."""
    poll_ms: int = 250
    """One call of the library; a cancelled follower ends after at most that."""
    patience_seconds: float = 2.0
    """After this, what the store has and Kafka did not bring is read from the store."""
    join_timeout_seconds: float = 5.0
    backoff_seconds_max: float = 2.0


class KafkaStream:
    """Follows a topic through Kafka; right whatever Kafka does."""

    def __init__(
        self,
        servers: KafkaServers,
        reader: EventReader,
        metrics: KafkaStreamMetrics,
        limits: KafkaStreamLimits | None = None,
    ) -> None:
        self._servers = servers
        self._reader = reader
        self._metrics = metrics
        self._limits = limits or KafkaStreamLimits()

    async def follow(
        self, topic: Topic, start: Cursor, *, batch_size_max: int
    ) -> AsyncIterator[Batch]:
        """Yield batches as they come. Ends only by cancellation or an error of ours."""
        bookmark = Bookmark(topic, start)
        tail = _KafkaTail(self._servers, topic, batch_size_max, self._limits)
        backoff_seconds = 0.1
        try:
            while True:
                try:
                    # The store first: Kafka may be away, and then this is how views go on.
                    while (batch := await self._page(bookmark, topic, batch_size_max)) is not None:
                        yield batch
                    await tail.join()
                    self._metrics.joins.labels(topic).inc()
                    # Again: what was stored before the join may be behind Kafka's end already.
                    while (batch := await self._page(bookmark, topic, batch_size_max)) is not None:
                        yield batch
                    patience = _Patience(self._reader, bookmark, self._limits.patience_seconds)
                    backoff_seconds = 0.1
                    while True:
                        records = await tail.poll()
                        async for batch in self._sort(topic, bookmark, records, batch_size_max):
                            yield batch
                        if not await patience.ended(heard=bool(records)):
                            continue
                        while (
                            batch := await self._page(bookmark, topic, batch_size_max)
                        ) is not None:
                            yield batch
                        if patience.was_silent:
                            _log.warning("kafka brings nothing, joining anew", topic=topic)
                            break
                except (KafkaError, *STORE_AWAY) as error:
                    _log.warning("follower waits", topic=topic, error=repr(error))
                    await asyncio.sleep(backoff_seconds)
                    backoff_seconds = min(2 * backoff_seconds, self._limits.backoff_seconds_max)
        finally:
            await tail.close()

    async def _page(
        self, bookmark: Bookmark, topic: Topic, limit: int, up_to: int | None = None
    ) -> Batch | None:
        batch, _ = await next_page(self._reader, bookmark, up_to=up_to, limit=limit)
        if batch is not None:
            self._metrics.events.labels(topic, "store").inc(len(batch.events))
        return batch

    async def _sort(
        self,
        topic: Topic,
        bookmark: Bookmark,
        records: Sequence[ConsumerRecord],
        batch_size_max: int,
    ) -> AsyncIterator[Batch]:
        """Yield what the records bring, and from the store what they lack."""
        ready: list[RecordedEvent] = []
        moved = False
        for record in records:
            try:
                mark = mark_of(record)
                verdict = bookmark.judge(mark)
                if verdict is Verdict.PASSED:
                    continue
                if verdict is Verdict.NEXT:
                    if mark.is_event:
                        ready.append(event_of(record))
                    bookmark.step(mark)
                    moved = True
                    continue
            except UnreadableRecord as error:
                self._metrics.unreadable.labels(topic).inc()
                _log.error("unreadable record", topic=topic, offset=record.offset, error=str(error))
                continue
            if moved:
                self._metrics.events.labels(topic, "kafka").inc(len(ready))
                yield Batch(ready, bookmark.progress())
                ready, moved = [], False
            self._metrics.holes.labels(topic).inc()
            while (
                batch := await self._page(bookmark, topic, batch_size_max, mark.position)
            ) is not None:
                yield batch
            self._settle(topic, bookmark, mark)
        if moved:
            self._metrics.events.labels(topic, "kafka").inc(len(ready))
            yield Batch(ready, bookmark.progress())

    def _settle(self, topic: Topic, bookmark: Bookmark, mark: Mark) -> None:
        if not bookmark.settle(mark):
            self._metrics.miscounts.labels(topic).inc()
            _log.error(
                "store and kafka count differently; the store was followed",
                topic=topic,
                partition=mark.partition,
                position=mark.position,
            )


class _Patience:
    """Tells when something that was in the store `seconds` ago has not come by."""

    def __init__(self, reader: EventReader, bookmark: Bookmark, seconds: float) -> None:
        self._reader = reader
        self._bookmark = bookmark
        self._seconds = seconds
        self._expected: int | None = None
        self._heard = False
        self._begin()
        self.was_silent = False

    def _begin(self) -> None:
        self._deadline = asyncio.get_running_loop().time() + self._seconds

    async def ended(self, *, heard: bool) -> bool:
        self._heard = self._heard or heard
        if asyncio.get_running_loop().time() < self._deadline:
            return False
        behind = self._expected is not None and self._bookmark.lowest < self._expected
        self.was_silent = not self._heard
        self._heard = False
        self._expected = await self._reader.last_position()
        self._begin()
        return behind


class _KafkaTail:
    """A consumer at the end of a topic, in a thread of its own, for the library blocks."""

    def __init__(
        self, servers: KafkaServers, topic: Topic, records_max: int, limits: KafkaStreamLimits
    ) -> None:
        self._servers = servers
        self._places = [TopicPartition(topic.value, n) for n in range(partitions_of(topic))]
        self._records_max = records_max
        self._limits = limits
        self._consumer: KafkaConsumer | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"follow {topic}")

    async def join(self) -> None:
        """Connect anew; from the return on, nothing that arrives in Kafka is missed."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._join)

    async def poll(self) -> Sequence[ConsumerRecord]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._poll)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._leave)
        self._thread.shutdown(wait=False)

    def _join(self) -> None:
        self._leave()
        timeout_ms = int(1000 * self._limits.join_timeout_seconds)
        consumer = open_client(
            self._servers,
            KafkaConsumer,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            allow_auto_create_topics=False,
            metrics_enabled=False,
            fetch_max_wait_ms=self._limits.fetch_wait_ms,
            request_timeout_ms=timeout_ms,
        )
        self._consumer = consumer
        consumer.assign(self._places)
        consumer.seek_to_end(*self._places)
        for place in self._places:
            if consumer.position(place, timeout_ms=timeout_ms) is None:
                raise KafkaTimeoutError(f"the end of {place.topic} is not known")

    def _poll(self) -> Sequence[ConsumerRecord]:
        if self._consumer is None:
            raise KafkaError("not joined")
        found = self._consumer.poll(timeout_ms=self._limits.poll_ms, max_records=self._records_max)
        return [record for records in found.values() for record in records]

    def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(KafkaError):
                consumer.close(autocommit=False, timeout_ms=1000)
