"""What containers wrote. Delivered at least once; a line delivered twice is read once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from infrastructure.clickhouse import ClickHouse
from projections.analytics.schema import LOGS

WRITER = "tallyport logs"
LINES_MAX = 5000

_NANOSECONDS_MAX = 2**63 - 1
_ORDINAL_MAX = 2**32 - 1


class CollectedLine(Protocol):
    """A line as whoever follows the containers hands it over.

    Replica, time and ordinal together are its identity: the same line delivered again must carry
    the same three.
    """

    @property
    def team_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def deployment_id(self) -> str:
        """What wrote it."""
        ...

    @property
    def replica_id(self) -> str:
        """Which copy wrote it."""
        ...

    @property
    def timestamp_ns(self) -> int:
        """When, in Unix nanoseconds."""
        ...

    @property
    def ordinal(self) -> int:
        """Counts the replica's lines with the same time."""
        ...

    @property
    def source(self) -> str:
        """``stdout`` or ``stderr``."""
        ...

    @property
    def level(self) -> str:
        """``info`` and so on; empty when nobody knows."""
        ...

    @property
    def message(self) -> str:
        """The text."""
        ...


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `LOGS`; the fields are the columns."""

    time: str
    team_id: str
    deployment_id: str
    replica_id: str
    ordinal: int
    source: str
    level: str
    message: str


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line, as it is shown."""

    timestamp_ns: int
    replica_id: str
    ordinal: int
    source: str
    level: str
    message: str

    @property
    def timestamp(self) -> datetime:
        """When it was written, to the microsecond."""
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=self.timestamp_ns // 1000)


class ClickHouseLogSink:
    """Takes collected lines."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def write(self, lines: Sequence[CollectedLine]) -> None:
        """Store the lines. After an error, hand them over again: repetitions are harmless."""
        days: dict[str, list[LogRow]] = {}
        for line in lines:
            row = _row(line)
            days.setdefault(row.time[:10], []).append(row)
        for rows in days.values():
            await self._clickhouse.insert(LOGS, rows, writer=WRITER)


class LogQueries:
    """Reads what containers wrote."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def tail(
        self,
        deployment_id: str,
        *,
        team_id: str,
        limit: int = 100,
        since: datetime | None = None,
        until: datetime | None = None,
        search: str = "",
    ) -> list[LogEntry]:
        """Return the newest `limit` lines from `since` on and before `until`, oldest first."""
        rows = await self._clickhouse.query(
            LogEntry,
            """
            SELECT toUnixTimestamp64Nano(time) AS timestamp_ns,
                   replica_id, ordinal, source, level, message
            FROM container_logs FINAL
            WHERE team_id = {team_id:String} AND deployment_id = {deployment_id:String}
              AND time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
              AND time < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
              AND ({search:String} = ''
                   OR positionCaseInsensitiveUTF8(message, {search:String}) > 0)
            ORDER BY time DESC, replica_id DESC, ordinal DESC
            LIMIT {limit:UInt32}
            SETTINGS do_not_merge_across_partitions_select_final = 1
            """,
            {
                "team_id": team_id,
                "deployment_id": deployment_id,
                "since": _nanoseconds(since) if since else 0,
                "until": _nanoseconds(until) if until else _NANOSECONDS_MAX,
                "search": search,
                "limit": max(0, min(limit, LINES_MAX)),
            },
        )
        rows.reverse()
        return rows


def _row(line: CollectedLine) -> LogRow:
    # Containers write what they like and clocks say what they like: a line that ClickHouse refused
    # would be handed over for ever, and hold up all others.
    seconds, nanoseconds = divmod(max(0, min(line.timestamp_ns, _NANOSECONDS_MAX)), 10**9)
    at = datetime.fromtimestamp(seconds, UTC)
    return LogRow(
        time=f"{at:%Y-%m-%d %H:%M:%S}.{nanoseconds:09d}",
        team_id=line.team_id,
        deployment_id=line.deployment_id,
        replica_id=line.replica_id,
        ordinal=min(line.ordinal, _ORDINAL_MAX),
        source=line.source,
        level=line.level,
        message=line.message.encode(errors="replace").decode(),
    )


def _nanoseconds(at: datetime) -> int:
    return (at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000
