"""Ask what a read of the API costs beside a bare FastAPI route on the same server.

`GET /v1/deployments` with an API key and ten deployments to show (who asks, the limit in Redis, the
query, strict answers, every header) against a route of FastAPI that returns a fixed answer of the
same size. Both are served by the same uvicorn process, under the same load of `wrk`, in turns; the
line has the ratios of the medians (target 0.5), and what counting one request costs. Nothing else
runs in that process: the views were filled before.

Twice: asked as a program does that polls, where an answer is given again until there is news or a
second is over, and asked in a way that always goes to PostgreSQL (with a position). Every request
is really counted in Redis; who the key belongs to is remembered, for a second.

Needs wrk: `apt-get install -y wrk`.
"""

import argparse
import asyncio
import cProfile
import logging
import re
import statistics
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from api.app import create_app
from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from infrastructure.counters.redis import RedisCounters
from tests.api.conftest import OPTIONS, services_of
from tests.servers import PostgresServer, ValkeyServer
from tests.wiring import SCHEMAS, open_installation

ROUNDS = 5
SECONDS = 3
CONNECTIONS = 16
DEPLOYMENTS = 10
COUNTS = 5_000


class Bare(BaseModel):
    """What the bare route answers."""

    items: list[dict[str, Any]]


def bare_app(size: int) -> FastAPI:
    """Return FastAPI as its first page of documentation shows it, with an answer of that size."""
    app = FastAPI()
    one = {"id": "dpl-0a1b2c3d4e", "text": "x" * max(1, size // DEPLOYMENTS - 40)}

    @app.get("/bare")
    async def bare() -> Bare:
        return Bare(items=[one] * DEPLOYMENTS)

    return app


class Both:
    """The two applications side by side on one server."""

    def __init__(self, ours: FastAPI, bare: FastAPI) -> None:
        self._ours, self._bare = ours, bare

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from one of them."""
        app = self._bare if scope["path"] == "/bare" else self._ours
        await app(scope, receive, send)


async def rate(url: str, *headers: str) -> tuple[float, float]:
    """Return requests a second, all answered well, and the processor seconds of one."""
    used = time.process_time()
    wrk = await asyncio.create_subprocess_exec(
        *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url),
        *(argument for header in headers for argument in ("-H", header)),
        stdout=asyncio.subprocess.PIPE,
    )
    said = (await wrk.communicate())[0].decode()
    used = time.process_time() - used
    found = re.search(r"([0-9]+) requests in.*Requests/sec:\s+([0-9.]+)", said, re.DOTALL)
    if found is None or "Non-2xx" in said:
        raise AssertionError(said)
    return float(found[2]), used / int(found[1])


async def cost_of_counting(counters: RedisCounters) -> tuple[float, float]:
    """Return the microseconds of processor and of waiting that counting one request costs."""

    async def some(number: int) -> None:
        for _ in range(COUNTS // CONNECTIONS):
            await counters.count(f"bench:{number}", limit=10**6, window_seconds=60, cost=1)

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(some(number) for number in range(CONNECTIONS)))
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    return processor / COUNTS * 1e6, seconds * CONNECTIONS / COUNTS * 1e6


async def measure(profile: cProfile.Profile | None) -> str:
    """Return the line to print."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(PostgresServer(SCHEMAS))
        valkey = stack.enter_context(ValkeyServer())
        database = server.new_database()
        async with open_installation(server, database) as before:
            before.start_views()
            anna = await before.register()
            for number in range(DEPLOYMENTS):
                await before.deploy(anna, f"app-{number}")
            key = await before.create_key(anna, scopes=("deployments:read",))
            await before.caught_up()
        installation = await stack.enter_async_context(open_installation(server, database))
        counters = RedisCounters(valkey.url)
        stack.push_async_callback(counters.close)
        clickhouse = ClickHouseClient(ClickHouseOptions(url="http://127.0.0.1:1"))  # not asked
        stack.push_async_callback(clickhouse.close)
        services = await stack.enter_async_context(
            services_of(installation, counters, clickhouse, views=())
        )
        services = replace(services, options=replace(OPTIONS, rate_reads=10**9))
        ours = create_app(services)
        listening = uvicorn.Server(
            uvicorn.Config(
                Both(ours, bare_app(3000)),
                port=0,
                log_config=None,
                lifespan="off",
                access_log=False,
            )
        )
        serving = asyncio.create_task(listening._serve())  # noqa: SLF001 - without its signals
        while not listening.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        base = f"http://127.0.0.1:{listening.servers[0].sockets[0].getsockname()[1]}"
        credential = f"X-API-Key: {key.key}"
        ways: dict[str, tuple[str, ...]] = {
            "bare": (f"{base}/bare", credential),
            "read": (f"{base}/v1/deployments", credential),
            "asked": (f"{base}/v1/deployments", credential, "X-Tallyport-Min-Position: 0"),
        }
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for asked in ways.values():
            await rate(*asked)  # warm
        if profile is not None:
            profile.enable()
            await rate(*ways["asked"])
            profile.disable()
        for _ in range(ROUNDS):
            for name, asked in ways.items():
                rates[name].append(await rate(*asked))
        processor, waiting = await cost_of_counting(counters)
        listening.should_exit = True
        await serving
    bare, read, fresh = (statistics.median(each[0] for each in rates[name]) for name in ways)
    own, its, asking = (statistics.median(each[1] for each in rates[name]) * 1e6 for name in ways)
    return (
        f"api_read: {own / its:.2f} of a bare FastAPI route by processor time (target 0.5),"
        f" {own / asking:.2f} when PostgreSQL is asked each time:"
        f" {its:.0f} and {asking:.0f} against {own:.0f} us each;"
        f" {read:.0f} and {fresh:.0f} against {bare:.0f} a second;"
        f" counting one request takes"
        f" {processor:.0f} us of processor, {waiting:.0f} us with {CONNECTIONS} at a time"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--profile", type=Path, help="write a profile of the reads to this file")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    profile = cProfile.Profile() if chosen.profile else None
    print(uvloop.run(measure(profile)))
    if profile is not None:
        profile.dump_stats(chosen.profile)


if __name__ == "__main__":
    main()
