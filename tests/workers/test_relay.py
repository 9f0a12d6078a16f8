"""The relay brings every event to Kafka, in order, whoever dies when."""

import asyncio
import sys
import time
from collections.abc import Mapping

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Place, PublishedLog, PublishFailed, Span, Topic, place_of
from infrastructure.stream.kafka_connection import KafkaServers, open_client
from infrastructure.stream.kafka_library import (
    ConsumerRecord,
    KafkaAdminClient,
    KafkaConsumer,
    TopicPartition,
)
from infrastructure.stream.kafka_records import event_of, mark_of
from tests.kafka import fixtures
from tests.kafka.apache_kafka import ApacheKafka, delete_topics
from tests.kafka.fixtures import KafkaSide, running
from tests.kafka.log import Follower, Log, assert_exactly
from tests.kafka.relay_process import KILLED, POINTS
from tests.kafka.tansu import Tansu
from workers.relay import Deposed, Relay, RelayLimits, RelayMetrics

postgres_server = fixtures.postgres_server
log = fixtures.log
apache_broker = fixtures.apache_broker
apache_kafka = fixtures.apache_kafka
tansu = fixtures.tansu
broker = fixtures.broker
kafka_side = fixtures.kafka_side


async def test_kafka_gets_every_event_once_in_order_with_its_number(kafka_side: KafkaSide) -> None:
    log = kafka_side.log
    await log.write("before", 100)
    async with running(kafka_side.relay()):
        await asyncio.gather(*(log.write(f"w-{n}", 100) for n in range(2)))
        await until_saved(log)
    for place, sequences in (await published(kafka_side)).items():
        assert sequences == list(range(1, len(sequences) + 1)), place


async def test_partitions_are_told_how_far_the_log_was_sent(kafka_side: KafkaSide) -> None:
    log = kafka_side.log
    async with running(kafka_side.relay()):
        last = await log.append("a", 1)
        deadline = time.monotonic() + 10
        while (marks := await asyncio.to_thread(_watermarks, kafka_side.servers)) != dict.fromkeys(
            range(4), last
        ):
            assert time.monotonic() < deadline, marks
            await asyncio.sleep(0.1)


async def test_a_relay_that_is_killed_anywhere_loses_nothing_and_followers_see_nothing_twice(
    kafka_side: KafkaSide,
) -> None:
    log = kafka_side.log
    followers = [Follower(kafka_side.stream(patience_seconds=5), topic) for topic in Topic]
    try:
        for point in POINTS:
            for at in (1, 4):
                writing = asyncio.create_task(log.write(f"{point}-{at}", 60))
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.kafka.relay_process"),
                    *(log.conninfo, kafka_side.servers.bootstrap, point, str(at)),
                )
                assert await asyncio.wait_for(process.wait(), 30) == KILLED
                await writing
        async with running(kafka_side.relay()):
            await until_saved(log)
            for follower in followers:
                await follower.until_position(await log.store.last_position())
                assert_exactly(follower.seen, await log.events(follower.topic))
    finally:
        for follower in followers:
            await follower.stop()
    await published(kafka_side)
    assert kafka_side.taken("kafka") > 0


async def test_of_two_relays_one_leads_and_the_other_takes_over(kafka_side: KafkaSide) -> None:
    log = kafka_side.log
    first, second = kafka_side.relay(), kafka_side.relay()
    first._metrics = RelayMetrics(CollectorRegistry())
    second._metrics = RelayMetrics(CollectorRegistry())

    def leading(relay: Relay) -> float:
        value: float = relay._metrics.leading._value.get()
        return value

    async with running(second):
        async with running(first):
            await log.write("together", 50)
            await until_saved(log)
            for _ in range(10):
                assert leading(first) + leading(second) == 1
                await asyncio.sleep(0.05)
            leader = first if leading(first) else second
            async with await psycopg.AsyncConnection.connect(log.conninfo) as connection:
                await connection.execute(
                    "SELECT pg_terminate_backend(l.pid) FROM pg_locks l"
                    " JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()"
                    " WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 7405602"
                )
            await log.write("deposed", 50)
            await until_saved(log)
            assert leader._metrics.failures._value.get() == 1
        await log.write("alone", 50)
        await until_saved(log)
        assert leading(second) == 1
    await published(kafka_side)


async def test_a_relay_that_lost_its_lead_saves_nothing(log: Log) -> None:
    relay = Relay(
        reader=log.store,
        publisher=AbsentKafka(),
        conninfo=log.conninfo,
        metrics=RelayMetrics(CollectorRegistry()),
    )
    async with await psycopg.AsyncConnection.connect(log.conninfo, autocommit=True) as connection:
        old = await relay._take_over(connection)
        new = await relay._take_over(connection)
        assert new.epoch == old.epoch + 1
        with pytest.raises(Deposed):
            await relay._save(connection, old, epoch_before=old.epoch)
        await relay._save(connection, new, epoch_before=new.epoch)


async def test_a_kafka_that_lost_its_topics_is_filled_again(kafka_side: KafkaSide) -> None:
    log, broker = kafka_side.log, kafka_side.broker
    async with running(kafka_side.relay()):
        await log.write("before", 60)
        await until_saved(log)
        if isinstance(broker, Tansu):
            broker.wipe()
            await asyncio.to_thread(broker.start)
        else:
            await asyncio.to_thread(delete_topics, broker.bootstrap)
        await log.write("after", 60)
        await until_saved(log, seconds=60)
    assert kafka_side.relay_metrics.refills._value.get() >= 1
    await published(kafka_side)


