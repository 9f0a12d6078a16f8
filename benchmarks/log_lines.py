"""How many log lines a second go from containers into ClickHouse, and how many can be dropped.

Ten replicas write JSON lines as fast as they are read; the collector parses, buffers and stores
them. The yardstick is handing the same lines, collected before, to the same sink in batches of the
same size: what the collector costs on top. Then one replica writes far more than it may: all but
some of its lines are read, counted and dropped, which is the most that a flood can cost.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec

from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from infrastructure.containers import ActualReplica, LogLine, LogPosition, ReplicaState
from projections.analytics.logs import ClickHouseLogSink
from projections.analytics.schema import create_tables
from tests.infrastructure.clickhouse.process import ClickHouseProcess
from workers.provisioner import CollectedLine
from workers.provisioner.log_buffer import LogLimits
from workers.provisioner.logs import LogCollector

REPLICAS = 10
LINES = 20_000
"""Of each replica."""
READ_LINES = 500
"""How many lines come with one read."""
UNLIMITED = LogLimits(lines_per_second=10**9, burst_lines=10**9)


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


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        server = ClickHouseProcess(Path(folder) / "clickhouse").start()
        try:
            print(asyncio.run(measure(server.url, Path(folder))))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
