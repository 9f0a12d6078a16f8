"""Collecting lines from a driver that plays a script."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from infrastructure.containers import ActualReplica, EngineUnavailable, LogLine, LogPosition
from tests.workers.provisioner.scene import Ear, until, wanted
from tests.workers.provisioner.test_plan import ended, replica
from workers.provisioner.log_buffer import LogLimits
from workers.provisioner.log_levels import level_and_message
from workers.provisioner.logs import LogCollector

DESIRED = wanted(replicas=2)
LIMITS = LogLimits(flush_seconds=0.01)


class Script:
    """Stands in for a driver: gives what was written, and can break off."""

    def __init__(self, lines: int) -> None:
        self.written = [LogLine(1_000 + n // 3, n % 3, "stdout", f"line {n}") for n in range(lines)]
        self.break_after: int | None = None
        self.asked: list[LogPosition] = []

    async def logs(
        self, _replica: ActualReplica, after: LogPosition
    ) -> AsyncIterator[Sequence[LogLine]]:
        self.asked.append(after)
        place = (after.timestamp_ns, after.count)
        for number, line in enumerate(self.written):
            if (line.timestamp_ns, line.ordinal) < place:
                continue
            if number == self.break_after:
                self.break_after = None
                raise EngineUnavailable("the stream broke")
            yield [line]
            await asyncio.sleep(0)


class Collecting:
    """A collector at work."""

    def __init__(self, script: Script, file: Path, ear: Ear, limits: LogLimits = LIMITS) -> None:
        self.collector = LogCollector(script, ear, file, limits=limits)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.collector.run())

    async def __aenter__(self) -> LogCollector:
        return self.collector

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def test_every_line_comes_once_and_in_order(tmp_path: Path) -> None:
    script, ear = Script(1000), Ear()
    over = ended(1, of=DESIRED)
    async with Collecting(script, tmp_path / "p", ear) as collector:
        collector.follow([over])
        await collector.finish(over, wait_seconds=10)
    assert ear.messages() == [f"line {n}" for n in range(1000)]
    assert ear.lines[0].replica_id == over.replica_id
    assert ear.lines[0].team_id == "team-1"


async def test_a_new_collector_goes_on_where_the_last_one_had_stored(tmp_path: Path) -> None:
    script, ear = Script(500), Ear()
    over = ended(1, of=DESIRED)
    async with Collecting(script, tmp_path / "p", ear) as collector:
        collector.follow([over])
        await until(lambda: len(ear.lines) == 500)
        await collector.finish(over, wait_seconds=10)
    script.written += [LogLine(9_000, n, "stderr", f"late {n}") for n in range(10)]
    async with Collecting(script, tmp_path / "p", ear) as collector:
        await collector.finish(over, wait_seconds=10)
    assert len(ear.lines) == 510
    assert ear.messages()[500:] == [f"late {n}" for n in range(10)]


async def test_a_broken_stream_is_taken_up_again_without_loss_or_repetition(
    tmp_path: Path,
) -> None:
    script, ear = Script(100), Ear()
    script.break_after = 41
    over = ended(1, of=DESIRED)
    async with Collecting(script, tmp_path / "p", ear) as collector:
        await collector.finish(over, wait_seconds=10)
    assert ear.messages() == [f"line {n}" for n in range(100)]
    assert len(script.asked) == 2


async def test_while_the_sink_is_away_reading_stops_and_nothing_is_lost(tmp_path: Path) -> None:
    script, ear = Script(2000), Ear()
    ear.deaf = True
    over = ended(1, of=DESIRED)
    limits = LogLimits(flush_seconds=0.01, buffer_lines=100, batch_lines=100)
    async with Collecting(script, tmp_path / "p", ear, limits) as collector:
        await collector.finish(over, wait_seconds=0.3)
        read = collector._buffers[over.replica_id].read_up_to
        assert read.timestamp_ns < script.written[300].timestamp_ns
        ear.deaf = False
        await collector.finish(over, wait_seconds=20)
    assert ear.messages() == [f"line {n}" for n in range(2000)]


async def test_a_flood_is_dropped_counted_and_said_and_leaves_its_neighbour_alone(
    tmp_path: Path,
) -> None:
    script, ear = Script(5000), Ear()
    limits = LogLimits(flush_seconds=0.01, lines_per_second=1, burst_lines=100)
    flood = ended(1, of=DESIRED)
    async with Collecting(script, tmp_path / "p", ear, limits) as collector:
        await collector.finish(flood, wait_seconds=20)
    kept = [message for message in ear.messages() if message.startswith("line ")]
    said = [message for message in ear.messages() if "were dropped" in message]
    assert len(kept) + sum(int(message.split()[0]) for message in said) == 5000
    assert "more than 1 lines a second" in said[-1]
    assert len({(line.timestamp_ns, line.ordinal) for line in ear.lines}) == len(ear.lines)


async def test_a_running_replica_is_followed_once_however_often_it_is_seen(
    tmp_path: Path,
) -> None:
    script, ear = Script(10), Ear()
    there = replica(1, of=DESIRED)
    async with Collecting(script, tmp_path / "p", ear) as collector:
        for _ in range(5):
            collector.follow([there])
        await until(lambda: len(ear.lines) == 10)
    assert len(script.asked) == 1


async def test_a_damaged_file_of_positions_means_collecting_again(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"{not json")
    script, ear = Script(10), Ear()
    over = ended(1, of=DESIRED)
    async with Collecting(script, tmp_path / "p", ear) as collector:
        await collector.finish(over, wait_seconds=10)
    assert len(ear.lines) == 10


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ('{"level": "warn", "message": "hot"}', "stdout", ("warning", "hot")),
        ('{"severity": "ERROR", "msg": "no"}', "stdout", ("error", "no")),
        (
            '{"level": "info", "message": "hi", "n": 1}',
            "stdout",
            ("info", '{"level": "info", "message": "hi", "n": 1}'),
        ),
        ("{not json", "stdout", ("info", "{not json")),
        ('{"n": 1}', "stderr", ("error", '{"n": 1}')),
        ("2026-01-01 WARNING: slow", "stdout", ("warning", "2026-01-01 WARNING: slow")),
        ("[FATAL] gone", "stdout", ("critical", "[FATAL] gone")),
        ("terror is no error level", "stdout", ("error", "terror is no error level")),
        ("plain", "stdout", ("info", "plain")),
        ("plain", "stderr", ("error", "plain")),
        ("", "stdout", ("info", "")),
        ("[" * 100_000, "stdout", ("info", "[" * 100_000)),
    ],
)
def test_the_level_of_a_line_is_found(text: str, source: str, expected: tuple[str, str]) -> None:
    assert level_and_message(text, source) == expected  # type: ignore[arg-type]
