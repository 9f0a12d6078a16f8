"""What replicas used. Delivered at least once; a sample delivered twice is read once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from infrastructure.clickhouse import ClickHouse
from projections.analytics.schema import SAMPLES, DatedRow, insert_by_day

WRITER = "tallyport samples"
RECENT = timedelta(seconds=90)
"""How old the newest sample of a replica may be to say what it uses now."""

_SCOPE = f"""
    FROM {SAMPLES} FINAL
    WHERE team_id = {{team_id:String}} AND deployment_id = {{deployment_id:String}}
      AND time >= fromUnixTimestamp64Milli({{start:Int64}}, 'UTC')
      AND time < fromUnixTimestamp64Milli({{end:Int64}}, 'UTC')
"""
_ROUNDS = f"""
    FROM (
        SELECT time, sum(cpu_millis) AS cpu, sum(memory_bytes) AS memory,
               sum(network_in_bytes) AS network_in, sum(network_out_bytes) AS network_out
        {_SCOPE} GROUP BY time
    )
"""
# Rows of one identity have the same time, so they are always in the same partition.
_SETTINGS = " SETTINGS do_not_merge_across_partitions_select_final = 1"


class ReplicaSample(Protocol):
    """A sample as whoever watches the containers hands it over. Replica and time identify it."""

    @property
    def at(self) -> int:
        """The time of the round, in Unix seconds."""
        ...

    @property
    def team_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def deployment_id(self) -> str:
        """What used it."""
        ...

    @property
    def replica_id(self) -> str:
        """Which copy used it."""
        ...

    @property
    def cpu_millis(self) -> float:
        """Thousandths of a processor, on average since the sample before."""
        ...

    @property
    def memory_bytes(self) -> int:
        """What it held."""
        ...

    @property
    def network_in_bytes(self) -> int | None:
        """What it received since the sample before; None where nobody counts."""
        ...

    @property
    def network_out_bytes(self) -> int | None:
        """What it sent."""
        ...


class SampleRow(DatedRow, frozen=True, kw_only=True):
    """One row of `SAMPLES`; the fields are the columns."""

    team_id: str
    deployment_id: str
    replica_id: str
    cpu_millis: float
    memory_bytes: int
    network_in_bytes: int | None
    network_out_bytes: int | None


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What all replicas together used in some time. None where nothing was measured."""

    cpu_millis: float | None = None
    memory_bytes: float | None = None
    network_in_bytes: int | None = None
    network_out_bytes: int | None = None


class UsedNow(msgspec.Struct, frozen=True, kw_only=True):
    """One replica's newest sample; `at` is in Unix seconds."""

    replica_id: str
    at: int
    cpu_millis: float
    memory_bytes: int
    network_in_bytes: int | None
    network_out_bytes: int | None


class _Point(msgspec.Struct, frozen=True):
    at: int
    cpu_millis: float
    memory_bytes: float
    network_in_bytes: int | None
    network_out_bytes: int | None

    @property
    def used(self) -> Used:
        return Used(
            cpu_millis=self.cpu_millis,
            memory_bytes=self.memory_bytes,
            network_in_bytes=self.network_in_bytes,
            network_out_bytes=self.network_out_bytes,
        )


class ClickHouseSampleSink:
    """Takes samples."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def write(self, samples: Sequence[ReplicaSample]) -> None:
        """Store the samples. After an error, hand them over again: repetitions are harmless."""
        rows = [_row(sample) for sample in samples]
        await insert_by_day(self._clickhouse, SAMPLES, rows, writer=WRITER)


class SampleQueries:
    """Reads what replicas used."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def series(
        self, deployment_id: str, *, team_id: str, start: datetime, end: datetime, times: range
    ) -> list[Used]:
        """Return what was used at each of these times (see `points_between`).

        Processor and memory are the average of what all replicas together used at one time, over
        the times at which there was any; network is the sum.
        """
        rows = await self._clickhouse.query(
            _Point,
            f"""
            SELECT intDiv(toUnixTimestamp(time), {{step:UInt32}}) * {{step:UInt32}} AS at,
                   round(avg(cpu), 1) AS cpu_millis, round(avg(memory)) AS memory_bytes,
                   sum(network_in) AS network_in_bytes, sum(network_out) AS network_out_bytes
            {_ROUNDS} GROUP BY at {_SETTINGS}
            """,
            {**_scope(team_id, deployment_id, start, end), "step": times.step},
        )
        found = {row.at: row.used for row in rows}
        return [found.get(at, Used()) for at in times]

    async def newest(self, deployment_id: str, *, team_id: str, now: datetime) -> list[UsedNow]:
        """Return what each replica that was seen a moment ago uses."""
        return await self._clickhouse.query(
            UsedNow,
            f"""
            SELECT replica_id, toUnixTimestamp(time) AS at, round(cpu_millis, 1) AS cpu_millis,
                   memory_bytes, network_in_bytes, network_out_bytes
            {_SCOPE}
            ORDER BY replica_id, time DESC LIMIT 1 BY replica_id {_SETTINGS}
            """,
            _scope(team_id, deployment_id, now - RECENT, now + RECENT),
        )


def _row(sample: ReplicaSample) -> SampleRow:
    return SampleRow(
        time=f"{datetime.fromtimestamp(sample.at, UTC):%Y-%m-%d %H:%M:%S}",
        team_id=sample.team_id,
        deployment_id=sample.deployment_id,
        replica_id=sample.replica_id,
        cpu_millis=sample.cpu_millis,
        memory_bytes=sample.memory_bytes,
        network_in_bytes=sample.network_in_bytes,
        network_out_bytes=sample.network_out_bytes,
    )


def _scope(team_id: str, deployment_id: str, start: datetime, end: datetime) -> dict[str, object]:
    epoch, millisecond = datetime.fromtimestamp(0, UTC), timedelta(milliseconds=1)
    return {
        "team_id": team_id,
        "deployment_id": deployment_id,
        "start": (start - epoch) // millisecond,
        "end": (end - epoch) // millisecond,
    }
