from datetime import UTC, datetime, timedelta

import msgspec

from infrastructure.clickhouse.client import ClickHouseClient
from projections.analytics.queries import Resolution, finest, points_between
from projections.analytics.samples import ClickHouseSampleSink, SampleQueries, Used, UsedNow
from projections.analytics.schema import SAMPLES, create_tables

# Rows older than the retention are dropped, so these are of today.
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
AT = int(NOON.timestamp())
MINUTE = timedelta(minutes=1)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    at: int = AT
    team_id: str = "org-a"
    deployment_id: str = "dpl-a"
    replica_id: str = "dpl-a-1-1"
    cpu_millis: float = 100.0
    memory_bytes: int = 1000
    network_in_bytes: int | None = 10
    network_out_bytes: int | None = 20


async def series(
    clickhouse: ClickHouseClient,
    *,
    minutes: int = 3,
    team_id: str = "org-a",
    resolution: Resolution = Resolution.MINUTE,
) -> list[Used]:
    end = NOON + minutes * MINUTE
    return await SampleQueries(clickhouse).series(
        "dpl-a",
        team_id=team_id,
        start=NOON,
        end=end,
        times=points_between(NOON, end, resolution),
    )


async def test_replicas_add_up_times_are_averaged_and_gaps_are_points_without_a_value(
    clickhouse: ClickHouseClient,
) -> None:
    other = "dpl-a-1-2"
    await ClickHouseSampleSink(clickhouse).write(
        [
            Sample(at=AT, cpu_millis=100, memory_bytes=1000),
            Sample(at=AT, cpu_millis=300, memory_bytes=3000, replica_id=other),
            Sample(at=AT + 10, cpu_millis=200, memory_bytes=1000),
            Sample(at=AT + 120, cpu_millis=50.04, memory_bytes=5000, network_in_bytes=None),
        ]
    )
    assert await series(clickhouse) == [
        Used(cpu_millis=300, memory_bytes=2500, network_in_bytes=30, network_out_bytes=60),
        Used(),
        Used(cpu_millis=50, memory_bytes=5000, network_in_bytes=None, network_out_bytes=20),
    ]
    [whole] = await series(clickhouse, resolution=Resolution.DAY)
    assert (whole.cpu_millis, whole.network_out_bytes) == (216.7, 80)


async def test_a_replica_that_takes_anothers_place_is_not_counted_beside_it(
    clickhouse: ClickHouseClient,
) -> None:
    samples = [
        Sample(at=AT + 10 * number, replica_id=f"dpl-a-{number // 2}-1") for number in range(6)
    ]
    await ClickHouseSampleSink(clickhouse).write(samples)
    [point, *_] = await series(clickhouse)
    assert (point.cpu_millis, point.memory_bytes) == (100, 1000)


async def test_a_sample_stored_again_is_read_once(clickhouse: ClickHouseClient) -> None:
    for _ in range(3):
        await ClickHouseSampleSink(clickhouse).write([Sample(), Sample(at=AT + 10)])
    [point, *_] = await series(clickhouse)
    assert (point.cpu_millis, point.network_in_bytes) == (100, 20)


async def test_the_start_belongs_to_the_span_and_the_end_does_not(
    clickhouse: ClickHouseClient,
) -> None:
    times = (AT - 1, AT, AT + 59, AT + 60)
    await ClickHouseSampleSink(clickhouse).write([Sample(at=at) for at in times])
    [point] = await series(clickhouse, minutes=1)
    assert point.network_in_bytes == 20


async def test_samples_of_two_days_are_stored_at_once(clickhouse: ClickHouseClient) -> None:
    yesterday = AT - 86_400
    await ClickHouseSampleSink(clickhouse).write([Sample(at=yesterday), Sample()])
    found = await SampleQueries(clickhouse).series(
        "dpl-a",
        team_id="org-a",
        start=NOON - timedelta(days=2),
        end=NOON + timedelta(days=1),
        times=points_between(NOON - timedelta(days=2), NOON + timedelta(days=1), Resolution.DAY),
    )
    assert [each.cpu_millis for each in found] == [None, 100, 100, None]


async def test_another_team_reads_nothing(clickhouse: ClickHouseClient) -> None:
    await ClickHouseSampleSink(clickhouse).write([Sample()])
    assert await series(clickhouse, minutes=1, team_id="org-b") == [Used()]
    queries = SampleQueries(clickhouse)
    assert await queries.newest("dpl-a", team_id="org-b", now=NOON) == []
    assert await queries.newest("dpl-b", team_id="org-a", now=NOON) == []


async def test_the_newest_sample_of_each_replica_says_what_it_uses_now(
    clickhouse: ClickHouseClient,
) -> None:
    await ClickHouseSampleSink(clickhouse).write(
        [
            Sample(at=AT - 20, cpu_millis=1),
            Sample(at=AT - 10, cpu_millis=2),
            Sample(at=AT - 20, cpu_millis=3, replica_id="dpl-a-1-2", network_in_bytes=None),
            Sample(at=AT - 600, cpu_millis=4, replica_id="long gone"),
        ]
    )
    assert await SampleQueries(clickhouse).newest("dpl-a", team_id="org-a", now=NOON) == [
        UsedNow(
            replica_id="dpl-a-1-1",
            at=AT - 10,
            cpu_millis=2,
            memory_bytes=1000,
            network_in_bytes=10,
            network_out_bytes=20,
        ),
        UsedNow(
            replica_id="dpl-a-1-2",
            at=AT - 20,
            cpu_millis=3,
            memory_bytes=1000,
            network_in_bytes=None,
            network_out_bytes=20,
        ),
    ]


class Table(msgspec.Struct):
    engine_full: str


async def test_samples_have_a_retention_of_their_own(clickhouse: ClickHouseClient) -> None:
    async def retention() -> str:
        [table] = await clickhouse.query(
            Table,
            "SELECT engine_full FROM system.tables"
            " WHERE database = currentDatabase() AND name = {name:String}",
            {"name": SAMPLES},
        )
        return table.engine_full

    assert "TTL toDateTime(time) + toIntervalDay(30)" in await retention()
    await create_tables(clickhouse, sample_retention_days=3)
    assert "TTL toDateTime(time) + toIntervalDay(3)" in await retention()


def test_the_finest_resolution_has_no_more_points_than_allowed() -> None:
    for length in (
        timedelta(0),
        MINUTE,
        timedelta(hours=25),
        timedelta(days=6),
        timedelta(days=60),
    ):
        for shift in (timedelta(0), timedelta(seconds=17)):
            start = NOON + shift
            resolution = finest(start, start + length, 1500)
            assert len(points_between(start, start + length, resolution)) <= 1500
    assert finest(NOON, NOON + timedelta(hours=1), 1500) is Resolution.MINUTE
    assert finest(NOON, NOON + timedelta(days=2), 1500) is Resolution.FIVE_MINUTES
    assert finest(NOON, NOON + timedelta(days=30), 1500) is Resolution.HOUR
    assert finest(NOON, NOON + timedelta(days=366), 1500) is Resolution.DAY
