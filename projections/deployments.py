"""The deployments as their owners see them."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from domain.deployments.events import (
    DeploymentBecameHealthy,
    DeploymentDeleted,
    DeploymentDeletionRequested,
    DeploymentFailed,
    DeploymentRequested,
    DeploymentRestarted,
    DeploymentRolledBack,
    DeploymentScaled,
    DeploymentStartRequested,
    DeploymentStopped,
    DeploymentStopRequested,
    DeploymentTransferred,
    DeploymentUpdated,
    ReplicaBecameReady,
    ReplicaBecameUnhealthy,
    ReplicaDraining,
    ReplicaStarted,
    ReplicaStopped,
    RevisionBecameLive,
    RevisionFailed,
    RevisionResolved,
)
from domain.deployments.values import (
    Blueprint,
    HealthCheck,
    ReplicaPhase,
    Resources,
    Status,
    Visibility,
)
from domain.kernel.events import Event
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Listing, Page, Reader, Window
from projections.tables import Connection
from projections.view import Change, View


class ReplicaRow(msgspec.Struct, frozen=True, kw_only=True):
    """One replica inside a deployment's row."""

    id: str
    phase: ReplicaPhase
    revision: int = 1
    started_at: datetime | None = None
    ready_at: datetime | None = None
    address: str | None = None
    port: int | None = None
    restarts: int = 0
    reason: str | None = None
    """Why it is unhealthy, or why it failed."""


class DeploymentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment, without any secret value."""

    id: str
    team_id: str
    app_name: str
    image: str
    status: Status
    port: int
    replicas: int
    environment_names: tuple[str, ...]
    resources: Resources
    health_check: HealthCheck | None
    visibility: Visibility
    created_at: datetime
    updated_at: datetime
    version: int
    """How many events it has; the entity tag."""
    deployed_at: datetime | None = None
    failure: str | None = None
    revision: int = 1
    live_revision: int | None = None
    """The one whose replicas serve, until a newer one does."""
    image_digest: str | None = None
    running: tuple[ReplicaRow, ...] = ()
    restarts: int = 0
    """How often a replica was started again because it had ended or stopped being healthy."""
    last_health_change: datetime | None = None


_STATUS_AFTER: dict[type[Event], Status] = {
    DeploymentScaled: Status.SCALING,
    DeploymentStopRequested: Status.STOPPING,
    DeploymentStartRequested: Status.STARTING,
    DeploymentDeletionRequested: Status.DELETING,
    DeploymentBecameHealthy: Status.RUNNING,
    DeploymentFailed: Status.FAILED,
    DeploymentStopped: Status.STOPPED,
}

_REVISING = (
    DeploymentUpdated,
    DeploymentRestarted,
    DeploymentRolledBack,
    DeploymentTransferred,
    RevisionBecameLive,
    RevisionFailed,
    RevisionResolved,
)

_EVENTS: tuple[type[Event], ...] = (
    DeploymentRequested,
    *_STATUS_AFTER,
    *_REVISING,
    ReplicaStarted,
    ReplicaBecameReady,
    ReplicaBecameUnhealthy,
    ReplicaDraining,
    ReplicaStopped,
    DeploymentDeleted,
)


def deployment_changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    """Return the one deployment that the event is about, if it is about one."""
    return [((recorded.stream_id,), event)] if isinstance(event, _EVENTS) else []


def fold_deployment(
    row: DeploymentRow | None, event: Event, recorded: RecordedEvent
) -> DeploymentRow | None:
    """Return the row after an event that is about it."""
    if isinstance(event, DeploymentRequested):
        return _requested(event, recorded)
    if row is None or isinstance(event, DeploymentDeleted):
        return None
    at = recorded.recorded_at
    row = msgspec.structs.replace(row, version=recorded.version)
    if isinstance(event, _REVISING):
        return _revise(row, event, at)
    status = _STATUS_AFTER.get(type(event))
    if status is None:
        return _replica(row, event, at)
    return msgspec.structs.replace(
        row,
        status=status,
        updated_at=at,
        replicas=event.replicas if isinstance(event, DeploymentScaled) else row.replicas,
        failure=event.reason if isinstance(event, DeploymentFailed) else None,
        deployed_at=row.deployed_at or (at if status is Status.RUNNING else None),
        running=row.running if status is Status.FAILED else _without_failed(row),
    )


def _without_failed(row: DeploymentRow) -> tuple[ReplicaRow, ...]:
    """Return the replicas there are: why some failed is no longer of interest."""
    return tuple(each for each in row.running if each.phase is not ReplicaPhase.FAILED)


def _revise(row: DeploymentRow, event: Event, at: datetime) -> DeploymentRow:
    change = msgspec.structs.replace
    match event:
        case DeploymentUpdated():
            scaled = event.replicas != row.replicas
            row = _with_blueprint(row, event.blueprint)
            row = change(row, replicas=event.replicas, visibility=event.visibility, updated_at=at)
            if event.revision != event.previously:
                return _begun(row, event.revision)
            return _standing(row, Status.SCALING) if scaled else row
        case DeploymentRestarted() | DeploymentTransferred():
            if isinstance(event, DeploymentTransferred):
                row = change(row, team_id=event.team_id)
            return _begun(change(row, updated_at=at), event.revision)
        case DeploymentRolledBack():
            row = change(_with_blueprint(row, event.blueprint), updated_at=at)
            return _begun(row, event.revision)
        case RevisionBecameLive():
            return change(row, live_revision=event.revision, image_digest=event.image_digest)
    return row


def _begun(row: DeploymentRow, revision: int) -> DeploymentRow:
    row = msgspec.structs.replace(row, revision=revision, running=_without_failed(row))
    return _standing(row, Status.UPDATING)


def _standing(row: DeploymentRow, status: Status) -> DeploymentRow:
    """Change the status of what runs; what is stopped stays stopped."""
    if row.status in {Status.STOPPING, Status.STOPPED}:
        return row
    return msgspec.structs.replace(row, status=status, failure=None)


def _with_blueprint(row: DeploymentRow, blueprint: Blueprint) -> DeploymentRow:
    return msgspec.structs.replace(
        row,
        image=blueprint.image,
        port=blueprint.port,
        environment_names=tuple(sorted(blueprint.environment)),
        resources=blueprint.resources,
        health_check=blueprint.health_check,
    )


def _requested(event: DeploymentRequested, recorded: RecordedEvent) -> DeploymentRow:
    return DeploymentRow(
        id=event.deployment_id,
        team_id=event.team_id,
        app_name=event.app_name,
        image=event.image,
        status=Status.PENDING,
        port=event.port,
        replicas=event.replicas,
        environment_names=tuple(sorted(event.environment)),
        resources=event.resources,
        health_check=event.health_check,
        visibility=event.visibility,
        created_at=recorded.recorded_at,
        updated_at=recorded.recorded_at,
        version=recorded.version,
    )


def _replica(row: DeploymentRow, event: Event, at: datetime) -> DeploymentRow:
    running = {replica.id: replica for replica in row.running}
    restarts = row.restarts
    change = msgspec.structs.replace
    match event:
        case ReplicaStarted():
            before = running.get(event.replica_id)
            if event.restarts:
                restarts += max(1, event.restarts - before.restarts) if before else 1
            running[event.replica_id] = ReplicaRow(
                id=event.replica_id,
                phase=ReplicaPhase.STARTING,
                revision=event.revision,
                started_at=event.started_at or at,
                restarts=event.restarts,
            )
        case ReplicaBecameReady() if event.replica_id in running:
            running[event.replica_id] = change(
                running[event.replica_id],
                phase=ReplicaPhase.READY,
                ready_at=at,
                address=event.address,
                port=event.port,
                reason=None,
            )
        case ReplicaBecameUnhealthy() if event.replica_id in running:
            running[event.replica_id] = change(
                running[event.replica_id],
                phase=ReplicaPhase.UNHEALTHY,
                ready_at=None,
                reason=event.reason,
            )
        case ReplicaDraining() if event.replica_id in running:
            running[event.replica_id] = change(
                running[event.replica_id], phase=ReplicaPhase.DRAINING
            )
        case ReplicaStopped():
            gone = running.pop(event.replica_id, None)
            if event.reason and gone is not None and gone.phase is not ReplicaPhase.DRAINING:
                running[gone.id] = change(
                    gone, phase=ReplicaPhase.FAILED, ready_at=None, reason=event.reason
                )
    return change(row, running=tuple(running.values()), restarts=restarts, last_health_change=at)


DEPLOYMENTS = View(
    name="deployments",
    version=5,
    topic=Topic.EVENTS,
    row=DeploymentRow,
    key=("id",),
    changes=deployment_changes,
    fold=fold_deployment,
    indexes=("team_id, created_at, id", "UNIQUE app_name"),
)


async def read_versions(connection: Connection) -> list[tuple[str, int]]:
    """Return id and version of every deployment that is not gone, oldest first."""
    cursor = await connection.execute(
        "SELECT id, version FROM views.deployments ORDER BY created_at, id"
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


DEPLOYMENT_LISTING = Listing(
    sorts={"createdAt": "created_at", "updatedAt": "updated_at", "appName": "app_name"},
    sort_default="-createdAt",
    id_column="id",
    kinds=DEPLOYMENTS.columns,
)


async def deployment_by_id(
    reader: Reader, deployment_id: str, *, team_ids: Sequence[str]
) -> DeploymentRow | None:
    """Return one of these teams' deployments."""
    return await reader.row(
        DeploymentRow,
        "SELECT * FROM views.deployments WHERE id = %s AND team_id = ANY(%s)",
        deployment_id,
        list(team_ids),
    )


