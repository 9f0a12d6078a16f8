"""Operating system processes: start one that dies with us, see it end, find what was left behind.

Three things keep a part from outliving the supervisor, also when that is killed with `kill -9`:

- on Linux the kernel sends the part its stop signal when its parent dies (PR_SET_PDEATHSIG);
- each part leads a session of its own, so its children end with it (those that made yet another
  session were meant to live on);
- a file per part in `run/` says which process it is, and the next start ends what is still there.

A process is known by its pid *and* the moment it started, so a stranger that was given the same
pid is never touched.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootstrap.embedded.home import write_private

MARK = "PART_OF_TALLYPORT"
"""The environment variable by which a process knows, and shows, which part it belongs to."""

POLL_SECONDS = 0.02
KILLED_SECONDS = 5.0
GROUP_POLL_SECONDS = 0.005
GROUP_POLLS_MAX = 100

_PR_SET_PDEATHSIG = 1
_LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None) if _LINUX else None


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the operating system under which a part runs."""

    uid: int
    gid: int


def environment_for_python() -> dict[str, str]:
    """Return an environment in which our interpreter imports what this process imports."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "PYTHONUNBUFFERED": "1",
    }


def run_bounded(
    argv: Sequence[str], *, cwd: Path, account: Account | None, timeout_seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end under an account; blocking."""
    return subprocess.run(
        argv,
        cwd=cwd,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_seconds,
        preexec_fn=_die_with_parent(os.getpid(), signal.SIGKILL),
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    account: Account | None,
    output: Path,
    death_signal: signal.Signals,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output appended to a file.

    Call it from a thread that lives as long as the process should: to the kernel "the parent"
    is the thread. `cwd` is entered before the account is taken, so it may be out of its reach.
    """
    with output.open("ab") as log:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent(os.getpid(), death_signal),  # noqa: PLW1509 - see there
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )


def _die_with_parent(parent: int, death_signal: signal.Signals) -> Callable[[], None]:
    # Runs between fork and exec, after the account was taken (taking one clears the setting).
    # Two system calls and no lock of ours: nothing that another thread could hold.
    def in_child() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)  # the parent died before we could ask

    return in_child


async def ended(process: subprocess.Popen[bytes]) -> None:
    """Return when the process has ended, but before it is reaped.

    So its pid, and the id of its group, cannot be another's yet: see `reap`.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or a sandbox without it
        while process.poll() is None:  # noqa: ASYNC110 - there is nothing that would set an event
            await asyncio.sleep(POLL_SECONDS)
        return
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(descriptor, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def reap(process: subprocess.Popen[bytes]) -> int:
    """Kill what is left of the process and its group, and return its exit code; blocks shortly."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


async def group_gone(leader: int) -> None:
    """Wait shortly until the members of a killed group, not our children, have ended too."""
    for _ in range(GROUP_POLLS_MAX):
        if not _group_members(leader):
            return
        await asyncio.sleep(GROUP_POLL_SECONDS)


def _group_members(leader: int) -> list[int]:
    """Return the processes of a group that still run (zombies hold nothing)."""
    found = []
    for pid in all_pids():
        fields = _stat_fields(pid)
        if fields is not None and int(fields[2]) == leader and fields[0] not in "ZX":
            found.append(pid)
    return found


def identity_of(pid: int) -> str | None:
    """Return what tells this process from all that ever had its pid; None if it has ended."""
    if not _LINUX:
        shown = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return shown.stdout.strip() or None
    fields = _stat_fields(pid)
    if fields is None or fields[0] in "ZX":  # a zombie: ended, its parent has not looked yet
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{fields[19]}"


def _stat_fields(pid: int) -> list[str] | None:
    """Return /proc/PID/stat from the state on (the name before it may hold anything)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def all_pids() -> list[int]:
    """Return every process there is (Linux; elsewhere none)."""
    if not _LINUX:
        return []
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


@dataclass(frozen=True, slots=True)
class Registered:
    """A process that was started for a part, as `run/` remembers it."""

    name: str
    pid: int
    identity: str
    mark: str
    stop_signal: int


class Registry:
    """One small file per running process, so that whoever comes next can find it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new_mark(self, name: str) -> str:
        """Return a value for `MARK` that no other process has."""
        return f"{name}:{secrets.token_hex(8)}"

    def record(self, name: str, pid: int, mark: str, stop_signal: signal.Signals) -> None:
        """Remember a process just started. One that has already ended needs no remembering."""
        identity = identity_of(pid)
        if identity is not None:
            values = {"pid": pid, "identity": identity, "mark": mark, "stop": int(stop_signal)}
            write_private(self._path(name), json.dumps(values))

    def forget(self, name: str) -> None:
        """Forget a process that has ended and was reaped."""
        self._path(name).unlink(missing_ok=True)

    def registered(self) -> list[Registered]:
        """Return what the files say; a damaged file says nothing."""
        found = []
        for path in sorted(self._folder.glob("*.process")):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                values = json.loads(path.read_text(encoding="utf-8"))
                found.append(
                    Registered(
                        name=path.stem,
                        pid=int(values["pid"]),
                        identity=str(values["identity"]),
                        mark=str(values["mark"]),
                        stop_signal=int(values["stop"]),
                    )
                )
        return found

    async def end_leftovers(self, *, timeout_seconds: float) -> list[str]:
        """End every process a supervisor left behind; return the names of those that were there."""
        entries = self.registered()
        there = await asyncio.gather(*(_end(entry, timeout_seconds) for entry in entries))
        for entry in entries:
            self.forget(entry.name)
        return [entry.name for entry, was_there in zip(entries, there, strict=True) if was_there]

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.process"


async def _end(entry: Registered, timeout_seconds: float) -> bool:
    """Ask it to stop, wait, insist; then the members of its group that carry its mark."""
    was_there = await end_process(
        entry.pid, entry.identity, signal.Signals(entry.stop_signal), timeout_seconds
    )
    for pid in _group_members(entry.pid):
        identity = identity_of(pid)
        if identity is not None and _mark_of(pid) == entry.mark:
            was_there |= await end_process(pid, identity, signal.SIGKILL, KILLED_SECONDS)
    return was_there


async def end_process(
    pid: int, identity: str, first_signal: signal.Signals, timeout_seconds: float
) -> bool:
    """End exactly this process: signal, bounded wait, SIGKILL. False if it was not there."""
    if identity_of(pid) != identity:
        return False
    loop = asyncio.get_running_loop()
    for name, patience in ((first_signal, timeout_seconds), (signal.SIGKILL, KILLED_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, name)
        deadline = loop.time() + patience
        while loop.time() < deadline:
            if identity_of(pid) != identity:
                return True
            await asyncio.sleep(POLL_SECONDS)
    raise ProcessError(f"process {pid} does not end, not even killed")


class ProcessError(Exception):
    """A process does not do what the operating system promised."""


def _mark_of(pid: int) -> str | None:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    for entry in environment.split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name == MARK.encode():
            return value.decode(errors="replace")
    return None
