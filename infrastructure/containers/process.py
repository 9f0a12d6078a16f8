"""Runs replicas as plain processes: development on a machine without Docker.

A process is limited but not isolated, so images of strangers do not run: predefined ones do, and
uploaded code where that is wished. Each replica has a folder
that was renamed into place whole, and a keeper whose life is a file lock in it; so a provisioner
that was killed finds its replicas again, and two attempts never make two processes.
"""

import asyncio
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
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import suppress
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
from infrastructure.containers.process_builds import ProcessBuilds
from infrastructure.containers.process_checks import run_beside
from infrastructure.containers.process_folder import (
    DESCRIPTION,
    Description,
    description,
    is_kept,
    made_at,
    read,
    state_of,
)
from infrastructure.containers.process_logs import LogReader, last_lines
from infrastructure.containers.process_stats import read_stats
from infrastructure.sources import source_of

START_SECONDS_MAX = 10
KILL_SECONDS_MAX = 5
POLL_SECONDS = 0.02
FOLLOW_SECONDS = 0.2
PORTS = range(20_000, 30_000)
HALF_MADE_SECONDS_MAX = 3600
SHARED_FOLDER = {"PYTHONDONTWRITEBYTECODE": "1"}
"""All replicas of a build are started in one folder, which stays as it is."""
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class _Program(msgspec.Struct, frozen=True):
    """What a replica's process is."""

    argv: tuple[str, ...]
    folder: Path | None = None
    """Where it is started; None: in the replica's own folder."""
    build: str | None = None