async def list_deployments(
    reader: Reader,
    window: Window,
    *,
    team_ids: Sequence[str],
    status: Status | None,
    app_name: str | None = None,
) -> Page[DeploymentRow]:
    """Return these teams' deployments, those of one status or name if told so."""
    return await reader.page(
        DeploymentRow,
        "SELECT * FROM views.deployments"
        " WHERE team_id = ANY(%s) AND (%s::text IS NULL OR status = %s)"
        " AND (%s::text IS NULL OR app_name = %s)",
        list(team_ids),
        status,
        status,
        app_name,
        app_name,
        listing=DEPLOYMENT_LISTING,
        window=window,
    )


async def count_deployments(reader: Reader, *, team_ids: Sequence[str]) -> int:
    """Return how many deployments these teams have."""
    return await reader.number(
        "SELECT count(*) FROM views.deployments WHERE team_id = ANY(%s)", list(team_ids)
    )


async def is_there(reader: Reader, deployment_id: str) -> bool:
    """Tell whether anything is left of a deployment."""
    return bool(
        await reader.number("SELECT count(*) FROM views.deployments WHERE id = %s", deployment_id)
    )


def as_of(events: Iterable[tuple[object, RecordedEvent]]) -> DeploymentRow | None:
    """Return the row that these first events of one deployment make."""
    row: DeploymentRow | None = None
    for event, recorded in events:
        for _, change in deployment_changes(event, recorded):
            row = fold_deployment(row, change, recorded)
    return row
