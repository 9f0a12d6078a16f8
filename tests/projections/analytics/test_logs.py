import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from infrastructure.clickhouse.client import ClickHouseClient
from projections.analytics.logs import ClickHouseLogSink, LogEntry, LogQueries
from projections.analytics.schema import LOGS, create_tables

# Rows older than the retention are dropped, so these are of today.
NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
NOW_NS = int(NOW.timestamp()) * 10**9


class Line(msgspec.Struct, frozen=True, kw_only=True):
    timestamp_ns: int = NOW_NS
    ordinal: int = 0
    team_id: str = "org-a"
    deployment_id: str = "dpl-a"
    replica_id: str = "dpl-a-1-1"
    source: str = "stdout"
    level: str = "info"
    message: str = "hello"


def texts(entries: Iterable[LogEntry]) -> list[str]:
    return [entry.message for entry in entries]


async def test_the_tail_is_the_newest_lines_oldest_first(clickhouse: ClickHouseClient) -> None:
    lines = [Line(timestamp_ns=NOW_NS + n * 1001, message=f"line {n}") for n in range(300)]
    shuffled = random.Random(1).sample(lines, len(lines))
    await ClickHouseLogSink(clickhouse).write(shuffled)
    found = await LogQueries(clickhouse).tail("dpl-a", team_id="org-a", limit=5)
    assert texts(found) == ["line 295", "line 296", "line 297", "line 298", "line 299"]
    assert found[-1].timestamp_ns == NOW_NS + 299 * 1001
    assert found[-1].timestamp == NOW + timedelta(microseconds=299)
    assert (found[-1].source, found[-1].level, found[-1].replica_id) == (
        "stdout",
        "info",
        "dpl-a-1-1",
    )


async def test_a_line_delivered_again_is_read_once_and_equal_lines_are_all_there(
    clickhouse: ClickHouseClient,
) -> None:
    sink = ClickHouseLogSink(clickhouse)
    same = [Line(ordinal=ordinal, message="tick") for ordinal in range(3)]
    for _ in range(3):
        await sink.write(same)
    other_replica = Line(replica_id="dpl-a-1-2", message="tick")
    await sink.write([other_replica, *same])
    found = await LogQueries(clickhouse).tail("dpl-a", team_id="org-a")
    assert [(entry.replica_id, entry.ordinal) for entry in found] == [
        ("dpl-a-1-1", 0),
        ("dpl-a-1-1", 1),
        ("dpl-a-1-1", 2),
        ("dpl-a-1-2", 0),
    ]


async def test_lines_are_filtered_by_time_and_text(clickhouse: ClickHouseClient) -> None:
    lines = [
        Line(timestamp_ns=NOW_NS + n * 10**9, message=f"{'Straße Ünï' if n % 2 else 'b'} {n}")
        for n in range(10)
    ]
    await ClickHouseLogSink(clickhouse).write(lines)
    logs = LogQueries(clickhouse)
    since, until = NOW + timedelta(seconds=3), NOW + timedelta(seconds=6)
    found = await logs.tail("dpl-a", team_id="org-a", since=since, until=until)
    assert texts(found) == ["Straße Ünï 3", "b 4", "Straße Ünï 5"]
    assert texts(await logs.tail("dpl-a", team_id="org-a", search="ünï", limit=2)) == [
        "Straße Ünï 7",
        "Straße Ünï 9",
    ]
    assert await logs.tail("dpl-a", team_id="org-a", search="%' OR 1=1 --") == []


async def test_hostile_text_comes_back_as_it_was_written(clickhouse: ClickHouseClient) -> None:
    hostile = ["a\x00b", "'; DROP TABLE x; --", '{"json": "\\u0000"}', "\t\r\n", "😀" * 1000, ""]
    lines = [Line(ordinal=n, message=text) for n, text in enumerate(hostile)]
    await ClickHouseLogSink(clickhouse).write(lines)
    assert texts(await LogQueries(clickhouse).tail("dpl-a", team_id="org-a")) == hostile


async def test_a_line_that_cannot_be_right_holds_up_nobody(clickhouse: ClickHouseClient) -> None:
    strange = [
        Line(timestamp_ns=-1, message="before time"),
        Line(timestamp_ns=10**30, message="after time"),
        Line(ordinal=2**40, message="one of many"),
        Line(message="lone \ud800 surrogate"),
    ]
    await ClickHouseLogSink(clickhouse).write(strange)
    found = texts(await LogQueries(clickhouse).tail("dpl-a", team_id="org-a"))
    assert {"one of many", "lone ? surrogate"} <= set(found)


async def test_another_team_reads_nothing(clickhouse: ClickHouseClient) -> None:
    await ClickHouseLogSink(clickhouse).write([Line()])
    logs = LogQueries(clickhouse)
    assert await logs.tail("dpl-a", team_id="org-b") == []
    assert await logs.tail("dpl-b", team_id="org-a") == []
    assert await logs.tail("dpl-a", team_id="") == []


async def test_the_limit_is_bounded_on_both_sides(clickhouse: ClickHouseClient) -> None:
    await ClickHouseLogSink(clickhouse).write([Line(ordinal=n) for n in range(20)])
    logs = LogQueries(clickhouse)
    assert await logs.tail("dpl-a", team_id="org-a", limit=-1) == []
    assert len(await logs.tail("dpl-a", team_id="org-a", limit=10**9)) == 20


class Table(msgspec.Struct):
    engine_full: str


async def test_the_retention_is_set_and_changed(clickhouse: ClickHouseClient) -> None:
    async def retention() -> str:
        [table] = await clickhouse.query(
            Table,
            "SELECT engine_full FROM system.tables"
            " WHERE database = currentDatabase() AND name = {name:String}",
            {"name": LOGS},
        )
        return table.engine_full

    assert "TTL toDateTime(time) + toIntervalDay(7)" in await retention()
    await create_tables(clickhouse, log_retention_days=3)
    assert "TTL toDateTime(time) + toIntervalDay(3)" in await retention()


async def test_lines_older_than_the_retention_go_away(clickhouse: ClickHouseClient) -> None:
    old = NOW_NS - 8 * 86400 * 10**9
    await ClickHouseLogSink(clickhouse).write([Line(timestamp_ns=old, message="old"), Line()])
    await clickhouse.command(f"OPTIMIZE TABLE {LOGS} FINAL")
    assert texts(await LogQueries(clickhouse).tail("dpl-a", team_id="org-a")) == ["hello"]
