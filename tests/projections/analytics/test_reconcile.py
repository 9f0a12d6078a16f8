import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from infrastructure.clickhouse.client import ClickHouseClient
from projections.analytics.frames import rows_of
from projections.analytics.reconcile import differences, fingerprints
from projections.analytics.schema import REQUESTS, RequestRow
from tests.projections.analytics.frames import NOON, FrameCodec, FrameLog, random_line

HOUR = datetime.fromtimestamp(NOON / 1000, UTC)


@pytest.fixture
def rows() -> list[RequestRow]:
    rng = random.Random(11)
    log = FrameLog()
    frames = [log.append([random_line(rng, seconds=7200) for _ in range(200)]) for _ in range(5)]
    return [row for frame in frames for row in rows_of(frame, FrameCodec())]


async def insert(clickhouse: ClickHouseClient, rows: list[RequestRow]) -> None:
    await clickhouse.insert(REQUESTS, rows, writer="test")


async def test_an_hour_that_arrived_whole_does_not_differ(
    clickhouse: ClickHouseClient, rows: list[RequestRow]
) -> None:
    await insert(clickhouse, rows)
    await insert(clickhouse, rows[:100])  # a repetition is no difference: nobody reads it
    for hour in (HOUR, HOUR + timedelta(hours=1), HOUR + timedelta(hours=2)):
        assert await differences(clickhouse, hour, fingerprints(rows, hour)) == []
    assert len(fingerprints(rows, HOUR)) == 3
    assert fingerprints(rows, HOUR) == fingerprints(reversed(rows), HOUR)


async def test_a_missing_line_is_found_with_its_team(
    clickhouse: ClickHouseClient, rows: list[RequestRow]
) -> None:
    lost = next(row for row in rows if row.time < "2026-03-14 13")
    await insert(clickhouse, [row for row in rows if row is not lost])
    [difference] = await differences(clickhouse, HOUR, fingerprints(rows, HOUR))
    assert difference.team_id == lost.team_id
    assert difference.in_log.requests == difference.in_clickhouse.requests + 1


@pytest.mark.parametrize(
    "change",
    [{"billable": False, "connect_ms": -1}, {"status": 599}, {"key_id": "key-x"}, {"bytes_out": 7}],
    ids=lambda change: next(iter(change)),
)
async def test_a_changed_line_is_found(
    clickhouse: ClickHouseClient, rows: list[RequestRow], change: dict[str, object]
) -> None:
    index = next(
        index for index, row in enumerate(rows) if row.billable and row.time < "2026-03-14 13"
    )
    changed = [*rows]
    changed[index] = msgspec.structs.replace(rows[index], **change)
    await insert(clickhouse, changed)
    [difference] = await differences(clickhouse, HOUR, fingerprints(rows, HOUR))
    assert difference.team_id == rows[index].team_id


async def test_lines_that_the_log_does_not_have_are_found(
    clickhouse: ClickHouseClient, rows: list[RequestRow]
) -> None:
    await insert(clickhouse, rows)
    teams = {found.team_id for found in await differences(clickhouse, HOUR, {})}
    assert teams == {"org-a", "org-b", "org-c"}
