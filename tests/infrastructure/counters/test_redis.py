import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import RedisError

from infrastructure.counters import Standing
from infrastructure.counters.redis import OwnCounters, RedisCounters
from tests.servers import ValkeyServer


@pytest.fixture
async def counters(valkey: ValkeyServer) -> AsyncIterator[RedisCounters]:
    opened = RedisCounters(valkey.url)
    yield opened
    await opened.close()


@pytest.fixture
def name() -> str:
    return secrets.token_hex(8)


async def test_a_window_takes_as_many_as_its_limit_and_tells_how_many_are_left(
    counters: RedisCounters, name: str
) -> None:
    seen = [await counters.count(name, limit=3, window_seconds=60, cost=1) for _ in range(5)]
    assert [each.allowed for each in seen] == [True, True, True, False, False]
    assert [each.remaining for each in seen] == [2, 1, 0, 0, 0]
    assert all(59 < each.reset_seconds <= 60 for each in seen)
    assert all(each.shared for each in seen)


async def test_looking_costs_nothing(counters: RedisCounters, name: str) -> None:
    for _ in range(5):
        look = await counters.count(name, limit=3, window_seconds=60, cost=0)
        assert (look.remaining, look.allowed) == (3, True)


async def test_a_window_ends_and_what_was_refused_does_not_lengthen_it(
    counters: RedisCounters, name: str
) -> None:
    assert (await counters.count(name, limit=1, window_seconds=1, cost=1)).allowed
    refused = 0
    began = time.monotonic()
    while not (await counters.count(name, limit=1, window_seconds=1, cost=1)).allowed:
        refused += 1
        await asyncio.sleep(0.02)
    assert refused > 0
    assert time.monotonic() - began < 1.5


async def test_names_do_not_meet(counters: RedisCounters, name: str) -> None:
    for each in (f"{name}:a", f"{name}:b"):
        assert (await counters.count(each, limit=1, window_seconds=60, cost=1)).allowed


async def test_a_limit_holds_exactly_over_many_processes_at_once(
    valkey: ValkeyServer, name: str
) -> None:
    several = [RedisCounters(valkey.url, connections_max=4) for _ in range(4)]
    standings: list[Standing] = await asyncio.gather(
        *(
            several[number % 4].count(name, limit=100, window_seconds=60, cost=1)
            for number in range(1000)
        )
    )
    assert sum(each.allowed for each in standings) == 100
    assert all(each.shared for each in standings)
    for each in several:
        await each.close()


async def test_without_the_server_the_process_counts_alone_and_does_not_wait(name: str) -> None:
    alone = RedisCounters("redis://127.0.0.1:1/0", pause_seconds=60)
    began = time.monotonic()
    seen = [await alone.count(name, limit=2, window_seconds=60, cost=1) for _ in range(4)]
    assert [each.allowed for each in seen] == [True, True, False, False]
    assert not any(each.shared for each in seen)
    assert time.monotonic() - began < 1
    with pytest.raises(RedisError, match="connect"):
        await alone.check()
    await alone.close()


async def test_when_the_server_is_back_it_counts_there_again(
    valkey: ValkeyServer, name: str
) -> None:
    back = RedisCounters(valkey.url, pause_seconds=0.05)
    back._away_until = time.monotonic() + 0.05
    assert not (await back.count(name, limit=2, window_seconds=60, cost=1)).shared
    await asyncio.sleep(0.1)
    assert (await back.count(name, limit=2, window_seconds=60, cost=1)).shared
    await back.close()


def test_counting_alone_forgets_windows_that_ended() -> None:
    own = OwnCounters()

    def count(now: float) -> bool:
        return own.count("a", limit=1, window_seconds=10, cost=1, now=now).allowed

    assert [count(0), count(5), count(10.1), count(11)] == [True, False, True, False]
