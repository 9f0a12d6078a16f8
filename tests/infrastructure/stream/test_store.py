"""Following the store outlives PostgreSQL's faults."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from infrastructure.stream import Topic
from infrastructure.stream.store import StoreStream
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
