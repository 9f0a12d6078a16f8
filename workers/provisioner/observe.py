"""Says what is seen of one deployment, in words for its owner. Pure."""

from collections.abc import Sequence

from domain.deployments.values import ReplicaPhase, ReplicaReport
from infrastructure.containers import ActualReplica, ReplicaState
from workers.provisioner import DeploymentObservation, DesiredDeployment
from workers.provisioner.plan import Memory, is_ready

CRASH_LOOP = 2
"""From so many ends in a row on, a replica that is being started again counts as failed."""
HOPELESS_CRASHES = 2
HOPELESS_STARTS = 3
"""From so many failures of one replica on, its revision counts as one that will not come up."""
SIGNALS = {
    137: "it was killed (SIGKILL)",
    139: "it crashed (SIGSEGV)",
    143: "it was ended by SIGTERM",
}


def observe(
    desired: DesiredDeployment,
    actual: Sequence[ActualReplica],
    memory: Memory,
    *,
    draining: frozenset[str],
) -> DeploymentObservation:
    """Return everything there is; `draining` has the engine ids of replicas about to go."""
    replicas = sorted(actual, key=lambda replica: replica.replica_id)
    reports = tuple(_report(replica, memory, draining=draining) for replica in replicas)
    return DeploymentObservation(
        replicas=reports,
        in_rotation=_is_in_rotation(desired, replicas, memory),
        problem=_problem(desired, reports, memory),
        hopeless_revision=desired.revision if _is_hopeless(desired, actual, memory) else None,
    )


def _is_in_rotation(
    desired: DesiredDeployment, replicas: Sequence[ActualReplica], memory: Memory
) -> bool:
    """Tell whether gateways send requests to what is ready; of what runs, it was said before."""
    if desired.phase == "running":
        return True
    wanted = {desired.replica_id(number) for number in range(1, desired.replicas + 1)}
    return all(
        memory.traffic.serves(replica)
        for replica in replicas
        if replica.replica_id in wanted and is_ready(replica, memory)
    )


def _report(replica: ActualReplica, memory: Memory, *, draining: frozenset[str]) -> ReplicaReport:
    phase, reason = _phase(replica, memory)
    if replica.engine_id in draining and replica.state is ReplicaState.RUNNING:
        phase, reason = ReplicaPhase.DRAINING, None
    return ReplicaReport(
        replica_id=replica.replica_id,
        revision=replica.revision,
        phase=phase,
        address=replica.address,
        port=replica.port,
        started_at=replica.started_at,
        restarts=replica.restarts,
        exit_code=replica.exit_code,
        reason=reason,
        image_digest=replica.image_digest,
    )


def _phase(replica: ActualReplica, memory: Memory) -> tuple[ReplicaPhase, str | None]:
    if replica.state is ReplicaState.EXITED:
        words = memory.last_words.get(replica.engine_id)
        return ReplicaPhase.FAILED, _named(words, loop=replica.crashes + 1 >= CRASH_LOOP)
    health = memory.health.get(replica.engine_id)
    if health is not None and health.phase is ReplicaPhase.READY:
        return ReplicaPhase.READY, None
    if health is not None and health.phase is ReplicaPhase.UNHEALTHY:
        return ReplicaPhase.UNHEALTHY, health.reason
    if replica.crashes >= CRASH_LOOP:
        return ReplicaPhase.FAILED, _named(replica.reason, loop=True)
    return ReplicaPhase.STARTING, None


def _named(words: str | None, *, loop: bool) -> str | None:
    """Return why a replica ended; what ends again and again is called by its name."""
    return f"crash loop: {words}" if loop and words is not None else words


def _is_hopeless(
    desired: DesiredDeployment, actual: Sequence[ActualReplica], memory: Memory
) -> bool:
    """Tell whether some wanted replica failed so often that it is no accident."""
    for number in range(1, desired.replicas + 1):
        failure = memory.start_failures.get(desired.replica_id(number))
        if failure is not None and failure.count >= HOPELESS_STARTS:
            return True
    wanted = {desired.replica_id(number) for number in range(1, desired.replicas + 1)}
    return any(
        replica.crashes + (replica.state is ReplicaState.EXITED) >= HOPELESS_CRASHES
        and not is_ready(replica, memory)
        for replica in actual
        if replica.replica_id in wanted
    )


def _problem(
    desired: DesiredDeployment, reports: Sequence[ReplicaReport], memory: Memory
) -> str | None:
    """Return the first thing that keeps the deployment from being as wanted."""
    wanted = {desired.replica_id(number) for number in range(1, desired.replicas + 1)}
    for replica_id in sorted(wanted):
        failure = memory.start_failures.get(replica_id)
        if failure is not None:
            return failure.reason
    for report in reports:
        if report.replica_id in wanted and report.phase is ReplicaPhase.FAILED:
            return report.reason
    return None


def words_about_end(replica: ActualReplica, tail: Sequence[str], *, memory_bytes: int) -> str:
    """Return why a replica ended, with the last lines it wrote.

    Nothing in it counts or tells the time: an image that ends the same way again gives the same
    words again, and so no news.
    """
    code = replica.exit_code
    if replica.out_of_memory:
        why = f"it was killed for using more than its {memory_bytes >> 20} MiB of memory"
    else:
        why = SIGNALS.get(code or 0, f"it ended with exit code {code}")
    if not tail:
        return f"{why}; it wrote nothing"
    return f"{why}; its last lines: " + "\n".join(tail)
