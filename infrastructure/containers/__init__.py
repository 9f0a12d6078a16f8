"""Containers: what runs a deployment's replicas, and what a driver must be able to do.

A *replica* is one running copy of a deployment's image. Its id is also its name in the engine, so
asking twice for the same replica finds the first one, half-made or whole. Everything a driver must
remember is written on the replica itself (labels); a driver may be killed at any step and started
again. It sees replicas of its own *installation* only, so several platforms can share one engine.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

import msgspec

LOG_BYTES_MAX = 10 * 1024**2
LOG_FILES_MAX = 3
LINE_BYTES_MAX = 16 * 1024

Source = Literal["stdout", "stderr", "build"]
"""Where a line came from; `build`: before the replica, when its code was made ready."""


class ContainerError(Exception):
    """Something about containers failed; the message is a sentence for the deployment's owner."""


class EngineUnavailable(ContainerError):
    """The container engine does not answer, so nothing is known and nothing may be concluded."""


class ImageMissing(ContainerError):
    """The image is not here and could not be pulled."""


class NotRunnable(ContainerError):
    """This driver cannot run this image."""


class BuildFailed(ContainerError):
    """The uploaded code could not be made into something that runs; its last lines say why."""


class StartFailed(ContainerError):
    """The engine refused to make or start the replica."""


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica may use."""

    cpu_millis: int = 500
    memory_bytes: int = 256 * 1024**2
    storage_bytes: int = 64 * 1024**2
    pids: int = 256


class RegistryAuth(msgspec.Struct, frozen=True, kw_only=True):
    """How to sign in to a private registry."""

    username: str
    password: str

    def __repr__(self) -> str:
        """Show who, never the password."""
        return f"RegistryAuth(username={self.username!r})"


class ReplicaSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One replica as it should be."""

    replica_id: str
    deployment_id: str
    team_id: str
    app_name: str
    revision: int
    image: str
    port: int
    env: Mapping[str, str]
    """Opened secrets are in here: never log a spec."""
    resources: Resources = Resources()
    registry_auth: RegistryAuth | None = None
    own_check: bool = False
    """Whether its health is told by the command that its image names for this."""
    restarts: int = 0
    """How often this replica was started before."""
    crashes: int = 0
    """How many of those starts, the last ones in a row, ended without a time of good service."""
    reason: str | None = None
    """Why the one before it ended, in words."""

    @property
    def config_hash(self) -> str:
        """What a running replica is compared with to see whether it is still what is wanted."""
        resources = msgspec.to_builtins(self.resources)
        if self.resources.pids == Resources().pids:
            del resources["pids"]  # what runs since before this could be chosen stays as it is
        wanted = msgspec.json.encode(
            (self.image, self.port, self.env, resources, self.revision), order="sorted"
        )
        return hashlib.sha256(wanted).hexdigest()[:16]

    def __repr__(self) -> str:
        """Name the replica, never its environment."""
        return f"ReplicaSpec({self.replica_id!r}, image={self.image!r})"


class ReplicaState(StrEnum):
    """What the engine says of a replica."""

    CREATED = "created"
    """Half-made: it was never started."""
    RUNNING = "running"
    EXITED = "exited"


class ActualReplica(msgspec.Struct, frozen=True, kw_only=True):
    """One replica as the engine has it."""

    replica_id: str
    engine_id: str
    """The engine's own name of this very start; a replica started again has another one."""
    deployment_id: str
    team_id: str
    revision: int
    config_hash: str
    restarts: int
    crashes: int
    reason: str | None
    state: ReplicaState
    address: str | None = None
    """Where it can be reached from here, None while it is not running."""
    port: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    out_of_memory: bool = False
    image_digest: str | None = None
    own_check: tuple[str, ...] = ()
    """The command that its image names to tell its health, where that was asked for."""


class LogPosition(msgspec.Struct, frozen=True):
    """How far a replica's log was read: `count` lines with exactly the time `timestamp_ns`."""

    timestamp_ns: int = 0
    count: int = 0


class LogLine(msgspec.Struct, frozen=True):
    """One line that a replica wrote."""

    timestamp_ns: int
    ordinal: int
    """Counts the lines of this replica with this very time, from 0: (time, ordinal) is unique."""
    source: Source
    text: str

    @property
    def position(self) -> LogPosition:
        """Where to go on after this line."""
        return LogPosition(self.timestamp_ns, self.ordinal + 1)


class ReplicaStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica has used: all but the memory counts up from its start."""

    read_at_ns: int
    """By the clock of the engine, in Unix nanoseconds."""
    cpu_ns: int
    memory_bytes: int
    """What it holds now, without what the kernel may drop at once."""
    network_in_bytes: int | None = None
    network_out_bytes: int | None = None
    """None where the replica has no network of its own to count."""


class ContainerDriver(Protocol):
    """Starts and stops replicas. Every method may be repeated, also after a crash in between."""

    @property
    def name(self) -> Literal["docker", "process"]:
        """The driver's short name."""
        ...

    @property
    def advice(self) -> str | None:
        """What an operator could do for the replicas, in words; None when nothing is known."""
        ...

    async def describe(self) -> str:
        """Return one plain sentence for the user interface: what runs the replicas, and how."""
        ...

    async def list_replicas(self) -> Sequence[ActualReplica]:
        """Return all replicas of this installation; raises `EngineUnavailable`, never guesses."""
        ...

    async def start(self, spec: ReplicaSpec) -> None:
        """Make the replica run. A running one with this id is left as it is.

        One with this id that ended is replaced.
        """
        ...

    async def stop(self, replica: ActualReplica, *, grace_seconds: float) -> None:
        """Ask the replica to end, and end it after the grace. Its log stays readable."""
        ...

    async def remove(self, replica: ActualReplica) -> None:
        """Remove every trace of the replica, running or not."""
        ...

    async def check(
        self, replica: ActualReplica, command: Sequence[str], *, timeout_seconds: float
    ) -> str | None:
        """Run a command in the replica: None when it ends with 0 in time, else why not, in words.

        It has what the replica has and no more: user, limits, files, environment.
        """
        ...

    async def tail(self, replica: ActualReplica, *, lines: int) -> Sequence[str]:
        """Return the last lines of the replica's log."""
        ...

    def logs(self, replica: ActualReplica, after: LogPosition) -> AsyncIterator[Sequence[LogLine]]:
        """Follow the replica's log from a position on, in batches, until the replica ends."""
        ...

    async def stats(self, replica: ActualReplica) -> ReplicaStats | None:
        """Return what the replica has used, None when it does not run or nobody can say."""
        ...

    async def prune(self, kept: Collection[str]) -> int:
        """Remove what was built of code that is not among these images; return how many.

        What a replica runs stays, and what was built a moment ago.
        """
        ...

    async def clear(self) -> None:
        """Remove everything of this installation: the end of a demo or a test."""
        ...

    async def close(self) -> None:
        """Let go of the engine. Replicas run on."""
        ...


class CatalogueImage(msgspec.Struct, frozen=True, kw_only=True):
    """A predefined image that needs no registry."""

    image: str
    description: str
    port: int
    health_path: str
    command: tuple[str, ...]
    """How the process driver runs it; it listens on $PORT."""
    build: Callable[[], "LocalImage"]
    """How a Docker engine on this kind of machine gets it."""


class LocalImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is made here: a root file system as a tar archive, and how to run it."""

    content_hash: str
    """Changes with the content: an upgrade of the platform brings a new image."""
    architecture: str
    """As the engine names it: x86_64, aarch64."""
    archive: Callable[[], bytes]
    changes: tuple[str, ...]
    """Dockerfile instructions: CMD, ENV, EXPOSE, USER."""
    context: Callable[[], bytes]
    """A build context with a Dockerfile, for an engine of another kind that has a registry."""


class Catalogue(Protocol):
    """The predefined images."""

    def find(self, image: str) -> CatalogueImage | None:
        """Return the entry of an image reference, None when it is not a predefined one."""
        ...


COMPLAINT_LENGTH_MAX = 300


def complaint(command: Sequence[str], exit_code: int | None, output: bytes) -> str | None:
    """Return what is wrong by how a command ended and what it wrote; no exit code: it did not."""
    if exit_code == 0:
        return None
    ended = "did not end in time" if exit_code is None else f"ended with exit code {exit_code}"
    said = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    last = "".join(letter for letter in said[-1] if letter.isprintable()) if said else ""
    program = command[0][:COMPLAINT_LENGTH_MAX]
    return f"{program} {ended}" + (f": {last[:COMPLAINT_LENGTH_MAX]}" if last else "")


def next_position(position: LogPosition, timestamp_ns: int) -> tuple[int, LogPosition]:
    """Return a line's ordinal at its time, and the position behind it."""
    ordinal = position.count if position.timestamp_ns == timestamp_ns else 0
    return ordinal, LogPosition(timestamp_ns, ordinal + 1)
