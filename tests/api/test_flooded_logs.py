"""While a container floods its log, the API answers; counted, not timed.

The collector runs in the API's own loop here, which is worse than in life: there it is another
process.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from infrastructure.containers import ActualReplica, LogLine, LogPosition, ReplicaState
from infrastructure.ending import end
from projections.analytics.logs import ClickHouseLogSink
from tests.api.conftest import Api
from tests.infrastructure.clickhouse.process import ClickHouseProcess
from tests.workers.provisioner.scene import until
from workers.provisioner import CollectedLine
from workers.provisioner.log_buffer import LogLimits
from workers.provisioner.logs import LogCollector

ROUNDS = 12
FLOOD_LINES = 10
"""So many lines are there to read in each turn of the loop: the flood never waits for anybody."""
FLOOD_LINES_MIN = 10_000
LIMITS = LogLimits(flush_seconds=0.02, lines_per_second=500, burst_lines=2_000)


class Containers:
    """Stands in for the engine: one writes without end, and the other what it is told to."""

    def __init__(self, flood: str, neighbour: str) -> None:
        self.flood, self.neighbour = flood, neighbour
        self.flooded = 0
        self._told: asyncio.Queue[str] = asyncio.Queue()

    def say(self, line: str) -> None:
        self._told.put_nowait(line)

    async def logs(
        self, replica: ActualReplica, _after: LogPosition
    ) -> AsyncIterator[Sequence[LogLine]]:
        while replica.deployment_id == self.neighbour:
            yield [LogLine(time.time_ns(), 0, "stdout", await self._told.get())]
        began = time.time_ns()
        while True:
            await asyncio.sleep(0)
            first, self.flooded = self.flooded, self.flooded + FLOOD_LINES
            yield [
                LogLine(began + number, 0, "stdout", f"line {number}")
                for number in range(first, self.flooded)
            ]


class CountingSink(ClickHouseLogSink):
    """The real one, which counts what it is asked for at once."""

    def __init__(self, clickhouse: ClickHouseClient) -> None:
        super().__init__(clickhouse)
        self.lines: list[CollectedLine] = []
        self.writing = self.writing_max = self.lines_max = 0

    async def write(self, lines: Sequence[Any]) -> None:
        self.writing += 1
        self.writing_max = max(self.writing, self.writing_max)
        self.lines_max = max(len(lines), self.lines_max)
        await super().write(lines)
        self.writing -= 1
        self.lines += lines


def running(deployment_id: str, team_id: str) -> ActualReplica:
    return ActualReplica(
        replica_id=f"{deployment_id}-1-1",
        engine_id=f"engine-{deployment_id}",
        deployment_id=deployment_id,
        team_id=team_id,
        revision=1,
        config_hash="",
        restarts=0,
        crashes=0,
        reason=None,
        state=ReplicaState.RUNNING,
    )


async def test_while_a_container_floods_its_log_the_api_answers_every_read(
    api: Api, clickhouse_server: ClickHouseProcess, tmp_path: Path
) -> None:
    anna = await api.join()
    team_id = (await anna.get("/v1/user/profile")).json()["teamId"]
    names = [await anna.deploy("flood-api"), await anna.deploy("quiet-api")]
    containers = Containers(*names)
    client = ClickHouseClient(ClickHouseOptions(url=clickhouse_server.url, connections_max=1))
    sink = CountingSink(client)
    collector = LogCollector(cast("Any", containers), sink, tmp_path / "positions", limits=LIMITS)
    collecting = asyncio.create_task(collector.run())
    collector.follow([running(name, team_id) for name in names])
    held_max = 0
    try:
        for number in range(ROUNDS):
            containers.say(f"asked {number}")
            for path in ("/v1/deployments", f"/v1/deployments/{names[1]}", "/v1/user/profile"):
                assert (await anna.get(path)).status_code == 200
            answer = await anna.get(f"/v1/deployments/{names[0]}/logs?tail=100")
            assert answer.status_code == 200
            assert len(answer.json()["logs"]) <= 100
            held_max = max(held_max, *(len(each._lines) for each in collector._buffers.values()))
        await until(
            lambda: (
                containers.flooded >= FLOOD_LINES_MIN
                and any("were dropped" in line.message for line in sink.lines)
                and len([line for line in sink.lines if line.deployment_id == names[1]]) == ROUNDS
            )
        )
        shown = (await anna.get(f"/v1/deployments/{names[1]}/logs?tail=100")).json()["logs"]
    finally:
        await end(collecting)
        await client.close()
    assert [line["message"] for line in shown] == [f"asked {number}" for number in range(ROUNDS)]
    # One statement on one connection of its own, however much is written: that is all it costs.
    assert (sink.writing_max, sink.lines_max <= LIMITS.batch_lines) == (1, True)
    # A buffer takes one line more where it says how many were dropped.
    assert held_max <= LIMITS.buffer_lines + 1
