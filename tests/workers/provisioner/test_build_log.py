import asyncio
from collections.abc import Sequence

from infrastructure.containers import ReplicaSpec
from infrastructure.ending import end
from workers.provisioner import CollectedLine
from workers.provisioner.build_log import WAITING_LINES_MAX, BuildLog


class Sink:
    def __init__(self) -> None:
        self.lines: list[CollectedLine] = []

    async def write(self, lines: Sequence[CollectedLine]) -> None:
        self.lines += lines


def spec(team_id: str = "org-1") -> ReplicaSpec:
    return ReplicaSpec(
        replica_id="dpl-1-2-1",
        deployment_id="dpl-1",
        team_id=team_id,
        app_name="hello",
        revision=2,
        image="source/python:" + "0" * 64,
        port=8080,
        env={},
    )


async def test_lines_told_by_threads_are_stored_in_order_and_with_their_source() -> None:
    sink = Sink()
    builds = BuildLog(sink)
    running = asyncio.create_task(builds.run())
    for number in range(3):
        await asyncio.to_thread(builds.tell, spec(), f"line {number}")
    await asyncio.to_thread(builds.tell, spec(), "ERROR: no such thing")
    while len(sink.lines) < 4:  # noqa: ASYNC110 - the task says it there
        await asyncio.sleep(0.01)
    await end(running)
    assert [(line.message, line.level) for line in sink.lines] == [
        ("line 0", "info"),
        ("line 1", "info"),
        ("line 2", "info"),
        ("ERROR: no such thing", "error"),
    ]
    assert {line.source for line in sink.lines} == {"build"}
    assert {line.replica_id for line in sink.lines} == {"dpl-1-2-build"}
    assert len({(line.timestamp_ns, line.ordinal) for line in sink.lines}) == 4


async def test_what_waits_is_bounded_and_is_stored_at_the_end() -> None:
    sink = Sink()
    builds = BuildLog(sink)
    for number in range(WAITING_LINES_MAX + 10):
        builds.tell(spec(), str(number))
    running = asyncio.create_task(builds.run())
    await asyncio.sleep(0)
    await end(running)
    assert len(sink.lines) == WAITING_LINES_MAX
