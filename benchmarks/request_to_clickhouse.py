"""How long after its answer a request is in ClickHouse.

One request at a time, at a random moment within the meter's second; ClickHouse is asked for its
request id until it is there. The yardstick is the meter's own interval, one second: what a frame
waits for on average is half of it.
"""

import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import msgspec

from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from tests.platform import Person, Platform

REQUESTS = 60
METER_INTERVAL_SECONDS = 1.0
POLL_SECONDS = 0.01
TARGET_P99_SECONDS = 3.0


class _Count(msgspec.Struct):
    n: int


async def seconds_until_there(
    client: ClickHouseClient, gateway: httpx.AsyncClient, number: int
) -> float:
    """Return how long one request takes from its answer to its row."""
    request_id = f"benchmark-{number:06d}"
    answer = await gateway.get("/work", headers={"X-Request-Id": request_id})
    answer.raise_for_status()
    began = time.monotonic()
    while True:
        [row] = await client.query(
            _Count,
            "SELECT count() AS n FROM requests WHERE request_id = {id:String}",
            {"id": request_id},
        )
        if row.n:
            return time.monotonic() - began
        await asyncio.sleep(POLL_SECONDS)


async def measure(platform: Platform, key: str) -> list[float]:
    """Return the times of all requests."""
    client = ClickHouseClient(ClickHouseOptions(url=platform.clickhouse_url))
    headers = {"Host": "bench.apps.localhost", "X-API-Key": key}
    async with httpx.AsyncClient(base_url=platform.gateway_url, headers=headers) as gateway:
        times = []
        for number in range(REQUESTS):
            await asyncio.sleep(random.uniform(0, METER_INTERVAL_SECONDS))
            times.append(await seconds_until_there(client, gateway, number))
    await client.close()
    return times


def main() -> None:
    """Measure and print one line."""
    with tempfile.TemporaryDirectory() as folder, Platform(Path(folder) / "home") as platform:
        person = Person(platform, "bench")
        person.deploy("bench")
        key = person.create_key()["apiKey"]
        time.sleep(1)  # until the gateway has the key
        times = asyncio.run(measure(platform, key))
        person.close()
    quantiles = statistics.quantiles(times, n=100)
    print(
        f"request to ClickHouse: p50 {quantiles[49]:.2f} s, p99 {quantiles[98]:.2f} s"
        f" (target < {TARGET_P99_SECONDS:.0f} s), p50 is"
        f" {quantiles[49] / METER_INTERVAL_SECONDS:.2f} x the meter's interval"
    )


if __name__ == "__main__":
    main()
