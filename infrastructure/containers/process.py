"""Runs replicas as plain processes: development on a machine without Docker.

Only predefined images run, because a process is limited but not isolated. Each replica has a folder
that was renamed into place whole, and a keeper whose life is a file lock in it; so a provisioner
that was killed finds its replicas again, and two attempts never make two processes.
"""

import asyncio
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from infrastructure.containers import (
    ActualReplica,
    Catalogue,
    EngineUnavailable,
    LogLine,
    LogPosition,
    NotRunnable,
    ReplicaSpec,
    ReplicaState,
    ReplicaStats,
    StartFailed,
)
from infrastructure.containers import process_keeper as keeper
from infrastructure.containers.process_logs import LogReader, last_lines
from infrastructure.containers.process_stats import read_stats

START_SECONDS_MAX = 10
KILL_SECONDS_MAX = 5
POLL_SECONDS = 0.02
FOLLOW_SECONDS = 0.2
PORTS = range(20_000, 30_000)
KILLED = 137
HALF_MADE_SECONDS_MAX = 3600
DESCRIPTION = "replica.json"
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class _Description(msgspec.Struct, frozen=True):
    """What is known of a replica before it runs: the labels, so to say. No environment."""

    replica_id: str
    deployment_id: str
    team_id: str
    revision: int
    config_hash: str
    restarts: int
    crashes: int
    reason: str | None
    program: str


class _State(msgspec.Struct, frozen=True):
    """What the keeper wrote."""

    keeper: int
    port: int
    started_at: float
    pid: int | None = None
    exit_code: int | None = None
    finished_at: float | None = None


