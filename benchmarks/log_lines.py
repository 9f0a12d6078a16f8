"""How many log lines a second go from containers into ClickHouse, and how many can be dropped.

Ten replicas write JSON lines as fast as they are read; the collector parses, buffers and stores
them. The yardstick is handing the same lines, collected before, to the same sink in batches of the
same size: what the collector costs on top. Then one replica writes far more than it may: all but
some of its lines are read, counted and dropped, which is the most that a flood can cost.

Last, on a whole platform, one replica writes 10,000 lines a second, and the API is read meanwhile:
its p99 against the same reading in turns with it, while the replica writes nothing.
"""

import asyncio
import io
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
import msgspec

from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from infrastructure.containers import ActualReplica, LogLine, LogPosition, ReplicaState
from projections.analytics.logs import ClickHouseLogSink
from projections.analytics.schema import create_tables
from tests.infrastructure.clickhouse.process import ClickHouseProcess
from tests.platform import Person, Platform
from workers.provisioner import CollectedLine
from workers.provisioner.log_buffer import LogLimits
from workers.provisioner.logs import LogCollector

REPLICAS = 10
LINES = 20_000
"""Of each replica."""
READ_LINES = 500
"""How many lines come with one read."""
UNLIMITED = LogLimits(lines_per_second=10**9, burst_lines=10**9)

FLOOD_LINES_PER_SECOND = 10_000
ROUNDS = 4
ROUND_SECONDS = 4.0
FLOODING = f"""
import os, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer

flood = threading.Event()

def write():
    part = ("GET /hello 200 " + "x" * 60 + "\\n") * {FLOOD_LINES_PER_SECOND // 50}
    while flood.wait():
        began = time.monotonic()
        os.write(1, part.encode())
        time.sleep(max(0.0, began + 0.02 - time.monotonic()))

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        flood.set() if self.path == "/flood" else flood.clear()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

threading.Thread(target=write, daemon=True).start()
HTTPServer(("", int(os.environ["PORT"])), Answer).serve_forever()
"""
"""A program that writes as many lines a second from `/flood` on, until asked anything else."""


class Script:
    """Stands in for a driver: every replica has written the same number of lines."""

    def __init__(self, lines: int) -> None:
        self._lines = lines

    async def logs(
        self, replica: ActualReplica, _after: LogPosition
    ) -> AsyncIterator[Sequence[LogLine]]:
        """Give all lines at once, as an engine does that was not asked for long."""
        began = time.time_ns()
        for start in range(0, self._lines, READ_LINES):
            await asyncio.sleep(0)
            yield [
                LogLine(
                    began + number,
                    0,
                    "stdout",
                    f'{{"level":"info","message":"GET /hello/{number} 200","ms":1.2,'
                    f'"replica":"{replica.replica_id}"}}',
                )
                for number in range(start, min(start + READ_LINES, self._lines))
            ]


class Counting:
    """A sink that keeps what it passes on."""

    def __init__(self, sink: ClickHouseLogSink) -> None:
        self._sink = sink
        self.lines: list[CollectedLine] = []

    async def write(self, lines: Sequence[CollectedLine]) -> None:
        """Store the lines."""
        await self._sink.write(lines)
        self.lines += lines


def replica(number: int) -> ActualReplica:
    """Return one that has ended, so that its log has an end."""
    return ActualReplica(
        replica_id=f"dpl-{number}-1-1",
        engine_id=f"engine-{number}",
        deployment_id=f"dpl-{number}",
        team_id="org-1",
        revision=1,
        config_hash="",
        restarts=0,
        crashes=0,
        reason=None,
        state=ReplicaState.EXITED,
    )


