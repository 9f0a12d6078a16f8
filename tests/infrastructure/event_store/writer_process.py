"""One of several processes that append at the same time, each with a few coroutines.

`python -m tests.infrastructure.event_store.writer_process CONNINFO NAME SECONDS` prints one line of
JSON: for every acknowledged append when it began, when it was acknowledged (seconds of the clock
that all processes share) and its last position.
"""

import asyncio
import sys
import time

import msgspec
from psycopg_pool import AsyncConnectionPool

from infrastructure.event_store.postgres import PostgresEventStore
from tests.infrastructure.event_store.making import new_event

COROUTINES = 6


async def write(conninfo: str, name: str, seconds: float) -> list[tuple[float, float, int]]:
    acknowledged: list[tuple[float, float, int]] = []
    async with AsyncConnectionPool(
        conninfo, open=False, min_size=1, max_size=2, kwargs={"autocommit": True}
    ) as pool:
        store = PostgresEventStore(pool, conninfo)
        end = time.monotonic() + seconds

        async def appender(number: int) -> None:
            version = 0
            while time.monotonic() < end:
                size = 1 + version % 3
                events = [
                    new_event(f"{name}-{number}", version + step) for step in range(1, size + 1)
                ]
                began = time.monotonic()
                position = await store.append(events)
                acknowledged.append((began, time.monotonic(), position))
                version += size
                if number == 0:
                    await asyncio.sleep(0.001)  # sometimes alone in its commit

        await asyncio.gather(*(appender(number) for number in range(COROUTINES)))
        await store.close()
    return acknowledged


def main() -> None:
    conninfo, name, seconds = sys.argv[1:]
    acknowledged = asyncio.run(write(conninfo, name, float(seconds)))
    sys.stdout.buffer.write(msgspec.json.encode(acknowledged))


if __name__ == "__main__":
    main()
