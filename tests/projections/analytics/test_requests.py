"""Single requests: all of them once, however one walks, and nobody else's."""

from typing import Any

import pytest

from infrastructure.clickhouse.client import ClickHouseClient
from projections.analytics.queries import AnalyticsQueries, ServedRequest, Sought
from projections.reading import Window
from tests.projections.analytics.frames import line
from tests.projections.analytics.test_queries import END, START, Line, some_lines, stored

NEWEST = Window(sort="time", descending=True, limit=100)


async def walked(queries: AnalyticsQueries, sought: Sought, window: Window) -> list[ServedRequest]:
    """Return everything, part after part, by the end of the part before."""
    found: list[ServedRequest] = []
    after: tuple[str, str] | None = None
    while True:
        part = Window(
            sort=window.sort, descending=window.descending, limit=window.limit, after=after
        )
        page = await queries.requests("org-b", START, END, sought, part)
        found += page.rows
        if page.last is None:
            assert page.total == len(found)
            return found
        assert len(page.rows) == window.limit
        after = page.last


@pytest.mark.parametrize(
    ("sought", "is_wanted"),
    [
        (Sought(), lambda _: True),
        (Sought(statuses=(500, 599)), lambda one: one["status"] >= 500),
        (
            Sought(statuses=(404, 404), method="POST"),
            lambda one: (one["status"], one["method"]) == (404, "POST"),
        ),
        (
            Sought(path="/us", deployment_id="dpl-a"),
            lambda one: (one["path"], one["deployment"]) == ("/users", "dpl-a"),
        ),
        (Sought(key_id="key-a"), lambda one: one["key"] == "key-a"),
    ],
)
async def test_whatever_is_sought_is_found_once_and_in_order(
    clickhouse: ClickHouseClient, sought: Sought, is_wanted: Any
) -> None:
    # Stored twice: a repeated row is one row for every reader.
    lines = await stored(clickhouse, some_lines(11, 1500), times=2)
    wanted = [one for one in lines if one["team"] == "org-b" and is_wanted(one)]
    assert wanted
    queries = AnalyticsQueries(clickhouse)
    for sort, field in (("time", "time_ms"), ("totalMs", "total_ms")):
        for descending in (True, False):
            window = Window(sort=sort, descending=descending, limit=97)
            rows = await walked(queries, sought, window)
            assert sorted(row.request_id for row in rows) == sorted(
                str(one["id"]) for one in wanted
            )
            values = [getattr(row, field) for row in rows]
            assert values == sorted(values, reverse=descending)


async def test_a_request_is_told_as_the_gateway_wrote_it_down(clickhouse: ClickHouseClient) -> None:
    lines: list[Line] = [
        line(id="req-one", n=1, method="POST", path="/it's/ünï?", status=201, total_ms=31),
        line(
            id="req-two",
            n=2,
            key="",
            status=401,
            refused="unauthorized",
            upstream_ms=-1,
            connect_ms=-1,
        ),
        line(id="req-one", n=3, team="org-z"),
    ]
    await stored(clickhouse, lines)
    queries = AnalyticsQueries(clickhouse)
    sought = Sought(request_id="req-one")
    [one] = (await queries.requests("org-a", START, END, sought, NEWEST)).rows
    assert (one.method, one.path, one.status, one.total_ms) == ("POST", "/it's/ünï?", 201, 31)
    assert (one.at, one.billable, one.address) == (START, True, "192.0.2.7")
    everything = await queries.requests("org-a", START, END, Sought(), NEWEST)
    assert everything.total == 2
    [two] = [row for row in everything.rows if row.request_id == "req-two"]
    assert (two.refused, two.billable, two.upstream_ms) == ("unauthorized", False, -1)
    assert (await queries.requests("org-a", END, END, Sought(), NEWEST)).total == 0