async def test_an_idle_relay_fills_a_new_cluster(log: Log, tansu: Tansu) -> None:
    kafka_side = KafkaSide(log, tansu)
    async with running(kafka_side.relay()):
        await log.write("before", 30)
        await until_saved(log)
        tansu.wipe()
        await asyncio.to_thread(tansu.start)
        await until_saved(log, cluster=await cluster_id(kafka_side), seconds=20)
    await published(kafka_side)


async def test_a_relay_that_starts_finds_a_wiped_apache_kafka(
    log: Log, apache_kafka: ApacheKafka
) -> None:
    kafka_side = KafkaSide(log, apache_kafka)
    async with running(kafka_side.relay()):
        await log.write("before", 30)
        await until_saved(log)
    await asyncio.to_thread(apache_kafka.wipe)
    await asyncio.to_thread(apache_kafka.start)
    async with running(kafka_side.relay()):
        await until_saved(log, cluster=await cluster_id(kafka_side))
    await published(kafka_side)


async def test_while_kafka_is_away_the_lag_shows(log: Log) -> None:
    metrics = RelayMetrics(CollectorRegistry())
    relay = Relay(
        reader=log.store,
        publisher=AbsentKafka(),
        conninfo=log.conninfo,
        metrics=metrics,
        limits=RelayLimits(backoff_seconds_max=0.1),
    )
    async with running(relay):
        last = await log.append("a", 1)
        deadline = time.monotonic() + 10
        while metrics.lag_positions._value.get() != last:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert metrics._oldest_age() > 0
        assert metrics.failures._value.get() > 0


class AbsentKafka:
    """A Kafka that never answers."""

    async def open(self) -> PublishedLog:
        raise PublishFailed("nobody there")

    async def cluster_id(self) -> str:
        raise PublishFailed("nobody there")

    async def publish(self, records: object) -> Mapping[Place, Span]:
        raise PublishFailed(repr(records))

    async def close(self) -> None:
        """Nothing is open."""


async def until_saved(log: Log, *, cluster: str | None = None, seconds: float = 30) -> None:
    """Wait until the relay has saved that Kafka has the whole log."""
    deadline = time.monotonic() + seconds
    async with await psycopg.AsyncConnection.connect(log.conninfo, autocommit=True) as connection:
        while True:
            last = await log.store.last_position()
            cursor = await connection.execute("SELECT position, cluster_id FROM relay_positions")
            row = await cursor.fetchone()
            if row is not None and row[0] == last and cluster in (None, row[1]):
                return
            assert time.monotonic() < deadline, (row, last, cluster)
            await asyncio.sleep(0.02)


async def cluster_id(kafka_side: KafkaSide) -> str:
    def ask() -> str:
        admin = open_client(kafka_side.servers, KafkaAdminClient)
        try:
            return str(admin.describe_cluster()["cluster_id"])
        finally:
            admin.close()

    return await asyncio.to_thread(ask)


async def published(kafka_side: KafkaSide) -> Mapping[Place, list[int]]:
    """Assert that from where the log last begins in Kafka it has every event, in order.

    A Kafka that was filled again may have something before that. Return the sequences of the
    events in each partition, as they came.
    """
    sequences: dict[Place, list[int]] = {}
    for topic in Topic:
        expected = await kafka_side.log.events(topic)
        records = await asyncio.to_thread(_read, kafka_side.servers, topic, len(expected))
        first: dict[int, RecordedEvent] = {}
        for record in records:
            place = (topic, record.partition)
            sequence = mark_of(record).sequence
            event = event_of(record)
            if sequence == 1:
                first = {n: e for n, e in first.items() if place_of(e) != place}
            first.setdefault(event.position, event)
            sequences.setdefault(place, []).append(sequence)
        assert_exactly(list(first.values()), expected)
    return sequences


def _read(servers: KafkaServers, topic: Topic, expected: int) -> list[ConsumerRecord]:
    """Return a topic's events from its beginning to its end, which has so many different ones."""
    consumer = _consumer(servers, topic)
    found: list[ConsumerRecord] = []
    positions: set[int] = set()
    deadline = time.monotonic() + 10
    try:
        while time.monotonic() < deadline:
            batches = consumer.poll(timeout_ms=200)
            if not batches and len(positions) >= expected:
                break
            for records in batches.values():
                for record in records:
                    if "kind" not in dict(record.headers):
                        found.append(record)
                        positions.add(mark_of(record).position)
    finally:
        consumer.close()
    return found


def _watermarks(servers: KafkaServers) -> Mapping[int, int]:
    """Return the newest watermark of each partition of the frames' topic."""
    consumer = _consumer(servers, Topic.REQUESTS)
    newest: dict[int, int] = {}
    try:
        for _ in range(4):
            for records in consumer.poll(timeout_ms=100).values():
                for record in records:
                    assert "kind" in dict(record.headers)
                    newest[record.partition] = mark_of(record).position
    finally:
        consumer.close()
    return newest


def _consumer(servers: KafkaServers, topic: Topic) -> KafkaConsumer:
    consumer = open_client(
        servers, KafkaConsumer, group_id=None, enable_auto_commit=False, fetch_max_wait_ms=50
    )
    places = [TopicPartition(topic.value, n) for n in range(4 if topic is Topic.REQUESTS else 1)]
    consumer.assign(places)
    for place in places:
        consumer.seek(place, 0)
    return consumer
