"""The facts of a deployment's life, in the order they happen."""

from datetime import datetime

from domain.deployments.values import (
    Blueprint,
    Capacity,
    HealthCheck,
    Quota,
    RegistryAuth,
    Resources,
    Visibility,
)
from domain.kernel.events import Event, SealedText


class DeploymentRequested(Event, frozen=True, kw_only=True):
    """Somebody wants this image to run under this name."""

    deployment_id: str
    team_id: str
    app_name: str
    image: str
    image_digest: str | None = None
    port: int
    environment: dict[str, SealedText] = {}
    replicas: int = 1
    resources: Resources = Resources()
    health_check: HealthCheck | None = None
    registry_auth: RegistryAuth | None = None
    visibility: Visibility = "private"
    requested_by: str


class DeploymentScaled(Event, frozen=True, kw_only=True):
    """Another number of replicas is wanted."""

    replicas: int
    previously: int


class DeploymentUpdated(Event, frozen=True, kw_only=True):
    """Something else shall run, or the same in another way.

    The revision is a new one if the blueprint changed, else the present one.
    """

    revision: int
    previously: int
    blueprint: Blueprint
    replicas: int
    visibility: Visibility
    updated_by: str


class DeploymentRestarted(Event, frozen=True, kw_only=True):
    """The same shall run afresh: a new revision with the old blueprint."""

    revision: int
    previously: int
    image: str
    image_digest: str | None = None
    restarted_by: str


class DeploymentRolledBack(Event, frozen=True, kw_only=True):
    """What ran before shall run again.

    On somebody's wish it is a new revision. When a revision failed, the last one that was live
    simply goes on: its replicas are still there.
    """

    revision: int
    previously: int
    to_revision: int
    blueprint: Blueprint
    rolled_back_by: str
    reason: str | None = None


class DeploymentTransferred(Event, frozen=True, kw_only=True):
    """It belongs to another team from now on, and runs anew there: a new revision.

    The blueprint is sealed with that team's key. What ran before it cannot be gone back to.
    """

    team_id: str
    from_team_id: str
    revision: int
    previously: int
    blueprint: Blueprint
    transferred_by: str


class RevisionResolved(Event, frozen=True, kw_only=True):
    """The engine told which image the revision's name stands for, as no registry had told it."""

    revision: int
    image_digest: str


class RevisionBecameLive(Event, frozen=True, kw_only=True):
    """Every wanted replica of the revision is ready for the first time."""

    revision: int
    image_digest: str | None = None


class RevisionFailed(Event, frozen=True, kw_only=True):
    """The revision could not be brought up."""

    revision: int
    reason: str


class DeploymentStopRequested(Event, frozen=True, kw_only=True):
    """Nothing of it shall run, but it is kept."""


class DeploymentStartRequested(Event, frozen=True, kw_only=True):
    """It shall run again."""


class DeploymentDeletionRequested(Event, frozen=True, kw_only=True):
    """It shall disappear: first its containers, then its name."""


class ReplicaStarted(Event, frozen=True, kw_only=True):
    """A container or process of the deployment is there; it takes no requests yet."""

    replica_id: str
    revision: int
    started_at: datetime | None = None
    restarts: int = 0


class ReplicaBecameReady(Event, frozen=True, kw_only=True):
    """The replica passed its health check: requests may go to this address."""

    replica_id: str
    address: str
    port: int


class ReplicaBecameUnhealthy(Event, frozen=True, kw_only=True):
    """The replica fails its health check: no more requests for it."""

    replica_id: str
    reason: str | None = None


class ReplicaDraining(Event, frozen=True, kw_only=True):
    """The replica will stop: no new requests for it, the running ones may end."""

    replica_id: str


class ReplicaStopped(Event, frozen=True, kw_only=True):
    """The replica is gone."""

    replica_id: str
    exit_code: int | None = None
    reason: str | None = None


class DeploymentBecameHealthy(Event, frozen=True, kw_only=True):
    """Every wanted replica is ready."""

    ready: int


class DeploymentFailed(Event, frozen=True, kw_only=True):
    """The replicas cannot be kept up. The provisioner goes on trying."""

    reason: str


class DeploymentStopped(Event, frozen=True, kw_only=True):
    """The last replica is gone, as wanted."""


class DeploymentDeleted(Event, frozen=True, kw_only=True):
    """The last replica is gone, and so is the deployment. Its name is free again."""


class CapacityAllotted(Event, frozen=True, kw_only=True):
    """The deployment takes this much of its team's quota from now on, instead of what it took.

    In the stream of the team's quota, in the append of the change that needs it.
    """

    team_id: str
    deployment_id: str
    capacity: Capacity


class CapacityFreed(Event, frozen=True, kw_only=True):
    """The deployment is gone, or another team's, and takes nothing of the quota any more."""

    team_id: str
    deployment_id: str


class TeamQuotaChanged(Event, frozen=True, kw_only=True):
    """The team has limits of its own. What is None here is as for everybody."""

    team_id: str
    deployments: int | None = None
    replicas: int | None = None
    cpu_millis: int | None = None
    memory_bytes: int | None = None

    @property
    def limits(self) -> dict[str, int]:
        """The limits that are the team's own, by the names of `Quota`."""
        return {
            name: amount
            for name in Quota.__struct_fields__
            if (amount := getattr(self, name)) is not None
        }