class ProcessDriver:
    """Processes of one installation, below one folder."""

    name: Literal["process"] = "process"

    def __init__(
        self,
        folder: Path,
        catalogue: Catalogue,
        *,
        ports: range = PORTS,
        passed: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """Tell `passed` each step that was taken: a fault test ends the process there."""
        self._folder = folder
        self._catalogue = catalogue
        self._ports = ports
        self._passed = passed

    async def describe(self) -> str:
        """Return one plain sentence for the user interface."""
        return (
            "No Docker here: replicas are processes on this machine, with limits on memory and "
            "files but not isolated from it, and only predefined images run."
        )

    async def list_replicas(self) -> Sequence[ActualReplica]:
        """Return all replicas of this installation."""
        return await asyncio.to_thread(self._list)

    async def start(self, spec: ReplicaSpec) -> None:
        """Make the replica run; one with its id that runs already is left as it is."""
        await asyncio.to_thread(self._start, spec)

    async def stop(self, replica: ActualReplica, *, grace_seconds: float) -> None:
        """Send SIGTERM, and after the grace SIGKILL."""
        await asyncio.to_thread(self._stop, self._place(replica.replica_id), grace_seconds)

    async def remove(self, replica: ActualReplica) -> None:
        """End the replica if it still runs, and remove its folder."""
        await asyncio.to_thread(self._remove, self._place(replica.replica_id))

    async def tail(self, replica: ActualReplica, *, lines: int) -> Sequence[str]:
        """Return the last lines of the replica's log."""
        return await asyncio.to_thread(last_lines, self._place(replica.replica_id), lines)

    async def logs(
        self, replica: ActualReplica, after: LogPosition
    ) -> AsyncIterator[Sequence[LogLine]]:
        """Follow the replica's log from a position on, until it ends."""
        folder = self._place(replica.replica_id)
        reader = LogReader(folder, after)
        made = _made_at(folder)
        try:
            while made == _made_at(folder):
                alive = is_kept(folder)
                lines = reader.read()
                if lines:
                    yield lines
                elif alive:
                    await asyncio.sleep(FOLLOW_SECONDS)
                else:
                    return
        finally:
            reader.close()

    async def stats(self, replica: ActualReplica) -> ReplicaStats | None:
        """Return what the process and its children have used, None when it does not run."""
        return await asyncio.to_thread(self._stats, self._place(replica.replica_id))

    async def clear(self) -> None:
        """Remove every replica of this installation."""
        for replica in await self.list_replicas():
            await self.remove(replica)
        await asyncio.to_thread(self._remove_half_made)

    async def close(self) -> None:
        """Let go. Replicas run on."""

    def _stats(self, place: Path) -> ReplicaStats | None:
        state = _state_of(place)
        if state is None or state.pid is None or not is_kept(place):
            return None
        return read_stats(state.pid)

    def _remove_half_made(self) -> None:
        for half_made in self._folder.glob(".new-*"):
            shutil.rmtree(half_made, ignore_errors=True)

    def _place(self, replica_id: str) -> Path:
        if _SAFE_NAME.fullmatch(replica_id) is None:
            raise StartFailed(f"{replica_id!r} cannot be the name of a folder")
        return self._folder / replica_id

    def _list(self) -> list[ActualReplica]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            places = sorted(self._folder.iterdir())
        except OSError as error:
            raise EngineUnavailable(f"the replicas' folder cannot be read: {error}") from error
        for place in places:
            if place.name.startswith("."):
                _sweep(place)
        found = (_read(place) for place in places if not place.name.startswith("."))
        return [replica for replica in found if replica is not None]

    def _start(self, spec: ReplicaSpec) -> None:
        predefined = self._catalogue.find(spec.image)
        if predefined is None:
            raise NotRunnable(
                f"image {spec.image} needs Docker; without it only predefined images run"
            )
        place = self._place(spec.replica_id)
        found = _read(place)
        if found is not None and found.config_hash == spec.config_hash and is_kept(place):
            return
        if found is not None and not self._is_fresh(place, found, spec):
            self._remove(place)
            self._passed("process.replaced")
            found = None
        if found is None:
            self._make_folder(place, spec, program=predefined.command[-1])
            self._passed("process.folder")
        self._launch(place, spec, predefined.command)
        self._passed("process.launched")
        _wait_until_started(place)

    def _is_fresh(self, place: Path, found: ActualReplica, spec: ReplicaSpec) -> bool:
        """Return whether the folder is one that was made and never started."""
        untouched = found.state is ReplicaState.CREATED and not is_kept(place)
        return untouched and found.config_hash == spec.config_hash

    def _make_folder(self, place: Path, spec: ReplicaSpec, *, program: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        half_made = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        description = _Description(
            replica_id=spec.replica_id,
            deployment_id=spec.deployment_id,
            team_id=spec.team_id,
            revision=spec.revision,
            config_hash=spec.config_hash,
            restarts=spec.restarts,
            crashes=spec.crashes,
            reason=spec.reason,
            program=program,
        )
        (half_made / DESCRIPTION).write_bytes(msgspec.json.encode(description))
        (half_made / keeper.LOCK).touch()
        try:
            half_made.rename(place)
        except OSError:  # somebody else was quicker; then theirs is the replica
            shutil.rmtree(half_made, ignore_errors=True)

    def _launch(self, place: Path, spec: ReplicaSpec, command: tuple[str, ...]) -> None:
        port = self._free_port(f"{place}/{spec.restarts}")
        launch = {
            "argv": command,
            "port": port,
            "memory_bytes": spec.resources.memory_bytes,
            "env": {
                "PATH": os.defpath,
                "HOME": str(place),
                **spec.env,
                "HOST": "127.0.0.1",
                "PORT": str(port),
                "TALLYPORT_REPLICA_ID": spec.replica_id,
                "TALLYPORT_DEPLOYMENT_ID": spec.deployment_id,
            },
        }
        started = subprocess.run(
            [sys.executable, "-I", "-S", "-B", keeper.__file__, str(place)],
            input=msgspec.json.encode(launch),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            timeout=START_SECONDS_MAX,
            check=False,
            env={},
        )
        if started.returncode != 0:
            raise StartFailed(f"the replica's keeper ended with code {started.returncode}")

    def _free_port(self, seed: str) -> int:
        """Return a port that nobody listens on and no other replica was given."""
        taken = {replica.port for replica in self._list() if replica.state == "running"}
        first = zlib.crc32(seed.encode())
        for step in range(len(self._ports)):
            port = self._ports[(first + step) % len(self._ports)]
            if port not in taken and _is_free(port):
                return port
        raise StartFailed("no port is free for the replica")

    def _stop(self, place: Path, grace_seconds: float) -> None:
        state = _state_of(place)
        if state is None or not is_kept(place):
            return
        (place / keeper.GRACE).write_text(str(grace_seconds))
        _signal(state.keeper, signal.SIGTERM)
        if not _wait_until_gone(place, grace_seconds + KILL_SECONDS_MAX):
            _signal(state.keeper, signal.SIGKILL)  # and the kernel kills its child with it
            _wait_until_gone(place, KILL_SECONDS_MAX)
        self._passed("process.stopped")

    def _remove(self, place: Path) -> None:
        _wait_for_state(place)
        self._stop(place, 0)
        try:
            lock = os.open(place / keeper.LOCK, os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            if not keeper.is_mine(lock):
                raise EngineUnavailable(f"the replica {place.name} cannot be stopped")
            _kill_left_behind(place)
            shutil.rmtree(place, ignore_errors=True)
        finally:
            os.close(lock)
        self._passed("process.removed")


def is_kept(place: Path) -> bool:
    """Return whether a keeper lives: the lock says so, not a process id."""
    try:
        descriptor = os.open(place / keeper.LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False  # there is no replica, so nobody keeps it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read(place: Path) -> ActualReplica | None:
    try:
        known = msgspec.json.decode((place / DESCRIPTION).read_bytes(), type=_Description)
    except (FileNotFoundError, NotADirectoryError):
        return None
    running = is_kept(place)
    state = _state_of(place)
    replica = ActualReplica(
        replica_id=known.replica_id,
        engine_id=f"{known.replica_id}@{state.started_at if state else 0}",
        deployment_id=known.deployment_id,
        team_id=known.team_id,
        revision=known.revision,
        config_hash=known.config_hash,
        restarts=known.restarts,
        crashes=known.crashes,
        reason=known.reason,
        state=ReplicaState.CREATED,
    )
    if state is None:
        return replica
    finished = state.finished_at or (place / keeper.STATE).stat().st_mtime
    return msgspec.structs.replace(
        replica,
        state=ReplicaState.RUNNING if running else ReplicaState.EXITED,
        address="127.0.0.1" if running else None,
        port=state.port,
        started_at=datetime.fromtimestamp(state.started_at, UTC),
        finished_at=None if running else datetime.fromtimestamp(finished, UTC),
        exit_code=None if running else KILLED if state.exit_code is None else state.exit_code,
    )


def _state_of(place: Path) -> _State | None:
    try:
        return msgspec.json.decode((place / keeper.STATE).read_bytes(), type=_State)
    except FileNotFoundError:
        return None


def _wait_until_started(place: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        state = _state_of(place)
        if state is not None and (state.pid is not None or state.exit_code is not None):
            return
        if state is None and not is_kept(place) and _state_of(place) is None:
            raise StartFailed("the replica was taken away while it was being started")
        time.sleep(POLL_SECONDS)
    raise StartFailed(f"the replica's process did not start in {START_SECONDS_MAX} s")


def _wait_for_state(place: Path) -> None:
    """Give a keeper that has just begun the time to write who it is."""
    deadline = time.monotonic() + KILL_SECONDS_MAX
    while _state_of(place) is None and is_kept(place) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _wait_until_gone(place: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_kept(place):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _kill_left_behind(place: Path) -> None:
    """End a child whose keeper was killed, where the kernel has not done so (not Linux)."""
    state = _state_of(place)
    if state is None or state.pid is None or state.exit_code is not None:
        return
    known = msgspec.json.decode((place / DESCRIPTION).read_bytes(), type=_Description)
    asked = subprocess.run(
        ["ps", "-o", "args=", "-p", str(state.pid)], capture_output=True, text=True, check=False
    )
    if known.program in asked.stdout:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(state.pid, signal.SIGKILL)


def _sweep(half_made: Path) -> None:
    """Remove a folder that was never finished, once nobody can be at it any more."""
    with suppress(OSError):
        if time.time() - half_made.stat().st_mtime > HALF_MADE_SECONDS_MAX:
            shutil.rmtree(half_made, ignore_errors=True)


def _signal(pid: int, signum: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


def _made_at(place: Path) -> int | None:
    """Return what tells a replica's folder from the next one of the same name."""
    try:
        return (place / DESCRIPTION).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
