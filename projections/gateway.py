"""What the gateway has to know: who may call what, and where the replicas are.

The gateway's agent reads these three tables and keeps HAProxy equal to them. A revoked key, a
deleted deployment and a domain that is not verified are simply not there; a replica that leaves is
named until it has gone, so that the gateway can say when it is idle.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.api_keys.events import ApiKeyCreated, ApiKeyRevoked
from domain.api_keys.values import fields_after
from domain.custom_domains.events import (
    DomainFailed,
    DomainMoved,
    DomainRemoved,
    DomainVerified,
)
from domain.deployments.events import (
    DeploymentDeleted,
    DeploymentDeletionRequested,
    DeploymentRequested,
    DeploymentStopRequested,
    DeploymentTransferred,
    DeploymentUpdated,
    ReplicaBecameReady,
    ReplicaBecameUnhealthy,
    ReplicaDraining,
    ReplicaStopped,
)
from domain.deployments.values import Visibility
from domain.kernel.events import Event
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.api_keys import key_changes
from projections.deployments import deployment_changes
from projections.view import Change, View


class ReplicaAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a ready replica takes requests."""

    id: str
    address: str
    port: int


class RouteRow(msgspec.Struct, frozen=True, kw_only=True):
    """A name under which something can be called."""

    deployment_id: str
    team_id: str
    app_name: str
    visibility: Visibility
    replicas: tuple[ReplicaAddress, ...] = ()
    draining: tuple[str, ...] = ()
    """Replicas that get no new request, until they have stopped."""
    is_open: bool = True
    """False once it is being deleted: then its name leads nowhere."""
    version: int
    """How many of the deployment's events are in here."""


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """A verified domain: another name of a deployment."""

    name: str
    domain_id: str
    deployment_id: str


class GatewayKeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key that opens something, with either of its secrets."""

    key_id: str
    team_id: str
    secret_hash: str
    retiring_hash: str | None = None
    """Of the secret before, which opens the same until `retiring_until`."""
    retiring_until: datetime | None = None
    scopes: tuple[str, ...]
    requests_per_minute: int
    expires_at: datetime | None
    allowed_cidrs: tuple[str, ...] = ()


def _fold_route(row: RouteRow | None, event: Event, recorded: RecordedEvent) -> RouteRow | None:
    if isinstance(event, DeploymentRequested):
        return RouteRow(
            deployment_id=event.deployment_id,
            team_id=event.team_id,
            app_name=event.app_name,
            visibility=event.visibility,
            version=recorded.version,
        )
    if row is None or isinstance(event, DeploymentDeleted):
        return None
    row = msgspec.structs.replace(row, version=recorded.version)
    match event:
        case DeploymentUpdated():
            return msgspec.structs.replace(row, visibility=event.visibility)
        case DeploymentTransferred():
            return msgspec.structs.replace(row, team_id=event.team_id)
        case _:
            return _with_replicas(row, event)


def _with_replicas(row: RouteRow, event: Event) -> RouteRow:
    ready = {replica.id: replica for replica in row.replicas}
    draining = dict.fromkeys(row.draining)
    match event:
        case ReplicaBecameReady():
            ready[event.replica_id] = ReplicaAddress(
                id=event.replica_id, address=event.address, port=event.port
            )
            draining.pop(event.replica_id, None)
        case ReplicaBecameUnhealthy():
            ready.pop(event.replica_id, None)
        case ReplicaDraining():
            ready.pop(event.replica_id, None)
            draining[event.replica_id] = None
        case ReplicaStopped():
            ready.pop(event.replica_id, None)
            draining.pop(event.replica_id, None)
        case DeploymentStopRequested() | DeploymentDeletionRequested():
            draining.update(dict.fromkeys(ready))
            ready.clear()
    return msgspec.structs.replace(
        row,
        replicas=tuple(ready.values()),
        draining=tuple(draining),
        is_open=row.is_open and not isinstance(event, DeploymentDeletionRequested),
    )


ROUTES = View(
    name="gateway_routes",
    version=5,
    topic=Topic.EVENTS,
    row=RouteRow,
    key=("deployment_id",),
    changes=deployment_changes,
    fold=_fold_route,
)


def _host_changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, DomainVerified | DomainFailed | DomainMoved | DomainRemoved):
        return [((event.name,), event)]
    return []


def _fold_host(row: HostRow | None, event: Event, recorded: RecordedEvent) -> HostRow | None:
    if isinstance(event, DomainVerified):
        return HostRow(
            name=event.name, domain_id=recorded.stream_id, deployment_id=event.deployment_id
        )
    is_its_own = row is not None and row.domain_id == recorded.stream_id
    if isinstance(event, DomainMoved):
        if row is None or not is_its_own:
            return row  # it does not lead anywhere yet
        return msgspec.structs.replace(row, deployment_id=event.deployment_id)
    # A name that went over to another domain stays, whichever of the two facts comes first.
    return None if is_its_own else row


HOSTS = View(
    name="gateway_hosts",
    version=1,
    topic=Topic.EVENTS,
    row=HostRow,
    key=("name",),
    changes=_host_changes,
    fold=_fold_host,
)


def _fold_key(row: GatewayKeyRow | None, event: Event, _: RecordedEvent) -> GatewayKeyRow | None:
    if isinstance(event, ApiKeyCreated):
        return GatewayKeyRow(
            key_id=event.key_id,
            team_id=event.team_id,
            secret_hash=event.secret_hash,
            scopes=event.scopes,
            requests_per_minute=event.requests_per_minute,
            expires_at=event.expires_at,
            allowed_cidrs=event.allowed_cidrs,
        )
    if row is None or isinstance(event, ApiKeyRevoked):
        return None
    changed = fields_after(row, event)
    return msgspec.structs.replace(
        row, **{name: changed[name] for name in changed.keys() & set(row.__struct_fields__)}
    )


KEYS = View(
    name="gateway_keys",
    version=2,
    topic=Topic.EVENTS,
    row=GatewayKeyRow,
    key=("key_id",),
    changes=key_changes,
    fold=_fold_key,
)
