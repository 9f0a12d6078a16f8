"""What every test may ask for: servers once per session, and an empty installation per test.

`installation` is the way in for most tests: a migrated database of its own, the log, the bus, and
(after `start_views`) the projection runners, wired as in production and connected as the
application's own database role.
"""

import asyncio
import gc
import importlib.util
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.infrastructure.clickhouse.process import ClickHouseProcess
from tests.servers import PostgresServer, ValkeyServer
from tests.wiring import SCHEMAS, Installation, open_installation, show_views

pytest_plugins = [
    name for name in ("tests.docker.fixture",) if importlib.util.find_spec(name) is not None
]


def pytest_collection_finish() -> None:
    """Let a collection of garbage look only at what tests make."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    """Let a file that leaves a socket open fail itself, not whatever runs minutes later."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the session."""
    with PostgresServer(SCHEMAS) as server:
        asyncio.run(show_views(server))
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey server for the session."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseProcess]:
    """ClickHouse for the session; make a database of your own in it."""
    server = ClickHouseProcess(Path(tmp_path_factory.mktemp("clickhouse"))).start()
    yield server
    server.stop()


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """Name of a migrated, empty database."""
    name = postgres.new_database()
    yield name
    postgres.drop(name)


@pytest.fixture
async def installation(postgres: PostgresServer, database: str) -> AsyncIterator[Installation]:
    """Everything around the log, on an empty database."""
    async with open_installation(postgres, database) as opened:
        yield opened
