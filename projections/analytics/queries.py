"""What can be asked about requests. Every question is about one team and a span of time.

`start` belongs to the span, `end` does not. A time a replica took is counted for billable requests
only: those that the gateway refused in no time would make everything look fast.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from domain.kernel.errors import RuleViolated
from infrastructure.clickhouse import ClickHouse
from projections.analytics.projector import noted_positions
from projections.analytics.schema import ProgressRow
from projections.reading import Listing, Page, Window

POINTS_MAX = 11_000
ENDPOINTS_MAX = 10

_SCOPE = """
    FROM requests AS row FINAL
    WHERE team_id = {team_id:String}
      AND time >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
      AND time < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
      AND ({deployment_id:String} = '' OR deployment_id = {deployment_id:String})
      AND ({key_id:String} = '' OR key_id = {key_id:String})
"""
_SOUGHT = """
      AND ({request_id:String} = '' OR row.request_id = {request_id:String})
      AND ({method:String} = '' OR row.method = {method:String})
      AND startsWith(row.path, {path:String})
      AND ({last:Int16} = 0 OR row.status BETWEEN {first:Int16} AND {last:Int16})
"""
_REQUEST = """
    toUnixTimestamp64Milli(row.time) AS time_ms, row.request_id AS request_id,
    row.deployment_id AS deployment_id, row.key_id AS key_id, row.method AS method,
    row.path AS path, row.status AS status, row.billable AS billable, row.refused AS refused,
    row.bytes_in AS bytes_in, row.bytes_out AS bytes_out, row.total_ms AS total_ms,
    row.upstream_ms AS upstream_ms, row.address AS address, row.position AS position,
    row.line AS line
"""
_EPOCH = datetime.fromtimestamp(0, UTC)
# Rows of one identity have the same time, so they are always in the same partition.
_SETTINGS = " SETTINGS do_not_merge_across_partitions_select_final = 1"
_COUNTS = """
    count() AS requests,
    countIf(row.billable) AS billable,
    countIf(row.status >= 500) AS errors,
    countIf(row.status >= 400 AND row.status < 500) AS client_errors,
    sum(row.bytes_in) AS bytes_in,
    sum(row.bytes_out) AS bytes_out,
    quantilesTDigestIf(0.5, 0.95, 0.99)(row.total_ms, row.billable) AS latency_ms
"""


class Resolution(StrEnum):
    """How much time one point of a series stands for."""

    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    HOUR = "1h"
    DAY = "1d"

    @property
    def seconds(self) -> int:
        """The length of one point."""
        return {"1m": 60, "5m": 300, "1h": 3600, "1d": 86400}[self.value]


class TooManyPoints(RuleViolated):
    """The span has too many points at this resolution."""


def points_between(
    start: datetime, end: datetime, resolution: Resolution, *, points_max: int = POINTS_MAX
) -> range:
    """Return the beginning of every point of a span, as Unix seconds; raises `TooManyPoints`."""
    step = resolution.seconds
    times = range(int(start.timestamp()) // step * step, int(-(-end.timestamp() // 1)), step)
    if len(times) > points_max:
        raise TooManyPoints(
            f"At a resolution of {resolution} this span has {len(times)} points, and {points_max} "
            f"are the most: ask for a shorter span, or for {finest(start, end, points_max)}.",
            points=len(times),
            points_max=points_max,
        )
    return times


def finest(start: datetime, end: datetime, points_max: int) -> Resolution:
    """Return the finest resolution at which a span has no more points than that."""
    seconds = (end - start).total_seconds()
    fitting = (each for each in Resolution if seconds / each.seconds + 1 <= points_max)
    return next(fitting, Resolution.DAY)


class Latency(msgspec.Struct, frozen=True):
    """How long billable requests took, in milliseconds, at the gateway."""

    p50: float
    p95: float
    p99: float


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over some requests. `errors` are answers of 500 and above, `client_errors` 4xx."""

    requests: int = 0
    billable: int = 0
    errors: int = 0
    client_errors: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    latency: Latency | None = None
    """None when there was no billable request."""

    @property
    def error_rate(self) -> float:
        """The share of requests answered with 500 or above."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def client_error_rate(self) -> float:
        """The share of requests answered with 4xx."""
        return self.client_errors / self.requests if self.requests else 0.0


class EndpointTotals(msgspec.Struct, frozen=True):
    """One method and path."""

    method: str
    path: str
    totals: Totals


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """One team's requests in a span of time."""

    totals: Totals
    by_status: Mapping[int, int]
    by_class: Mapping[str, int]
    """``2xx`` and so on; ``other`` when the client got no status."""
    top_endpoints: Sequence[EndpointTotals]
    """The most called first."""


