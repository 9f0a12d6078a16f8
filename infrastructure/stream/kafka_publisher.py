"""Writes records to Kafka, in order and confirmed, and says what Kafka has."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
import structlog

from infrastructure.stream import (
    Outgoing,
    Place,
    PublishedLog,
    PublishFailed,
    Span,
    Topic,
    all_places,
    partitions_of,
)
from infrastructure.stream.kafka_connection import KafkaServers, open_client
from infrastructure.stream.kafka_library import (
    KafkaAdminClient,
    KafkaConsumer,
    KafkaError,
    KafkaProducer,
    TopicAlreadyExistsError,
    TopicPartition,
)
from infrastructure.stream.kafka_records import headers_of

_log = structlog.get_logger()
_Result = TypeVar("_Result")


class KafkaPublisherLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How big and how long."""

    record_bytes_max: int = 8 * 1024 * 1024
    """A larger event is left out; followers read it from the store."""
    delivery_seconds: float = 15.0
    replication_factor: int = -1
    """-1: the broker's default."""
    linger_ms: int = 5
    compression: str | None = None
    """`zstd`, `lz4`, `gzip`, or none; frames are compressed already."""


class KafkaPublisher:
    """The relay's way to Kafka: one idempotent producer, in a thread of its own."""

    def __init__(self, servers: KafkaServers, limits: KafkaPublisherLimits | None = None) -> None:
        self._servers = servers
        self._limits = limits or KafkaPublisherLimits()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publish")
        self._admin: KafkaAdminClient | None = None
        self._producer: KafkaProducer | None = None

    async def open(self) -> PublishedLog:
        """Connect anew, create what topics are missing, and return what is there."""
        return await self._in_thread(self._open)

    async def cluster_id(self) -> str:
        """Return the id of the cluster that answers now."""
        return await self._in_thread(self._cluster_id)

    async def publish(self, records: Sequence[Outgoing]) -> Mapping[Place, Span]:
        """Send the records in order and return when all brokers have them."""
        return await self._in_thread(lambda: self._publish(records))

    async def close(self) -> None:
        """Let go of the connections."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (KafkaError, OSError) as error:
            raise PublishFailed(repr(error)) from error

    def _open(self) -> PublishedLog:
        self._close()
        self._admin = open_client(self._servers, KafkaAdminClient, request_timeout_ms=10_000)
        cluster_id = self._cluster_id()
        self._ensure_topics(self._admin)
        self._producer = open_client(
            self._servers,
            KafkaProducer,
            acks="all",
            enable_idempotence=True,
            max_in_flight_requests_per_connection=5,
            linger_ms=self._limits.linger_ms,
            compression_type=self._limits.compression,
            batch_size=256 * 1024,
            max_request_size=self._limits.record_bytes_max + 64 * 1024,
            max_block_ms=5000,
            request_timeout_ms=int(500 * self._limits.delivery_seconds),
            delivery_timeout_ms=int(1000 * self._limits.delivery_seconds),
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        return PublishedLog(cluster_id=cluster_id, ends=self._ends())

    def _cluster_id(self) -> str:
        if self._admin is None:
            raise KafkaError("not open")
        return str(self._admin.describe_cluster()["cluster_id"])

    def _ensure_topics(self, admin: KafkaAdminClient) -> None:
        there = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}
        for topic in Topic:
            wanted = partitions_of(topic)
            if topic not in there:
                _log.info("creating topic", topic=topic, partitions=wanted)
                with contextlib.suppress(TopicAlreadyExistsError):
                    admin.create_topics(
                        {topic.value: self._topic_settings(wanted)},
                        timeout_ms=5000,
                        wait_for_metadata=True,
                    )
            elif there[topic] < wanted:
                # Somebody's broker created it by itself. More than wanted does no harm.
                _log.warning("topic has too few partitions, adding", topic=topic, wanted=wanted)
                admin.create_partitions({topic.value: wanted}, timeout_ms=5000)

    def _topic_settings(self, partitions: int) -> Mapping[str, Any]:
        return {
            "num_partitions": partitions,
            "replication_factor": self._limits.replication_factor,
            "configs": {
                "cleanup.policy": "delete",
                "retention.ms": "-1",
                "max.message.bytes": str(self._limits.record_bytes_max + 64 * 1024),
            },
        }

    def _ends(self) -> Mapping[Place, int]:
        """Return where each partition ends.

        The offset that a broker lists as the latest is a lower bound (Tansu answers with the last
        batch's first record), so the high watermark of a fetch there is what counts.
        """
        places = {TopicPartition(topic.value, n): (topic, n) for topic, n in all_places()}
        consumer = open_client(
            self._servers,
            KafkaConsumer,
            group_id=None,
            enable_auto_commit=False,
            metrics_enabled=False,
        )
        try:
            try:
                listed = consumer.end_offsets(list(places), timeout_ms=5000)
            except KeyError as missing:
                # What the library says of a partition that has no leader yet, as a new one.
                raise PublishFailed(f"kafka does not know {missing} yet") from missing
            ends = {places[tp]: offset for tp, offset in listed.items()}
            open_ends = {tp for tp, offset in listed.items() if offset > 0}
            consumer.assign(list(open_ends))
            for tp in open_ends:
                consumer.seek(tp, listed[tp] - 1)
            deadline = time.monotonic() + 5
            while open_ends:
                if time.monotonic() > deadline:
                    raise PublishFailed("kafka does not say where its partitions end")
                consumer.poll(timeout_ms=50, max_records=1)
                for tp in list(open_ends):
                    if (highwater := consumer.highwater(tp)) is not None:
                        ends[places[tp]] = max(highwater, listed[tp])
                        open_ends.discard(tp)
            return ends
        finally:
            consumer.close(autocommit=False, timeout_ms=1000)

    def _publish(self, records: Sequence[Outgoing]) -> Mapping[Place, Span]:
        if self._producer is None:
            raise PublishFailed("not open")
        sent = [
            (record.place, self._send(self._producer, record))
            for record in records
            if self._fits(record)
        ]
        # Every batch is delivered or given up after `delivery_seconds`, so this ends.
        self._producer.flush(timeout=self._limits.delivery_seconds + 5)
        spans: dict[Place, Span] = {}
        for place, future in sent:
            offset = future.get(timeout=1).offset
            known = spans.get(place, Span(offset, offset + 1))
            spans[place] = Span(min(known.first, offset), max(known.end, offset + 1))
        # An offset of -1 is a repeat that the broker had already; it tells nothing.
        return {place: span for place, span in spans.items() if span.first >= 0}

    def _send(self, producer: KafkaProducer, record: Outgoing) -> Any:  # noqa: ANN401 - its future
        topic, partition = record.place
        event = record.event
        try:
            return producer.send(
                topic.value,
                key=None if event is None else event.stream_id.encode(),
                value=b"" if event is None else event.data,
                headers=headers_of(record),
                partition=partition,
                timestamp_ms=None if event is None else int(event.recorded_at.timestamp() * 1000),
            )
        except ValueError as error:  # the topic was deleted, and is only half there again
            raise PublishFailed(str(error)) from error

    def _fits(self, record: Outgoing) -> bool:
        event = record.event
        if event is None or len(event.data) <= self._limits.record_bytes_max:
            return True
        _log.warning("event is too large for kafka", position=event.position, topic=event.topic)
        return False

    def _close(self) -> None:
        producer, self._producer = self._producer, None
        admin, self._admin = self._admin, None
        if producer is not None:
            if producer._accumulator.has_incomplete:  # noqa: SLF001 - else close() gives up half-way
                producer._sender.force_close()  # noqa: SLF001 - what is unsent will be sent again
                producer._sender.join(2)  # noqa: SLF001 - the same
            with contextlib.suppress(KafkaError):
                producer.close(timeout=2)
        if admin is not None:
            admin.close()
