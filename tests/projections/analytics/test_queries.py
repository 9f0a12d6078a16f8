import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from infrastructure.clickhouse.client import ClickHouseClient
from projections.analytics.frames import rows_of
from projections.analytics.queries import AnalyticsQueries, Resolution, TooManyPoints
from projections.analytics.schema import REQUESTS
from tests.projections.analytics.frames import NOON, FrameCodec, FrameLog, line, random_line

Line = dict[str, object]
START = datetime.fromtimestamp(NOON / 1000, UTC)
END = START + timedelta(hours=1)


async def stored(clickhouse: ClickHouseClient, lines: list[Line], *, times: int = 1) -> list[Line]:
    log = FrameLog()
    rows = rows_of(log.append(lines), FrameCodec())
    for _ in range(times):
        await clickhouse.insert(REQUESTS, rows, writer="test")
    return lines


def some_lines(seed: int, count: int) -> list[Line]:
    rng = random.Random(seed)
    return [random_line(rng) for _ in range(count)]


def billable(one: Line) -> bool:
    return not one["refused"] and one["connect_ms"] != -1


def integer(one: Line, field: str) -> int:
    value = one[field]
    assert isinstance(value, int)
    return value


def assert_quantile(found: float, values: list[int], share: float) -> None:
    """The quantile may be off by one percent of the ranks, not more."""
    values = sorted(values)
    slack = max(1, len(values) // 100)
    rank = share * (len(values) - 1)
    low = values[max(0, math.floor(rank) - slack)]
    high = values[min(len(values) - 1, math.ceil(rank) + slack)]
    assert low - 0.1 <= found <= high + 0.1


@pytest.mark.parametrize(
    ("deployment_id", "key_id"), [("", ""), ("dpl-a", ""), ("", "key-b"), ("dpl-b", "key-a")]
)
async def test_an_overview_agrees_with_counting_by_hand(
    clickhouse: ClickHouseClient, deployment_id: str, key_id: str
) -> None:
    # Stored twice: a repeated row is one row for every reader.
    lines = await stored(clickhouse, some_lines(7, 5000), times=2)
    mine = [
        one
        for one in lines
        if one["team"] == "org-b"
        and (not deployment_id or one["deployment"] == deployment_id)
        and (not key_id or one["key"] == key_id)
    ]
    overview = await AnalyticsQueries(clickhouse).overview(
        "org-b", START, END, deployment_id=deployment_id, key_id=key_id
    )
    statuses = Counter(integer(one, "status") for one in mine)
    totals = overview.totals
    assert totals.requests == len(mine)
    assert totals.billable == sum(map(billable, mine))
    assert totals.errors == statuses[500] + statuses[503]
    assert totals.client_errors == statuses[400] + statuses[401] + statuses[404] + statuses[429]
    assert totals.error_rate == pytest.approx(totals.errors / len(mine))
    assert totals.bytes_in == sum(integer(one, "bytes_in") for one in mine)
    assert totals.bytes_out == sum(integer(one, "bytes_out") for one in mine)
    assert overview.by_status == statuses
    assert overview.by_class["2xx"] == statuses[200] + statuses[201] + statuses[204]
    assert sum(overview.by_class.values()) == len(mine)
    latencies = [integer(one, "total_ms") for one in mine if billable(one)]
    assert totals.latency is not None
    assert_quantile(totals.latency.p50, latencies, 0.5)
    assert_quantile(totals.latency.p95, latencies, 0.95)
    assert_quantile(totals.latency.p99, latencies, 0.99)
    endpoints = Counter((one["method"], one["path"]) for one in mine)
    found = {(top.method, top.path): top.totals.requests for top in overview.top_endpoints}
    assert found == endpoints
    calls = [top.totals.requests for top in overview.top_endpoints]
    assert calls == sorted(calls, reverse=True)


async def test_the_count_of_billable_requests_agrees_with_counting_by_hand(
    clickhouse: ClickHouseClient,
) -> None:
    lines = await stored(clickhouse, some_lines(8, 2000), times=2)
    queries = AnalyticsQueries(clickhouse)
    for team in ("org-a", "org-b", "org-c", "org-nobody"):
        expected = sum(billable(one) and one["team"] == team for one in lines)
        assert await queries.count_billable(team, START, END) == expected


@pytest.mark.parametrize("resolution", list(Resolution))
async def test_a_series_has_every_point_and_loses_no_request(
    clickhouse: ClickHouseClient, resolution: Resolution
) -> None:
    rng = random.Random(9)
    lines = [random_line(rng, seconds=5 * 3600) for _ in range(400)]
    await stored(clickhouse, lines)
    start, end = START, START + timedelta(hours=5)
    points = await AnalyticsQueries(clickhouse).series("org-a", start, end, resolution)
    step = resolution.seconds
    expected = Counter(
        integer(one, "time") // 1000 // step * step for one in lines if one["team"] == "org-a"
    )
    assert {point.at: point.totals.requests for point in points if point.totals.requests} == {
        datetime.fromtimestamp(at, UTC): count for at, count in expected.items()
    }
    gaps = {b.at - a.at for a, b in pairwise(points)}
    assert gaps <= {timedelta(seconds=step)}
    assert points[0].at <= start
    assert points[-1].at < end <= points[-1].at + timedelta(seconds=step)
    empty = next((point for point in points if not point.totals.requests), None)
    assert empty is None or (empty.totals.latency is None and empty.totals.error_rate == 0)


async def test_a_series_with_too_many_points_is_refused(clickhouse: ClickHouseClient) -> None:
    with pytest.raises(TooManyPoints):
        await AnalyticsQueries(clickhouse).series(
            "org-a", START, START + timedelta(days=365), Resolution.MINUTE
        )


async def test_the_start_belongs_to_the_span_and_the_end_does_not(
    clickhouse: ClickHouseClient,
) -> None:
    await stored(clickhouse, [line(time=NOON + offset) for offset in (-1, 0, 999, 1000)])
    queries = AnalyticsQueries(clickhouse)
    second = START + timedelta(seconds=1)
    assert await queries.count_billable("org-a", START, second) == 2


async def test_a_span_without_a_request_has_an_overview_of_zeros(
    clickhouse: ClickHouseClient,
) -> None:
    overview = await AnalyticsQueries(clickhouse).overview("org-a", START, END)
    assert overview.totals.requests == 0
    assert overview.totals.latency is None
    assert overview.totals.error_rate == 0
    assert overview.by_status == {}
    assert overview.top_endpoints == []


HOSTILE = [
    "org-a' OR 1=1 --",
    "org-a\\' OR '1'='1",
    "org-a\x00",
    "%",
    "{team_id:String}",
    "ünï😀'\"`\\\n\t",
    "x" * 200_000,
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_ids_find_exactly_themselves(
    clickhouse: ClickHouseClient, hostile: str
) -> None:
    await stored(clickhouse, [line(), line(team=hostile), line(deployment=hostile, key=hostile)])
    queries = AnalyticsQueries(clickhouse)
    assert await queries.count_billable(hostile, START, END) == 1
    assert await queries.count_billable("org-a", START, END, deployment_id=hostile) == 1
    assert await queries.count_billable("org-a", START, END, key_id=hostile) == 1
    assert await queries.count_billable("org-a", START, END) == 2


async def test_a_team_never_sees_anything_of_another_team(clickhouse: ClickHouseClient) -> None:
    lines = [line(team="org-a", path=f"/secret/{n}") for n in range(50)]
    await stored(clickhouse, [*lines, line(team="org-b", path="/mine")])
    queries = AnalyticsQueries(clickhouse)
    overview = await queries.overview("org-b", START, END)
    assert overview.totals.requests == 1
    assert [top.path for top in overview.top_endpoints] == ["/mine"]
    assert await queries.count_billable("org-b", START, END, deployment_id="dpl-a") == 1
    assert await queries.count_billable("", START, END) == 0
