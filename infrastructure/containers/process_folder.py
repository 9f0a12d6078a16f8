"""A replica's folder, as the process driver finds it: who it is, and how it is."""

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from infrastructure.containers import ActualReplica, ReplicaState
from infrastructure.containers import process_keeper as keeper

DESCRIPTION = "replica.json"
KILLED = 137


class Description(msgspec.Struct, frozen=True):
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
    build: str | None = None


class State(msgspec.Struct, frozen=True):
    """What the keeper wrote."""

    keeper: int
    port: int
    started_at: float
    pid: int | None = None
    exit_code: int | None = None
    finished_at: float | None = None


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


def read(place: Path) -> ActualReplica | None:
    """Return the replica as it is now, None where there is none."""
    known = description(place)
    if known is None:
        return None
    running = is_kept(place)
    state = state_of(place)
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


def description(place: Path) -> Description | None:
    """Return what the replica was made as."""
    try:
        return msgspec.json.decode((place / DESCRIPTION).read_bytes(), type=Description)
    except (FileNotFoundError, NotADirectoryError):
        return None


def state_of(place: Path) -> State | None:
    """Return what the keeper wrote last."""
    try:
        return msgspec.json.decode((place / keeper.STATE).read_bytes(), type=State)
    except FileNotFoundError:
        return None


def made_at(place: Path) -> int | None:
    """Return what tells a replica's folder from the next one of the same name."""
    try:
        return (place / DESCRIPTION).stat().st_mtime_ns
    except FileNotFoundError:
        return None
