"""Ask how long after a command is accepted it is visible in the view.

Each command (a deployment is scaled: one event) is answered with a position; the clock runs
from that answer until a reader that waits for the position, as the API does for
`X-Tallyport-Min-Position`, has read the row. All views of the installation are kept meanwhile, in
this one process. Measured alone and beside 200 commands a second from others. The yardstick is one
round trip to the same server (`SELECT 1`). The target is a p99 below 50 ms.
"""

import asyncio
import contextlib
import logging
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
import uvloop

from commands.deployments import ScaleDeployment
from projections.catalogue import VIEWS
from projections.reading import Reader
from tests.servers import PostgresServer
from tests.wiring import SCHEMAS, Installation, Person, open_installation

COMMANDS = 500
OTHERS_PER_SECOND = 200


async def visible_after(
    installation: Installation, anna: Person, reader: Reader, deployment_id: str
) -> list[float]:
    """Return the milliseconds from each answer to the moment its row was read."""
    times = []
    for number in range(COMMANDS):
        replicas = 1 + number % 9
        command = ScaleDeployment(deployment_id=deployment_id, replicas=replicas + 1)
        receipt = await installation.bus.dispatch(command, anna.context)
        answered = time.perf_counter()
        await reader.wait_for("deployments", receipt.position, timeout_seconds=10)
        [row] = await installation.query(
            "SELECT replicas FROM views.deployments WHERE id = %s", deployment_id
        )
        times.append((time.perf_counter() - answered) * 1000)
        if row["replicas"] != replicas + 1:
            raise AssertionError("the row was older than its position")
    return times


async def others(installation: Installation, anna: Person) -> None:
    """Create keys all the time."""
    due = time.perf_counter()
    while True:
        due += 1 / OTHERS_PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await installation.create_key(anna)


async def round_trips(installation: Installation) -> list[float]:
    """Return the milliseconds of the smallest question there is."""
    times = []
    for _ in range(COMMANDS):
        began = time.perf_counter()
        await installation.query("SELECT 1")
        times.append((time.perf_counter() - began) * 1000)
    return times


async def measure(server: PostgresServer) -> str:
    """Return the line to print."""
    stop = asyncio.Event()
    async with open_installation(server, server.new_database()) as installation:
        anna = await installation.register()
        deployment_id = (await installation.deploy(anna)).deployment_id
        installation.start_views()
        await installation.caught_up()
        reader = Reader(installation.pool, installation.conninfo, VIEWS)
        listening = asyncio.create_task(reader.run(stop))
        await visible_after(installation, anna, reader, deployment_id)  # warm
        yardstick = percentile(await round_trips(installation), 50)
        alone = await visible_after(installation, anna, reader, deployment_id)
        crowd = asyncio.create_task(others(installation, anna))
        beside = await visible_after(installation, anna, reader, deployment_id)
        crowd.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await crowd
        stop.set()
        await listening
    return "read your writes: " + "; ".join(
        f"{name} p50 {percentile(times, 50):.1f} ms ({percentile(times, 50) / yardstick:.0f} round"
        f" trips of {yardstick:.2f} ms), p99 {percentile(times, 99):.1f} ms (target 50)"
        for name, times in (("alone", alone), (f"beside {OTHERS_PER_SECOND}/s", beside))
    )


def percentile(times: list[float], number: int) -> float:
    """Return that percentile."""
    return statistics.quantiles(times, n=100)[number - 1]


def main() -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with PostgresServer(SCHEMAS, durable=True) as server:
        print(uvloop.run(measure(server)))


if __name__ == "__main__":
    main()