async def collect(sink: Counting, folder: Path, count: int, lines: int, limits: LogLimits) -> float:
    """Return the seconds until the logs of so many replicas were collected."""
    collector = LogCollector(
        cast("Any", Script(lines)), sink, folder / f"positions-{count}-{lines}", limits=limits
    )
    storing = asyncio.create_task(collector.run())
    replicas = [replica(number) for number in range(count)]
    began = time.perf_counter()
    collector.follow(replicas)
    await asyncio.gather(*(collector.finish(each, wait_seconds=300) for each in replicas))
    took = time.perf_counter() - began
    storing.cancel()
    await asyncio.gather(storing, return_exceptions=True)
    return took


async def only_store(sink: ClickHouseLogSink, lines: Sequence[CollectedLine]) -> float:
    """Return the seconds that storing alone takes."""
    batch = UNLIMITED.batch_lines
    again = [msgspec.structs.replace(line, deployment_id="dpl-again") for line in lines]
    began = time.perf_counter()
    for start in range(0, len(again), batch):
        await sink.write(again[start : start + batch])
    return time.perf_counter() - began


async def measure(url: str, folder: Path) -> str:
    """Return the line to print."""
    client = ClickHouseClient(ClickHouseOptions(url=url))
    await create_tables(client)
    sink = ClickHouseLogSink(client)
    stored = Counting(sink)
    await collect(Counting(sink), folder, 1, READ_LINES, UNLIMITED)  # warm
    took = await collect(stored, folder, REPLICAS, LINES, UNLIMITED)
    if len(stored.lines) != REPLICAS * LINES:
        raise AssertionError(f"{len(stored.lines)} lines were stored")
    alone = await only_store(sink, stored.lines)
    flooded = Counting(sink)
    flood = await collect(flooded, folder, 1, REPLICAS * LINES, LogLimits())
    await client.close()
    total = REPLICAS * LINES
    return (
        f"log lines: {total / took:,.0f} a second from {REPLICAS} replicas into ClickHouse,"
        f" {alone / took:.2f} of storing alone ({total / alone:,.0f}); {total / flood:,.0f} a"
        f" second of one that may write {LogLimits().lines_per_second:,}:"
        f" {len(flooded.lines):,} stored, the others counted"
    )


def read(api: httpx.Client, times: list[float]) -> None:
    """Read deployments for the seconds of a round."""
    deadline = time.perf_counter() + ROUND_SECONDS
    while time.perf_counter() < deadline:
        began = time.perf_counter()
        api.get("/deployments").raise_for_status()
        times.append(time.perf_counter() - began)


def measure_api(platform: Platform) -> str:
    """Return what is to be said of the API while one replica floods."""
    anna = Person(platform, "anna")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("main.py", FLOODING)
    code = anna.api.post(
        "/sources", content=packed.getvalue(), headers={"Content-Type": "application/zip"}
    ).raise_for_status()
    wish = {"appName": "flood", "image": code.json()["image"], "port": 8080}
    created = anna.post("/deployments", **wish, visibility="public")
    anna.until_running(created["id"], replicas=1)
    app = httpx.Client(
        base_url=platform.gateway_url, headers={"Host": "flood.apps.localhost"}, timeout=20
    )
    quiet: list[float] = []
    flooded: list[float] = []
    with app:
        read(anna.api, [])
        for _ in range(ROUNDS):
            for path, times in (("/flood", flooded), ("/be-quiet", quiet)):
                app.get(path).raise_for_status()
                read(anna.api, times)
    anna.close()
    (loud, alone) = (statistics.quantiles(each, n=100)[98] for each in (flooded, quiet))
    return (
        f"p99 of a read of the API beside {FLOOD_LINES_PER_SECOND:,} a second"
        f" {loud * 1000:.1f} ms, {loud / alone:.2f} of the same without ({alone * 1000:.1f} ms)"
    )


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        server = ClickHouseProcess(Path(folder) / "clickhouse").start()
        try:
            collected = asyncio.run(measure(server.url, Path(folder)))
        finally:
            server.stop()
        with Platform(Path(folder) / "home") as platform:
            print(f"{collected}; {measure_api(platform)}")


if __name__ == "__main__":
    main()
