"""What containers wrote. Delivered at least once; a line delivered twice is read once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from infrastructure.clickhouse import ClickHouse
from projections.analytics.schema import LOGS, DatedRow, insert_by_day

WRITER = "tallyport logs"
LINES_MAX = 5000

_NANOSECONDS_MAX = 2**63 - 1
_ORDINAL_MAX = 2**32 - 1
_HOUR_NS = 3600 * 10**9


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


class LogRow(DatedRow, frozen=True, kw_only=True):
    """One row of `LOGS`; the fields are the columns."""

    team_id: str
    deployment_id: str
    replica_id: str
    ordinal: int
    source: str
    level: str
    message: str


class _Now(msgspec.Struct, frozen=True):
    stored_us: int


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

    @property
    def identity(self) -> tuple[str, int, int]:
        """What tells it from every other line of its deployment."""
        return (self.replica_id, self.timestamp_ns, self.ordinal)


class StoredEntry(LogEntry, frozen=True, kw_only=True):
    """A line, and when it was stored: by that order one follows."""

    stored_us: int


class ClickHouseLogSink:
    """Takes collected lines."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def write(self, lines: Sequence[CollectedLine]) -> None:
        """Store the lines. After an error, hand them over again: repetitions are harmless."""
        rows = [_row(line) for line in lines]
        await insert_by_day(self._clickhouse, LOGS, rows, writer=WRITER)


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

    async def now_us(self) -> int:
        """Return the store's time, in Unix microseconds: whatever is stored next is later."""
        [now] = await self._clickhouse.query(
            _Now, "SELECT toUnixTimestamp64Micro(now64(6)) AS stored_us", {}
        )
        return now.stored_us

    async def stored_after(
        self, deployment_id: str, *, team_id: str, after_us: int
    ) -> list[StoredEntry]:
        """Return the lines stored after a moment, in the order in which they were.

        About `LINES_MAX` at most; whole inserts, so that nothing is left out between two calls.
        Lines that were written more than an hour before they were stored are not news.
        """
        return await self._clickhouse.query(
            StoredEntry,
            """
            SELECT toUnixTimestamp64Nano(time) AS timestamp_ns,
                   replica_id, ordinal, source, level, message,
                   toUnixTimestamp64Micro(stored_at) AS stored_us
            FROM container_logs
            WHERE team_id = {team_id:String} AND deployment_id = {deployment_id:String}
              AND time >= fromUnixTimestamp64Nano({oldest:Int64}, 'UTC')
              AND stored_at > fromUnixTimestamp64Micro({after:Int64}, 'UTC')
            ORDER BY stored_at
            LIMIT {limit:UInt32} WITH TIES
            """,
            {
                "team_id": team_id,
                "deployment_id": deployment_id,
                "oldest": after_us * 1000 - _HOUR_NS,
                "after": after_us,
                "limit": LINES_MAX,
            },
        )


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
