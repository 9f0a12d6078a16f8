"""The provisioner: makes the replicas that run the replicas that are wanted.

It is *level-triggered*: it compares what is wanted with what the engine has, and closes the
difference, again and again; a change only wakes it early. So whatever was missed, killed or done by
hand is repaired by the next look. What must be remembered is written on the replicas themselves.

- `plan.py` decides, `observe.py` says what is seen: both pure.
- `reconciler.py` performs, one task per deployment, so that a slow one delays nobody else.
- `health.py` probes, `backoff.py` spaces out what keeps failing, `logs.py` collects the logs,
  `sampler.py` notes what each replica uses.

An old replica goes only when enough new ones serve, by the word of every gateway (`traffic.py`).
It is first reported as *draining*, so that gateways stop sending to it, and stopped when each of
them says that it has no request left there, or after a bound. When the engine, the wishes or the
gateways cannot be read, nothing is done: no answer never means "there is nothing".
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from domain.deployments.values import HealthCheck, ReplicaReport, Resources
from infrastructure.containers import RegistryAuth, ReplicaSpec, Source
from infrastructure.containers import Resources as ReplicaResources


class DesiredDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment as it is wanted."""

    deployment_id: str
    team_id: str
    app_name: str
    image: str
    port: int
    env: Mapping[str, str]
    """Secrets opened: never log this."""
    replicas: int
    """How many should run now: 0 for a stopped one, and for one that is being deleted."""
    revision: int
    """Grows when image, environment or resources change."""
    version: int = 0
    """How many events the deployment has, as far as this was read from them."""
    resources: Resources = Resources()
    health_check: HealthCheck | None = None
    registry_auth: RegistryAuth | None = None
    phase: str = ""
    """What the view says of it now. A ``stopped`` one is not reported again at each start."""

    def replica_id(self, number: int) -> str:
        """Return the id of the replica with this number, counted from 1."""
        return f"{self.deployment_id}-{self.revision}-{number}"

    def replica(self, number: int) -> ReplicaSpec:
        """Return what the replica with this number should be."""
        return ReplicaSpec(
            replica_id=self.replica_id(number),
            deployment_id=self.deployment_id,
            team_id=self.team_id,
            app_name=self.app_name,
            revision=self.revision,
            image=self.image,
            port=self.port,
            env=self.env,
            resources=ReplicaResources(
                cpu_millis=self.resources.cpu_millis,
                memory_bytes=self.resources.memory_bytes,
                storage_bytes=self.resources.storage_bytes,
                pids=self.resources.pids,
            ),
            registry_auth=self.registry_auth,
            own_check=self.health_check is not None and self.health_check.kind == "image",
        )

    def __repr__(self) -> str:
        """Name the deployment, never its environment."""
        return f"DesiredDeployment({self.deployment_id!r}, replicas={self.replicas})"


class DeploymentObservation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything there is of one deployment now."""

    replicas: tuple[ReplicaReport, ...] = ()
    problem: str | None = None
    """Why it is not as it should be, in words for its owner; None when nothing is wrong."""
    in_rotation: bool = True
    """Whether every gateway sends requests to each wanted replica that is ready."""
    hopeless_revision: int | None = None
    """The wanted revision, when it was tried often enough to say that it will not come up."""


class CollectedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line that a replica wrote. Replica, time and ordinal together are its identity."""

    deployment_id: str
    team_id: str
    replica_id: str
    timestamp_ns: int
    ordinal: int
    source: Source
    level: str
    message: str


class DesiredState(Protocol):
    """What is wanted."""

    async def read(self) -> Sequence[DesiredDeployment]:
        """Return all deployments.

        One that is being deleted is included, with 0 replicas, until nothing of it was reported.
        Raises when the answer may be incomplete (a view that is being rebuilt): a deployment that
        is missing here loses its replicas after a while.
        """
        ...

    async def wait_for_change(self, timeout_seconds: float) -> None:
        """Return when something may have changed, or after the time."""
        ...


class Reports(Protocol):
    """Where observations go."""

    async def report(self, deployment_id: str, observation: DeploymentObservation) -> None:
        """Take the observation; the same one may come again, and changes nothing then."""
        ...


class LogSink(Protocol):
    """Where collected lines go."""

    async def write(self, lines: Sequence[CollectedLine]) -> None:
        """Store the lines; the same ones may come again."""
        ...


class ProvisionerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All limits of the provisioner."""

    interval_seconds: float = 1.0
    """Longest time between two looks."""
    drain_seconds: float = 30.0
    """How long a draining replica's requests are waited for, at most, before it is stopped."""
    stop_grace_seconds: float = 10.0
    """Between SIGTERM and SIGKILL."""
    startup_seconds: float = 60.0
    """How long a replica may take to become ready before it is started again."""
    unhealthy_seconds: float = 60.0
    """How long a replica may fail its health check in a row before it is started again."""
    stable_seconds: float = 60.0
    """A replica that ran this long before it ended did not end in a crash loop."""
    orphan_seconds: float = 30.0
    """How long replicas of an unknown deployment are left alone."""
    engine_problem_seconds: float = 5.0
    """How long the engine may be silent before deployments report it."""
    log_wait_seconds: float = 2.0
    """How long the last lines of a replica are waited for before it is removed."""
    decision_seconds_max: float = 60.0
    """How old what was seen may be when something is done about it: who was frozen looks anew."""
    concurrency: int = 32
    """How many replicas are started at the same time, and how many are ended."""
    tail_lines: int = 10
    """How many last lines a crash report shows."""