class ProcessDriver:
    """Processes of one installation, below one folder."""

    name: Literal["process"] = "process"

    def __init__(
        self,
        folder: Path,
        catalogue: Catalogue,
        *,
        builds: ProcessBuilds | None = None,
        ports: range = PORTS,
        passed: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """Without `builds` no uploaded code runs: nothing keeps it from what we can read.

        Tell `passed` each step that was taken: a fault test ends the process there.
        """
        self._folder = folder
        self._catalogue = catalogue
        self._builds = builds
        self._ports = ports
        self._passed = passed

    @property
    def advice(self) -> str | None:
        """Nothing that would change how they run."""
        return None

    async def describe(self) -> str:
        """Return one plain sentence for the user interface."""
        return (
            "No Docker here: replicas are processes on this machine, with limits on memory and "
            "files but not isolated from it, and only predefined images "
            f"{'and uploaded code run' if self._builds is not None else 'run'}."
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

    async def check(
        self, replica: ActualReplica, command: Sequence[str], *, timeout_seconds: float
    ) -> str | None:
        """Run a command beside the process: None when all is well, else what is not, in words."""
        state = await asyncio.to_thread(state_of, self._place(replica.replica_id))
        if state is None or state.pid is None:
            return "the replica does not run"
        return await run_beside(state.pid, command, timeout_seconds=timeout_seconds)

    async def tail(self, replica: ActualReplica, *, lines: int) -> Sequence[str]:
        """Return the last lines of the replica's log."""
        return await asyncio.to_thread(last_lines, self._place(replica.replica_id), lines)

    async def logs(
        self, replica: ActualReplica, after: LogPosition
    ) -> AsyncIterator[Sequence[LogLine]]:
        """Follow the replica's log from a position on, until it ends."""
        folder = self._place(replica.replica_id)
        reader = LogReader(folder, after)
        made = made_at(folder)
        try:
            while made == made_at(folder):
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

    async def prune(self, kept: Collection[str]) -> int:
        """Remove the builds of code that is not among these."""
        if self._builds is None:
            return 0
        return await asyncio.to_thread(self._builds.prune, kept, used=self._used_builds())

    async def clear(self) -> None:
        """Remove every replica of this installation."""
        for replica in await self.list_replicas():
            await self.remove(replica)
        await asyncio.to_thread(self._remove_half_made)
        if self._builds is not None:
            await asyncio.to_thread(self._builds.clear)

    async def close(self) -> None:
        """Let go. Replicas run on."""

    def _stats(self, place: Path) -> ReplicaStats | None:
        state = state_of(place)
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
        found = (read(place) for place in places if not place.name.startswith("."))
        return [replica for replica in found if replica is not None]

    def _start(self, spec: ReplicaSpec) -> None:
        program = self._program(spec)
        place = self._place(spec.replica_id)
        found = read(place)
        if found is not None and found.config_hash == spec.config_hash and is_kept(place):
            return
        if found is not None and not self._is_fresh(place, found, spec):
            self._remove(place)
            self._passed("process.replaced")
            found = None
        if found is None:
            self._make_folder(place, spec, program)
            self._passed("process.folder")
        self._launch(place, spec, program)
        self._passed("process.launched")
        _wait_until_started(place)

    def _program(self, spec: ReplicaSpec) -> _Program:
        if spec.own_check:
            raise NotRunnable(
                "without Docker there is no HEALTHCHECK of an image; choose another type of check"
            )
        predefined = self._catalogue.find(spec.image)
        if predefined is not None:
            return _Program(predefined.command)
        source = source_of(spec.image)
        if source is None:
            raise NotRunnable(
                f"image {spec.image} needs Docker; without it only predefined images run"
            )
        if self._builds is None:
            raise NotRunnable(
                "uploaded code needs Docker here: as a process it could read all that we can"
            )
        built = self._builds.make(spec, source)
        return _Program(built.argv, built.folder, built.name)

    def _used_builds(self) -> set[str]:
        return {known.build for known in self._descriptions() if known.build is not None}

    def _descriptions(self) -> list[Description]:
        found = (description(place) for place in self._folder.glob("[!.]*"))
        return [known for known in found if known is not None]

    def _is_fresh(self, place: Path, found: ActualReplica, spec: ReplicaSpec) -> bool:
        """Return whether the folder is one that was made and never started."""
        untouched = found.state is ReplicaState.CREATED and not is_kept(place)
        return untouched and found.config_hash == spec.config_hash

    def _make_folder(self, place: Path, spec: ReplicaSpec, program: _Program) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        half_made = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        description = Description(
            replica_id=spec.replica_id,
            deployment_id=spec.deployment_id,
            team_id=spec.team_id,
            revision=spec.revision,
            config_hash=spec.config_hash,
            restarts=spec.restarts,
            crashes=spec.crashes,
            reason=spec.reason,
            program=program.argv[-1],
            build=program.build,
        )
        (half_made / DESCRIPTION).write_bytes(msgspec.json.encode(description))
        (half_made / keeper.LOCK).touch()
        try:
            half_made.rename(place)
        except OSError:  # somebody else was quicker; then theirs is the replica
            shutil.rmtree(half_made, ignore_errors=True)

    def _launch(self, place: Path, spec: ReplicaSpec, program: _Program) -> None:
        port = self._free_port(f"{place}/{spec.restarts}")
        launch = {
            "argv": program.argv,
            "cwd": str(program.folder) if program.folder is not None else None,
            "port": port,
            "memory_bytes": spec.resources.memory_bytes,
            "env": {
                "PATH": os.defpath,
                "HOME": str(place),
                **(SHARED_FOLDER if program.folder is not None else {}),
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
        state = state_of(place)
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


def _wait_until_started(place: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        state = state_of(place)
        if state is not None and (state.pid is not None or state.exit_code is not None):
            return
        if state is None and not is_kept(place) and state_of(place) is None:
            raise StartFailed("the replica was taken away while it was being started")
        time.sleep(POLL_SECONDS)
    raise StartFailed(f"the replica's process did not start in {START_SECONDS_MAX} s")


def _wait_for_state(place: Path) -> None:
    """Give a keeper that has just begun the time to write who it is."""
    deadline = time.monotonic() + KILL_SECONDS_MAX
    while state_of(place) is None and is_kept(place) and time.monotonic() < deadline:
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
    state = state_of(place)
    if state is None or state.pid is None or state.exit_code is not None:
        return
    known = msgspec.json.decode((place / DESCRIPTION).read_bytes(), type=Description)
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


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
