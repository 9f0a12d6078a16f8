"""What the log knows of a deployment's replicas, and what is new in a report about one."""

from collections.abc import Mapping, Sequence

import msgspec

from domain.deployments.events import (
    ReplicaBecameReady,
    ReplicaBecameUnhealthy,
    ReplicaDraining,
    ReplicaStarted,
    ReplicaStopped,
)
from domain.deployments.values import ReplicaPhase, ReplicaReport
from domain.kernel.events import Event


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """What the log knows of one replica."""

    revision: int
    phase: ReplicaPhase
    address: str | None = None
    port: int | None = None


def replica_changes(
    known: Mapping[str, Replica], reports: Sequence[ReplicaReport], *, restarts: Mapping[str, int]
) -> list[Event]:
    """Return what is new, where the reports are of all replicas that there are."""
    events: list[Event] = []
    for report in reports:
        replica_id = report.replica_id
        events += _change(known.get(replica_id), report, restarts=restarts.get(replica_id, 0))
    gone = known.keys() - {report.replica_id for report in reports}
    events += [ReplicaStopped(replica_id=replica_id) for replica_id in known if replica_id in gone]
    return events


def _change(known: Replica | None, report: ReplicaReport, *, restarts: int) -> list[Event]:
    """Return what is new about one replica, whose start after so many restarts is known.

    One that ends before anybody saw it run is no news, unless it was started again for that.
    """
    gone = report.phase in {ReplicaPhase.STOPPED, ReplicaPhase.FAILED}
    if known is None and gone and report.restarts <= restarts:
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


def evolve_replicas(replicas: Mapping[str, Replica], event: Event) -> dict[str, Replica] | None:
    """Return the replicas after an event; None if it is not about one."""
    match event:
        case ReplicaStarted():
            replica = Replica(revision=event.revision, phase=ReplicaPhase.STARTING)
        case ReplicaBecameReady() if event.replica_id in replicas:
            replica = msgspec.structs.replace(
                replicas[event.replica_id],
                phase=ReplicaPhase.READY,
                address=event.address,
                port=event.port,
            )
        case ReplicaBecameUnhealthy() if event.replica_id in replicas:
            replica = msgspec.structs.replace(
                replicas[event.replica_id], phase=ReplicaPhase.UNHEALTHY
            )
        case ReplicaDraining() if event.replica_id in replicas:
            replica = msgspec.structs.replace(
                replicas[event.replica_id], phase=ReplicaPhase.DRAINING
            )
        case ReplicaStopped():
            return {key: seen for key, seen in replicas.items() if key != event.replica_id}
        case _:
            return None
    return {**replicas, event.replica_id: replica}
