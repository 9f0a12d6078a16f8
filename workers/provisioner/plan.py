"""Decides what to do about one deployment. Pure: everything it knows is an argument."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from domain.deployments.values import ReplicaPhase
from infrastructure.containers import ActualReplica, ReplicaSpec, ReplicaState
from workers.provisioner import DesiredDeployment, ProvisionerOptions
from workers.provisioner.backoff import delay_seconds
from workers.provisioner.health import Health
from workers.provisioner.traffic import Traffic


class StartFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A replica that could not be started, and when to try again."""

    count: int
    retry_at: datetime
    reason: str


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What the provisioner knows beside the wishes and the engine. All of it may be lost."""

    health: Mapping[str, Health] = {}
    """By engine id."""
    drained_at: Mapping[str, datetime] = {}
    """When a replica was reported as draining, by engine id."""
    start_failures: Mapping[str, StartFailure] = {}
    """By replica id."""
    restarts: Mapping[str, int] = {}
    """How often a replica was started again when it was last seen, by replica id."""
    last_words: Mapping[str, str] = {}
    """Why a replica ended, in words, by engine id."""
    traffic: Traffic = Traffic()
    """What gateways say."""


class Start(msgspec.Struct, frozen=True):
    """Start a replica that is not there, or only half-made."""

    spec: ReplicaSpec


class Restart(msgspec.Struct, frozen=True):
    """End what is left of a replica, and start it again."""

    replica: ActualReplica
    spec: ReplicaSpec


class Drain(msgspec.Struct, frozen=True):
    """Say that a serving replica is about to go."""

    replica: ActualReplica


class Remove(msgspec.Struct, frozen=True):
    """Stop a replica and remove it."""

    replica: ActualReplica


Action = Start | Restart | Drain | Remove


def plan(
    desired: DesiredDeployment,
    actual: Sequence[ActualReplica],
    memory: Memory,
    *,
    now: datetime,
    options: ProvisionerOptions,
) -> list[Action]:
    """Return the next steps; none when all is as wanted, or waiting is right."""
    leaving = leaving_replicas(desired, actual, memory)
    actions = [_leave(each, desired, memory, now=now, options=options) for each in leaving]
    staying = {replica.replica_id: replica for replica in actual if replica not in leaving}
    for number in range(1, desired.replicas + 1):
        spec = desired.replica(number)
        actions.append(_keep(spec, staying, actual, memory, now=now, options=options))
    return [action for action in actions if action is not None]


def leaving_replicas(
    desired: DesiredDeployment, actual: Sequence[ActualReplica], memory: Memory
) -> list[ActualReplica]:
    """Return the replicas that should go.

    Those not wanted stay as long as fewer of the wanted ones serve than should: an update takes
    nothing away before there is something better, and a failed one takes nothing away.
    """
    wanted = {desired.replica_id(number) for number in range(1, desired.replicas + 1)}
    current = [replica for replica in actual if replica.replica_id in wanted]
    serving = sum(
        is_ready(replica, memory) and memory.traffic.serves(replica) for replica in current
    )
    others = [replica for replica in actual if replica.replica_id not in wanted]
    running = [replica for replica in others if replica.state is ReplicaState.RUNNING]
    running.sort(key=lambda replica: (not is_ready(replica, memory), replica.replica_id))
    kept = running[: max(0, desired.replicas - serving)]
    return [*(replica for replica in others if replica not in kept), *_drifted(desired, current)]


def is_ready(replica: ActualReplica, memory: Memory) -> bool:
    """Return whether the replica could serve."""
    health = memory.health.get(replica.engine_id)
    return health is not None and health.phase is ReplicaPhase.READY


def _drifted(desired: DesiredDeployment, current: Sequence[ActualReplica]) -> list[ActualReplica]:
    """Return at most one replica that has our name but another content: one at a time."""
    specs = {spec.replica_id: spec for spec in map(desired.replica, range(1, desired.replicas + 1))}
    whole = len(current) == desired.replicas
    drifted = [
        replica
        for replica in current
        if replica.config_hash != specs[replica.replica_id].config_hash
        and (whole or replica.state is not ReplicaState.RUNNING)
    ]
    return drifted[:1]


def _leave(
    replica: ActualReplica,
    desired: DesiredDeployment,
    memory: Memory,
    *,
    now: datetime,
    options: ProvisionerOptions,
) -> Action | None:
    drained_at = memory.drained_at.get(replica.engine_id)
    health = memory.health.get(replica.engine_id)
    was_ready = health is not None and health.phase is not ReplicaPhase.STARTING
    if replica.state is not ReplicaState.RUNNING:
        return Remove(replica)
    if drained_at is None:
        serves = was_ready or memory.traffic.may_reach(replica)
        return Drain(replica) if serves else Remove(replica)
    waited = now >= drained_at + timedelta(seconds=options.drain_seconds)
    return Remove(replica) if waited or memory.traffic.has_let_go(replica, desired) else None


def _keep(
    spec: ReplicaSpec,
    staying: Mapping[str, ActualReplica],
    actual: Sequence[ActualReplica],
    memory: Memory,
    *,
    now: datetime,
    options: ProvisionerOptions,
) -> Action | None:
    failure = memory.start_failures.get(spec.replica_id)
    if failure is not None and now < failure.retry_at:
        return None
    replica = staying.get(spec.replica_id)
    if replica is None:
        if any(other.replica_id == spec.replica_id for other in actual):
            return None  # it is leaving; its place is taken until it is gone
        seen = memory.restarts.get(spec.replica_id)
        return Start(spec if seen is None else msgspec.structs.replace(spec, restarts=seen + 1))
    match replica.state:
        case ReplicaState.CREATED:
            return Start(_again(spec, replica, crashes=replica.crashes, reason=replica.reason))
        case ReplicaState.EXITED:
            return _restart_ended(spec, replica, memory, now=now, options=options)
        case ReplicaState.RUNNING:
            return _restart_stuck(spec, replica, memory, now=now, options=options)


def _restart_ended(
    spec: ReplicaSpec,
    replica: ActualReplica,
    memory: Memory,
    *,
    now: datetime,
    options: ProvisionerOptions,
) -> Action | None:
    crashes = crashes_in_a_row(replica, options=options)
    ended = min(replica.finished_at or now, now)
    wait = delay_seconds(crashes, key=spec.replica_id)
    if now < ended + timedelta(seconds=wait):
        return None
    reason = memory.last_words.get(replica.engine_id)
    return Restart(replica, _again(spec, replica, crashes=crashes, reason=reason))


def crashes_in_a_row(replica: ActualReplica, *, options: ProvisionerOptions) -> int:
    """Return how many starts, this ended one included, had no time of good service."""
    started, finished = replica.started_at, replica.finished_at
    ran = (finished - started).total_seconds() if started and finished else 0.0
    return 1 if ran >= options.stable_seconds else replica.crashes + 1


def _restart_stuck(
    spec: ReplicaSpec,
    replica: ActualReplica,
    memory: Memory,
    *,
    now: datetime,
    options: ProvisionerOptions,
) -> Action | None:
    health = memory.health.get(replica.engine_id)
    reason = stuck_reason(replica, health, now=now, options=options)
    if reason is None or health is None:
        return None
    served = health.phase is ReplicaPhase.UNHEALTHY and replica.started_at is not None
    well = (health.since - (replica.started_at or now)).total_seconds() if served else 0.0
    crashes = 1 if well >= options.stable_seconds else replica.crashes + 1
    return Restart(replica, _again(spec, replica, crashes=crashes, reason=reason))


def stuck_reason(
    replica: ActualReplica,
    health: Health | None,
    *,
    now: datetime,
    options: ProvisionerOptions,
) -> str | None:
    """Return why a running replica should be started again, None when it should not.

    Each start in a row gets twice the time of the one before: what is slow gets its chance, and
    what will never work does not cost a start each minute.
    """
    if health is None or health.phase is ReplicaPhase.READY:
        return None
    starting = health.phase is ReplicaPhase.STARTING
    allowed = options.startup_seconds if starting else options.unhealthy_seconds
    allowed = min(allowed * 2 ** min(replica.crashes, 8), max(allowed, 3600.0))
    if now < health.since + timedelta(seconds=allowed):
        return None
    verdict = "never became ready" if starting else "stopped being healthy"
    return f"it {verdict} within {allowed:g} s: {health.reason or 'no answer'}"


def _again(
    spec: ReplicaSpec, replica: ActualReplica, *, crashes: int, reason: str | None
) -> ReplicaSpec:
    restarts = replica.restarts + (replica.state is not ReplicaState.CREATED)
    return msgspec.structs.replace(spec, restarts=restarts, crashes=crashes, reason=reason)