class Point(msgspec.Struct, frozen=True):
    """The requests from `at` on, for one resolution's length."""

    at: datetime
    totals: Totals


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """What single requests are narrowed to. What is empty narrows nothing."""

    deployment_id: str = ""
    key_id: str = ""
    request_id: str = ""
    method: str = ""
    path: str = ""
    """How it begins."""
    statuses: tuple[int, int] = (0, 0)
    """The first and the last."""


class ServedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as the gateway wrote it down."""

    time_ms: int
    """When it arrived, in Unix milliseconds."""
    request_id: str
    deployment_id: str
    key_id: str
    method: str
    path: str
    status: int
    billable: bool
    refused: str
    """Why the gateway itself refused it, or empty."""
    bytes_in: int
    bytes_out: int
    total_ms: int
    upstream_ms: int
    """-1 when no replica answered."""
    address: str
    position: int
    line: int

    @property
    def at(self) -> datetime:
        """When it arrived."""
        return _EPOCH + timedelta(milliseconds=self.time_ms)

    @property
    def id(self) -> str:
        """What tells it from every other request."""
        return f"{self.position}.{self.line}"


REQUEST_LISTING = Listing(
    sorts={"time": "time_ms", "totalMs": "total_ms"},
    sort_default="-time",
    id_column="id",
    kinds={},
)


class _Counts(msgspec.Struct, frozen=True, kw_only=True):
    requests: int
    billable: int
    errors: int
    client_errors: int
    bytes_in: int
    bytes_out: int
    latency_ms: tuple[float, float, float]

    @property
    def totals(self) -> Totals:
        return Totals(
            requests=self.requests,
            billable=self.billable,
            errors=self.errors,
            client_errors=self.client_errors,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            latency=Latency(*(round(each, 1) for each in self.latency_ms))
            if self.billable
            else None,
        )


class _Endpoint(_Counts, frozen=True, kw_only=True):
    method: str
    path: str


class _Point(_Counts, frozen=True, kw_only=True):
    at: int


class _Status(msgspec.Struct, frozen=True):
    status: int
    requests: int


class _Found(msgspec.Struct, frozen=True):
    found: int


class _Billable(msgspec.Struct, frozen=True):
    billable: int


class AnalyticsQueries:
    """Asks ClickHouse. Empty ids mean: all of the team's."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def overview(
        self,
        team_id: str,
        start: datetime,
        end: datetime,
        *,
        deployment_id: str = "",
        key_id: str = "",
    ) -> Overview:
        """Return totals, statuses and the most called endpoints."""
        scope = _scope(team_id, start, end, deployment_id, key_id)
        totals, statuses, endpoints = await asyncio.gather(
            self._clickhouse.query(_Counts, f"SELECT {_COUNTS} {_SCOPE} {_SETTINGS}", scope),
            self._clickhouse.query(
                _Status,
                f"SELECT status, count() AS requests {_SCOPE} GROUP BY status ORDER BY status"
                f" {_SETTINGS}",
                scope,
            ),
            self._clickhouse.query(
                _Endpoint,
                f"SELECT method, path, {_COUNTS} {_SCOPE} GROUP BY method, path"
                f" ORDER BY requests DESC, path, method LIMIT {{limit:UInt8}} {_SETTINGS}",
                {**scope, "limit": ENDPOINTS_MAX},
            ),
        )
        by_status = {row.status: row.requests for row in statuses}
        return Overview(
            totals=totals[0].totals,
            by_status=by_status,
            by_class=_classes(by_status),
            top_endpoints=[EndpointTotals(row.method, row.path, row.totals) for row in endpoints],
        )

    async def series(
        self,
        team_id: str,
        start: datetime,
        end: datetime,
        resolution: Resolution,
        *,
        deployment_id: str = "",
        key_id: str = "",
    ) -> list[Point]:
        """Return every point from `start`'s to `end`'s, also those without a request."""
        times = points_between(start, end, resolution)
        rows = await self._clickhouse.query(
            _Point,
            f"SELECT intDiv(toUnixTimestamp(time), {{step:UInt32}}) * {{step:UInt32}} AS at,"
            f" {_COUNTS} {_SCOPE} GROUP BY at {_SETTINGS}",
            {**_scope(team_id, start, end, deployment_id, key_id), "step": times.step},
        )
        found = {row.at: row.totals for row in rows}
        return [Point(datetime.fromtimestamp(at, UTC), found.get(at, Totals())) for at in times]

    async def requests(
        self, team_id: str, start: datetime, end: datetime, sought: Sought, window: Window
    ) -> Page[ServedRequest]:
        """Return single requests, and how many there are altogether."""
        column = REQUEST_LISTING.sorts[window.sort]
        direction, beyond = ("DESC", "<") if window.descending else ("ASC", ">")
        first, last = sought.statuses
        value, place = window.after or ("0", "0.0")
        position, _, line = place.partition(".")
        scope = {
            **_scope(team_id, start, end, sought.deployment_id, sought.key_id),
            "request_id": sought.request_id,
            "method": sought.method,
            "path": sought.path,
            "first": first,
            "last": last,
            "is_after": window.after is not None,
            "value": int(value),
            "position": int(position),
            "line": int(line),
            "limit": window.limit + 1,
            "offset": window.offset,
        }
        counted, rows = await asyncio.gather(
            self._clickhouse.query(
                _Found, f"SELECT count() AS found {_SCOPE} {_SOUGHT} {_SETTINGS}", scope
            ),
            self._clickhouse.query(
                ServedRequest,
                f"SELECT {_REQUEST} {_SCOPE} {_SOUGHT}"
                f" AND (NOT {{is_after:Bool}} OR ({column}, row.position, row.line) {beyond}"
                " ({value:Int64}, {position:UInt64}, {line:UInt32}))"
                f" ORDER BY {column} {direction}, row.position {direction}, row.line {direction}"
                f" LIMIT {{limit:UInt32}} OFFSET {{offset:UInt64}} {_SETTINGS}",
                scope,
            ),
        )
        more, rows = len(rows) > window.limit, rows[: window.limit]
        after = (str(getattr(rows[-1], column)), rows[-1].id) if more else None
        return Page(rows=rows, total=counted[0].found, last=after)

    async def count_billable(
        self,
        team_id: str,
        start: datetime,
        end: datetime,
        *,
        deployment_id: str = "",
        key_id: str = "",
    ) -> int:
        """Return how many requests passed every check and were handed to a replica."""
        [row] = await self._clickhouse.query(
            _Billable,
            f"SELECT countIf(row.billable) AS billable {_SCOPE} {_SETTINGS}",
            _scope(team_id, start, end, deployment_id, key_id),
        )
        return row.billable

    async def last_position(self) -> dict[int, int]:
        """Return per partition the newest position in the log that has arrived here."""
        positions = await noted_positions(self._clickhouse)
        rows = await self._clickhouse.query(
            ProgressRow,
            "SELECT log_partition, max(position) AS position FROM requests GROUP BY log_partition",
        )
        for row in rows:
            part = row.log_partition
            positions[part] = max(row.position, positions.get(part, 0))
        return positions


def _scope(
    team_id: str, start: datetime, end: datetime, deployment_id: str, key_id: str
) -> dict[str, object]:
    return {
        "team_id": team_id,
        "start": _milliseconds(start),
        "end": _milliseconds(end),
        "deployment_id": deployment_id,
        "key_id": key_id,
    }


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _classes(by_status: Mapping[int, int]) -> dict[str, int]:
    classes = dict.fromkeys(("1xx", "2xx", "3xx", "4xx", "5xx", "other"), 0)
    for status, requests in by_status.items():
        name = f"{status // 100}xx"
        classes[name if name in classes else "other"] += requests
    return classes
