"""Following Kafka stays right and goes on whatever happens to Kafka."""

import asyncio
import random

from infrastructure.stream import Outgoing, Topic
from infrastructure.stream.kafka_connection import KafkaServers, open_client
from infrastructure.stream.kafka_library import KafkaProducer
from infrastructure.stream.kafka_records import headers_of
from tests.kafka.fixtures import KafkaSide, running
from tests.kafka.log import Follower, assert_exactly


async def test_events_come_by_kafka_and_not_by_the_store(kafka_side: KafkaSide) -> None:
    log = kafka_side.log
    async with running(kafka_side.relay()):
        follower = Follower(kafka_side.stream(), Topic.EVENTS)
        try:
            await log.append("first", 1)
            await follower.until(lambda: kafka_side.joins() >= 1)
            await log.append("second", 1)  # a follower checks its first record with the store
            await follower.until(lambda: len(follower.seen) == 2)
            before = kafka_side.taken("store")
            await log.write("w", 200)
            await follower.until_position(await log.store.last_position())
            assert kafka_side.taken("kafka") >= 190
            assert kafka_side.taken("store") - before <= 10
        finally:
            await follower.stop()
    assert_exactly(follower.seen, await log.events(Topic.EVENTS))


async def test_a_broker_killed_under_writers_loses_and_repeats_nothing(
    kafka_side: KafkaSide,
) -> None:
    log, broker = kafka_side.log, kafka_side.broker
    async with running(kafka_side.relay()):
        followers = [Follower(kafka_side.stream(patience_seconds=1), topic) for topic in Topic]
        try:
            for blow in range(1 + broker.loses_everything):
                writing = [
                    asyncio.create_task(log.write(f"w-{blow}-{n}", 100, pause_seconds=0.005))
                    for n in range(2)
                ]
                reached = await log.store.last_position() + 50
                await followers[0].until_position(reached)
                broker.kill()
                await asyncio.gather(*writing)
                away = await log.store.last_position()
                # Without Kafka the store serves, so views go on.
                for follower in followers:
                    await follower.until_position(away)
                await asyncio.to_thread(broker.start)
            # The relay comes back to it, and so do the followers.
            before = kafka_side.taken("kafka")
            for n in range(1, 500):
                await log.append("after", n)
                await asyncio.sleep(0.05)
                if kafka_side.taken("kafka") > before:
                    break
            assert kafka_side.taken("kafka") > before
            for follower in followers:
                await follower.until_position(await log.store.last_position())
                assert_exactly(follower.seen, await log.events(follower.topic))
        finally:
            for follower in followers:
                await follower.stop()
    refilled = kafka_side.relay_metrics.refills._value.get()
    assert (refilled > 0) == broker.loses_everything


async def test_without_a_relay_the_store_serves(kafka_side: KafkaSide) -> None:
    log = kafka_side.log
    await kafka_side.publisher().open()  # there are topics, and nobody writes to them
    follower = Follower(kafka_side.stream(patience_seconds=0.5), Topic.EVENTS)
    try:
        for n in range(1, 4):
            await log.append("a", n)
            await follower.until(lambda n=n: len(follower.seen) == n, seconds=10)  # type: ignore[misc]
    finally:
        await follower.stop()
    assert_exactly(follower.seen, await log.events(Topic.EVENTS))


async def test_repeats_gaps_and_poison_in_the_topic_are_repaired(kafka_side: KafkaSide) -> None:
    """The topic is written here by hand, as badly as it gets, and no relay runs."""
    log = kafka_side.log
    publisher = kafka_side.publisher()
    await publisher.open()
    await publisher.close()
    follower = Follower(kafka_side.stream(patience_seconds=60), Topic.EVENTS)
    producer = await asyncio.to_thread(_producer, kafka_side.servers)
    try:
        await follower.until(lambda: kafka_side.joins() >= 1)
        await asyncio.sleep(0.3)
        await log.write("w", 60)
        events = list(await log.events(Topic.EVENTS))
        records = [
            Outgoing(place=(Topic.EVENTS, 0), position=e.position, sequence=n, epoch=1, event=e)
            for n, e in enumerate(events, 1)
        ]
        dice = random.Random(7)
        for record in records[:-1]:
            if dice.random() < 0.2:
                continue  # lost
            for again in [record] * dice.choice([1, 1, 2]):
                _send(producer, again)
            if dice.random() < 0.3:
                _send(producer, dice.choice(records))  # out of order
            if dice.random() < 0.3:
                headers = headers_of(record)
                dice.shuffle(headers)
                producer.send(
                    Topic.EVENTS,
                    key=b"\xff",
                    value=b"\x00",
                    headers=[(k, dice.choice([v, b"", b"-1", b"\xff"])) for k, v in headers[1:]],
                    partition=0,
                )
        _send(producer, records[-1])
        await asyncio.to_thread(producer.flush, 10)
        await follower.until_position(events[-1].position)
        assert_exactly(follower.seen, events)
        assert kafka_side.taken("kafka") > 0
    finally:
        await asyncio.to_thread(producer.close, 5)
        await follower.stop()


async def test_a_broker_that_was_never_there_stops_nobody(kafka_side: KafkaSide) -> None:
    kafka_side.servers = KafkaServers(bootstrap="127.0.0.1:1")
    log = kafka_side.log
    async with running(kafka_side.relay()):
        follower = Follower(kafka_side.stream(), Topic.EVENTS)
        try:
            await log.write("w", 20)
            await follower.until_position(await log.store.last_position(), seconds=10)
        finally:
            await follower.stop()
    assert_exactly(follower.seen, await log.events(Topic.EVENTS))
    assert kafka_side.relay_metrics.failures._value.get() > 0


def _producer(servers: KafkaServers) -> KafkaProducer:
    return open_client(servers, KafkaProducer, acks="all")


def _send(producer: KafkaProducer, record: Outgoing) -> None:
    event = record.event
    assert event is not None
    producer.send(
        record.place[0].value,
        key=event.stream_id.encode(),
        value=event.data,
        headers=headers_of(record),
        partition=record.place[1],
    )
