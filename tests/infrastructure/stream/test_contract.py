"""One contract for every carrier of the log: the store itself, Apache Kafka, Tansu."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from infrastructure.stream import REQUEST_PARTITIONS, Stream, Topic, place_of
from infrastructure.stream.store import StoreStream
from tests.kafka.fixtures import KafkaSide, running
from tests.kafka.log import FRAME, Follower, Log, assert_exactly


@pytest.fixture(params=["store", "apache_kafka", "tansu"])
async def stream(request: pytest.FixtureRequest, log: Log) -> AsyncIterator[Stream]:
    if request.param == "store":
        yield StoreStream(log.store, log.conninfo)
        return
    side = KafkaSide(log, request.getfixturevalue(request.param))
    async with running(side.relay()):
        yield side.stream()


@pytest.fixture
async def followers() -> AsyncIterator[Callable[[Follower], Follower]]:
    async with AsyncExitStack() as stack:

        def keep(follower: Follower) -> Follower:
            stack.push_async_callback(follower.stop)
            return follower

        yield keep


Keep = Callable[[Follower], Follower]


async def test_every_event_arrives_once_and_in_order_while_writers_append(
    stream: Stream, log: Log, followers: Keep
) -> None:
    await log.write("before", 150)
    following = [followers(Follower(stream, topic)) for topic in Topic]
    await asyncio.gather(*(log.write(f"writer-{n}", 150) for n in range(3)))
    last = await log.store.last_position()
    for follower in following:
        await follower.until_position(last)
        assert_exactly(follower.seen, await log.events(follower.topic))
        assert follower.position == last


async def test_a_follower_goes_on_where_another_stopped(
    stream: Stream, log: Log, followers: Keep
) -> None:
    writing = asyncio.create_task(log.write("w", 200))
    first = {topic: followers(Follower(stream, topic)) for topic in Topic}
    for follower in first.values():
        await follower.until(lambda f=follower: len(f.seen) >= 60)  # type: ignore[misc]
        await follower.stop()
    await writing
    last = await log.store.last_position()
    for topic, follower in first.items():
        second = followers(Follower(stream, topic, follower.cursor))
        await second.until_position(last)
        assert_exactly(follower.seen + second.seen, await log.events(topic))


async def test_frames_are_spread_over_the_partitions_by_gateway(
    stream: Stream, log: Log, followers: Keep
) -> None:
    follower = followers(Follower(stream, Topic.REQUESTS))
    for gateway in range(20):
        await log.append(f"gateway-{gateway}", 1, FRAME)
    await follower.until_position(await log.store.last_position())
    partitions = {place_of(event)[1] for event in follower.seen}
    assert partitions == set(range(REQUEST_PARTITIONS))
    assert set(follower.cursor) == partitions
    assert_exactly(follower.seen, await log.events(Topic.REQUESTS))


async def test_progress_moves_while_only_other_topics_have_events(
    stream: Stream, log: Log, followers: Keep
) -> None:
    follower = followers(Follower(stream, Topic.EVENTS))
    for n in range(1, 11):
        await log.append("gateway-1", n, FRAME)
    await follower.until_position(await log.store.last_position(), seconds=10)
    assert follower.seen == []


async def test_an_event_arrives_soon(stream: Stream, log: Log, followers: Keep) -> None:
    follower = followers(Follower(stream, Topic.EVENTS))
    await log.append("a", 1)
    await follower.until(lambda: len(follower.seen) == 1)
    await asyncio.sleep(2.5)  # a follower of Kafka has joined by now
    taken = []
    for n in range(2, 32):
        begun = time.perf_counter()
        await log.append("a", n)
        while len(follower.seen) < n:  # noqa: ASYNC110 - it measures, so it may not wait for a turn
            await asyncio.sleep(0)
        taken.append(time.perf_counter() - begun)
    taken.sort()
    print(f"append to follower: p50 {taken[15] * 1000:.1f} ms, p90 {taken[27] * 1000:.1f} ms")
    assert taken[15] < 0.5
