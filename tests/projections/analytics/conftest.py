from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Cursor
from projections.analytics.metrics import AnalyticsMetrics
from projections.analytics.projector import AnalyticsOptions, AnalyticsProjector
from projections.analytics.schema import create_tables
from tests.infrastructure.clickhouse.process import ClickHouseProcess
from tests.projections.analytics.frames import FrameCodec, FrameLog

Parked = list[tuple[RecordedEvent, str]]
MakeProjector = Callable[[ClickHouseClient, FrameLog], AnalyticsProjector]


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseProcess]:
    server = ClickHouseProcess(tmp_path_factory.mktemp("clickhouse")).start()
    yield server
    server.stop()


@pytest.fixture
async def clickhouse(
    shared_server: ClickHouseProcess, request: pytest.FixtureRequest
) -> AsyncIterator[ClickHouseClient]:
    """A client on a database that only this test uses."""
    database = f"test_{abs(hash(request.node.nodeid))}"
    root = ClickHouseClient(ClickHouseOptions(url=shared_server.url))
    await root.command(f"CREATE DATABASE {database}")
    url = shared_server.url.removesuffix("default") + database
    client = ClickHouseClient(ClickHouseOptions(url=url))
    await create_tables(client)
    yield client
    await client.close()
    await root.command(f"DROP DATABASE {database} SYNC")
    await root.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ClickHouseProcess]:
    server = ClickHouseProcess(tmp_path / "own").start()
    yield server
    server.stop()


@pytest.fixture
def parked() -> Parked:
    return []


@pytest.fixture
def make_projector(parked: Parked) -> MakeProjector:
    def make(clickhouse: ClickHouseClient, log: FrameLog) -> AnalyticsProjector:
        async def park(event: RecordedEvent, reason: str) -> None:
            parked.append((event, reason))

        async def tell(_: Cursor) -> None:
            pass

        return AnalyticsProjector(
            clickhouse,
            log,
            FrameCodec(),
            park,
            tell,
            AnalyticsMetrics(CollectorRegistry()),
            AnalyticsOptions(
                retry_delay_seconds=0.02,
                retry_delay_seconds_max=0.2,
                progress_interval_seconds=0.2,
                frames_per_batch_max=16,
                rows_per_insert_max=200,
            ),
        )

    return make
