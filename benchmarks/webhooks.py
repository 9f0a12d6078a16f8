"""Ask whether endpoints that take nothing delay the messages of another one.

Keys are made for one team, and each is a message: the clock runs from the command's answer until
the team's server has the message. Measured alone, and beside 100,000 messages that are due at dead
endpoints of another team, at one and at fifty: where nobody listens, and where connections are
accepted and nothing is ever answered. The target is a p99 of at most twice that of alone.
"""

import asyncio
import json
import logging
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
import uvloop

from tests.servers import PostgresServer
from tests.webhook_receiver import Posted, running_receiver
from tests.wiring import SCHEMAS, Installation, open_installation
from tests.workers.webhooks.conftest import Scene

MESSAGES = 150
PER_SECOND = 20
WAITING = 100_000
DEAD = (1, 50)
WAIT_SECONDS = 15.0
"""So long an answer is waited for, as in the worker itself."""
REFUSED = "127.0.0.1:1"

_names = count()


async def delays(installation: Installation, dead_host: str, dead: int) -> list[float]:
    """Return the milliseconds until each message was there."""
    anna, bell = [await installation.register(f"person{next(_names)}") for _ in range(2)]
    arrived: dict[str, float] = {}

    async def note(posted: Posted, writer: asyncio.StreamWriter) -> None:
        key_id = json.loads(posted.body)["data"]["keyId"]
        arrived.setdefault(key_id, time.perf_counter())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with running_receiver() as receiver:
        receiver.answers["/hook"] = note
        scene = Scene(installation, receiver, anna)
        await scene.make("/hook")
        for number in range(dead):
            url = f"http://{dead_host}/{number}"
            await scene.make(person=bell, url=url, private_hosts=(dead_host,))
        scene.start(private_hosts=(receiver.host, dead_host), timeout_seconds=WAIT_SECONDS)
        try:
            await scene.caught_up()
            await let_wait(installation, bell.team_id, dead)
            answered: dict[str, float] = {}
            due = time.perf_counter()
            for _ in range(MESSAGES):
                due += 1 / PER_SECOND
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                [key_id] = await scene.keys()
                answered[key_id] = time.perf_counter()
            await receiver.until(MESSAGES, "/hook")
        finally:
            await scene.stop()
        await installation.as_admin("DELETE FROM webhook_endpoints")
    return [(arrived[key_id] - at) * 1000 for key_id, at in answered.items()]


async def let_wait(installation: Installation, team_id: str, dead: int) -> None:
    """Put messages that are due into the dead endpoints' queues."""
    if dead:
        await installation.as_admin(
            "INSERT INTO webhook_deliveries"
            " (id, webhook_id, cursor, position, event_type, body, due_at)"
            " SELECT webhook_id || '-' || n, webhook_id, n || '.0', n, 'key.created', '{}', now()"
            " FROM webhook_endpoints, generate_series(1, %s) AS n WHERE team_id = %s",
            WAITING // dead,
            team_id,
        )


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """Accept connections and never say anything; yield its host."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def percentile(times: list[float], number: int) -> float:
    """Return that percentile."""
    return statistics.quantiles(times, n=100)[number - 1]


async def measure(server: PostgresServer) -> str:
    """Return the line to print."""
    async with (
        open_installation(server, server.new_database()) as installation,
        silent_server() as silent,
    ):
        await delays(installation, REFUSED, 0)  # warm
        alone = await delays(installation, REFUSED, 0)
        found = {
            f"{dead} {name}": await delays(installation, host, dead)
            for dead in DEAD
            for name, host in (("refusing", REFUSED), ("silent", silent))
        }
    yardstick = percentile(alone, 99)
    return f"webhooks: alone p50 {percentile(alone, 50):.1f} ms, p99 {yardstick:.1f} ms" + "".join(
        f"; beside {WAITING} messages at {name} p50 {percentile(times, 50):.1f} ms, p99"
        f" {percentile(times, 99):.1f} ms ({percentile(times, 99) / yardstick:.1f}, target 2)"
        for name, times in found.items()
    )


def main() -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with PostgresServer(SCHEMAS, durable=True) as server:
        print(uvloop.run(measure(server)))


if __name__ == "__main__":
    main()
