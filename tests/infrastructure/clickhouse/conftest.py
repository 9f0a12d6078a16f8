from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from tests.infrastructure.clickhouse.process import ClickHouseProcess


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseProcess]:
    server = ClickHouseProcess(tmp_path_factory.mktemp("click house")).start()
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ClickHouseProcess]:
    server = ClickHouseProcess(tmp_path / "own server").start()
    yield server
    server.stop()


@pytest.fixture
async def clickhouse(shared_server: ClickHouseProcess) -> AsyncIterator[ClickHouseClient]:
    client = ClickHouseClient(ClickHouseOptions(url=shared_server.url))
    yield client
    await client.close()
