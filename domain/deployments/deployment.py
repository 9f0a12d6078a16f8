"""The rules of one deployment."""

from collections.abc import Sequence

import msgspec

from domain.deployments.events import (
    DeploymentBecameHealthy,
    DeploymentDeleted,
    DeploymentDeletionRequested,
    DeploymentFailed,
    DeploymentRequested,
    DeploymentScaled,
    DeploymentStartRequested,
    DeploymentStopped,
    DeploymentStopRequested,
    ReplicaBecameReady,
    ReplicaBecameUnhealthy,
    ReplicaDraining,
    ReplicaStarted,
    ReplicaStopped,
)
from domain.deployments.values import (
    HealthCheck,
    RegistryAuth,
    ReplicaPhase,
    ReplicaReport,
    Resources,
    Status,
)
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import LimitReached, RuleViolated
from domain.kernel.events import Event, SealedText


class TooManyReplicas(LimitReached):
    """This team may not run so many replicas of one deployment."""


class DeploymentIsStopped(RuleViolated):
    """The deployment is stopped; start it first."""


class DeploymentIsGoing(RuleViolated):
    """The deployment is being deleted."""


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """What the log knows of one replica."""

    revision: int
    phase: ReplicaPhase
    address: str | None = None
    port: int | None = None


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One image kept running under one name."""

    deployment_id: str
    team_id: str
    app_name: str
    image: str
    port: int
    environment: dict[str, SealedText]
    replicas_wanted: int
    resources: Resources
    health_check: HealthCheck | None
    registry_auth: RegistryAuth | None
    revision: int = 1
    status: Status = Status.PENDING
    replicas: dict[str, Replica] = {}
    failure: str | None = None

    @property
    def target(self) -> int:
        """How many replicas should run now."""
        wound_down = {Status.STOPPING, Status.STOPPED, Status.DELETING, Status.DELETED}
        return 0 if self.status in wound_down else self.replicas_wanted

    def scale(self, *, replicas: int, quota: int) -> list[Event]:
        """Ask for another number of replicas. Asking for the present number changes nothing."""
        self._must_stay()
        must_be_within(quota, replicas=replicas)
        if self.status in {Status.STOPPING, Status.STOPPED}:
            raise DeploymentIsStopped
        if replicas == self.replicas_wanted:
            return []
        return [DeploymentScaled(replicas=replicas, previously=self.replicas_wanted)]

    def stop(self) -> list[Event]:
        """Ask for nothing to run. Stopping twice changes nothing."""
        self._must_stay()
        if self.status in {Status.STOPPING, Status.STOPPED}:
            return []
        return [DeploymentStopRequested()]

    def start(self) -> list[Event]:
        """Ask for it to run again. Starting what runs changes nothing."""
        self._must_stay()
        if self.status not in {Status.STOPPING, Status.STOPPED}:
            return []
        return [DeploymentStartRequested()]

    def delete(self) -> list[Event]:
        """Ask for it to disappear. Deleting twice changes nothing."""
        if self.status in {Status.DELETING, Status.DELETED}:
            return []
        return [DeploymentDeletionRequested()]

    def observe(self, reports: Sequence[ReplicaReport], *, problem: str | None) -> list[Event]:
        """Take in what the provisioner found.

        The reports are everything there is of the deployment now. They come at least once, so
        only a difference from what the log knows becomes an event.
        """
        if self.status is Status.DELETED:
            return []
        events = self._replica_changes(reports)
        after = DEPLOYMENT.replay(events, self) or self
        return events + after._status_changes(reports, problem=problem)  # noqa: SLF001 - our own

    def _must_stay(self) -> None:
        if self.status in {Status.DELETING, Status.DELETED}:
            raise DeploymentIsGoing

    def _replica_changes(self, reports: Sequence[ReplicaReport]) -> list[Event]:
        events: list[Event] = []
        seen = {report.replica_id for report in reports}
        for report in reports:
            events += _replica_change(self.replicas.get(report.replica_id), report)
        events += [
            ReplicaStopped(replica_id=replica_id)
            for replica_id in self.replicas
            if replica_id not in seen
        ]
        return events

    def _status_changes(
        self, reports: Sequence[ReplicaReport], *, problem: str | None
    ) -> list[Event]:
        if self.status is Status.STOPPING and not self.replicas:
            return [DeploymentStopped()]
        if self.status is Status.DELETING and not self.replicas:
            return [DeploymentDeleted()]
        if self.target == 0 and self.status not in {Status.SCALING, Status.PENDING}:
            return []
        ready = sum(1 for replica in self.replicas.values() if replica.phase is ReplicaPhase.READY)
        leaving = sum(
            1 for replica in self.replicas.values() if replica.phase is ReplicaPhase.DRAINING
        )
        if ready == self.target and leaving == 0:
            return [] if self.status is Status.RUNNING else [DeploymentBecameHealthy(ready=ready)]
        reason = problem or _first_failure(reports)
        if ready == 0 and reason is not None and reason != self.failure:
            return [DeploymentFailed(reason=reason)]
        return []


def must_be_within(quota: int, *, replicas: int) -> None:
    """Refuse more replicas than the team may run."""
    if replicas > quota:
        raise TooManyReplicas(f"At most {quota} replicas.", quota=quota)


def _replica_change(known: Replica | None, report: ReplicaReport) -> list[Event]:
    gone = report.phase in {ReplicaPhase.STOPPED, ReplicaPhase.FAILED}
    if known is None and gone:
        return []
    events: list[Event] = []
    if known is None:
        known = Replica(revision=report.revision, phase=ReplicaPhase.STARTING)
        events.append(
            ReplicaStarted(
                replica_id=report.replica_id,
                revision=report.revision,
                started_at=report.started_at,
                restarts=report.restarts,
            )
        )
    moved = (known.address, known.port) != (report.address, report.port)
    if report.phase is known.phase and not (moved and report.phase is ReplicaPhase.READY):
        return events
    match report.phase:
        case ReplicaPhase.READY if report.address is not None and report.port is not None:
            events.append(
                ReplicaBecameReady(
                    replica_id=report.replica_id, address=report.address, port=report.port
                )
            )
        case ReplicaPhase.UNHEALTHY:
            events.append(
                ReplicaBecameUnhealthy(replica_id=report.replica_id, reason=report.reason)
            )
        case ReplicaPhase.DRAINING:
            events.append(ReplicaDraining(replica_id=report.replica_id))
        case ReplicaPhase.STOPPED | ReplicaPhase.FAILED:
            events.append(
                ReplicaStopped(
                    replica_id=report.replica_id,
                    exit_code=report.exit_code,
                    reason=report.reason,
                )
            )
        case _:
            pass
    return events


def _first_failure(reports: Sequence[ReplicaReport]) -> str | None:
    for report in reports:
        if report.phase is ReplicaPhase.FAILED and report.reason:
            return report.reason
    return None


def evolve(state: Deployment | None, event: Event) -> Deployment | None:
    """Remember what happened to the deployment."""
    if isinstance(event, DeploymentRequested):
        return Deployment(
            deployment_id=event.deployment_id,
            team_id=event.team_id,
            app_name=event.app_name,
            image=event.image,
            port=event.port,
            environment=event.environment,
            replicas_wanted=event.replicas,
            resources=event.resources,
            health_check=event.health_check,
            registry_auth=event.registry_auth,
        )
    if state is None:
        return None
    return _evolve_wish(state, event) or _evolve_replica(state, event) or state


def _evolve_wish(state: Deployment, event: Event) -> Deployment | None:
    match event:
        case DeploymentScaled():
            state = msgspec.structs.replace(state, replicas_wanted=event.replicas)
            status, failure = Status.SCALING, None
        case DeploymentStopRequested():
            status, failure = Status.STOPPING, None
        case DeploymentStartRequested():
            status, failure = Status.STARTING, None
        case DeploymentDeletionRequested():
            status, failure = Status.DELETING, None
        case DeploymentBecameHealthy():
            status, failure = Status.RUNNING, None
        case DeploymentFailed():
            status, failure = Status.FAILED, event.reason
        case DeploymentStopped():
            status, failure = Status.STOPPED, None
        case DeploymentDeleted():
            status, failure = Status.DELETED, None
        case _:
            return None
    return msgspec.structs.replace(state, status=status, failure=failure)


def _evolve_replica(state: Deployment, event: Event) -> Deployment | None:
    match event:
        case ReplicaStarted():
            replica = Replica(revision=event.revision, phase=ReplicaPhase.STARTING)
        case ReplicaBecameReady() if event.replica_id in state.replicas:
            replica = msgspec.structs.replace(
                state.replicas[event.replica_id],
                phase=ReplicaPhase.READY,
                address=event.address,
                port=event.port,
            )
        case ReplicaBecameUnhealthy() if event.replica_id in state.replicas:
            replica = msgspec.structs.replace(
                state.replicas[event.replica_id], phase=ReplicaPhase.UNHEALTHY
            )
        case ReplicaDraining() if event.replica_id in state.replicas:
            replica = msgspec.structs.replace(
                state.replicas[event.replica_id], phase=ReplicaPhase.DRAINING
            )
        case ReplicaStopped():
            left = {key: seen for key, seen in state.replicas.items() if key != event.replica_id}
            return msgspec.structs.replace(state, replicas=left)
        case _:
            return None
    return msgspec.structs.replace(state, replicas={**state.replicas, event.replica_id: replica})


DEPLOYMENT = Aggregate(name="deployment", state=Deployment, evolve=evolve, snapshot_every=200)
