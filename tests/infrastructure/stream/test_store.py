"""Following the store outlives PostgreSQL's faults."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from infrastructure.stream.store import SharedPages, StoreStream
from tests.kafka.log import Follower, Log, assert_exactly, open_log
from tests.kafka.postgres import PostgresServer


@pytest.fixture
def mortal_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


async def test_a_follower_outlives_the_death_of_its_connection(log: Log) -> None:
    follower = Follower(StoreStream(log.store, log.conninfo), Topic.EVENTS)
    try:
        for n in range(1, 6):
            await log.append("a", n)
            await follower.until(lambda n=n: len(follower.seen) == n, seconds=5)  # type: ignore[misc]
            async with await psycopg.AsyncConnection.connect(log.conninfo) as connection:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'tallyport follow'"
                    " AND datname = current_database()"
                )
        assert_exactly(follower.seen, await log.events(Topic.EVENTS))
    finally:
        await follower.stop()


async def until_there_are(log: Log, listeners: int) -> None:
    async with await psycopg.AsyncConnection.connect(log.conninfo, autocommit=True) as connection:
        for _ in range(1_000):
            found = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tallyport follow'"
                " AND datname = current_database()"
            )
            row = await found.fetchone()
            if row == (listeners,):
                return
            await asyncio.sleep(0.01)
    pytest.fail(f"not {listeners} listening connections, but {row}")


async def test_followers_of_one_stream_share_one_connection_that_goes_with_the_last(
    log: Log,
) -> None:
    stream = StoreStream(log.store, log.conninfo, poll_seconds=600)
    first, *others = [Follower(stream, Topic.EVENTS) for _ in range(5)]
    await log.append("a", 1)
    for follower in (first, *others):
        await follower.until(lambda each=follower: len(each.seen) == 1)  # type: ignore[misc]
    await until_there_are(log, listeners=1)
    for follower in others:
        await follower.stop()
    await log.append("a", 2)
    await first.until(lambda: len(first.seen) == 2)
    late = Follower(stream, Topic.EVENTS)
    await late.until(lambda: len(late.seen) == 2)
    await until_there_are(log, listeners=1)
    await first.stop()
    await log.append("a", 3)
    await late.until(lambda: len(late.seen) == 3)
    await late.stop()
    await until_there_are(log, listeners=0)
    again = Follower(stream, Topic.EVENTS)
    await again.until(lambda: len(again.seen) == 3)
    await log.append("a", 4)
    await again.until(lambda: len(again.seen) == 4)
    await again.stop()


class SlowReader:
    """Answers when it is let, and counts what it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def read_all(self, **_asked: object) -> list[RecordedEvent]:
        self.asked += 1
        await self.may_answer.wait()
        return []


async def everybody_had_turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_page_is_read_once_for_all_who_ask_together_and_anew_for_who_comes_later() -> None:
    reader = SlowReader()
    pages = SharedPages(reader)
    asking = [asyncio.create_task(pages.read_all(after=7, limit=10)) for _ in range(5)]
    further = asyncio.create_task(pages.read_all(after=8, limit=10))
    await everybody_had_turns()
    assert reader.asked == 2
    asking[0].cancel()
    await everybody_had_turns()
    reader.may_answer.set()
    assert await asyncio.gather(*asking[1:], further) == [[]] * 5
    with pytest.raises(asyncio.CancelledError):
        await asking[0]
    await pages.read_all(after=7, limit=10)
    assert reader.asked == 3


async def test_who_asks_in_the_moment_a_read_ends_is_not_given_what_it_read() -> None:
    # Told of an event that came meanwhile, it would ask again and again, and stop the loop.
    reader = SlowReader()
    pages = SharedPages(reader)
    early = asyncio.create_task(pages.read_all(after=7, limit=10))
    await everybody_had_turns()

    async def ask_as_it_ends() -> None:
        await reader.may_answer.wait()  # in the same turn of the loop as the read, after it
        await pages.read_all(after=7, limit=10)

    late = asyncio.create_task(ask_as_it_ends())
    await everybody_had_turns()
    reader.may_answer.set()
    await asyncio.gather(early, late)
    assert reader.asked == 2


async def test_a_follower_outlives_a_crash_of_postgresql_under_writers(
    mortal_server: PostgresServer,
) -> None:
    async with open_log(mortal_server.new_database()) as log:
        follower = Follower(StoreStream(log.store, log.conninfo), Topic.EVENTS)
        try:
            writing = [
                asyncio.create_task(log.write(f"w-{n}", 100, pause_seconds=0.005)) for n in range(2)
            ]
            await follower.until(lambda: len(follower.seen) > 20)
            await asyncio.to_thread(mortal_server.kill)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(mortal_server.start)
            await asyncio.gather(*writing)
            await follower.until_position(await log.store.last_position())
            assert_exactly(follower.seen, await log.events(Topic.EVENTS))
            assert len(follower.seen) == 200
        finally:
            await follower.stop()
