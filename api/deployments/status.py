"""How a deployment is, as seen from its containers."""

from datetime import datetime
from typing import Literal

from api.schemas import Output
from domain.deployments import values
from projections.deployments import DeploymentRow


class Replicas(Output):
    """How many there are."""

    desired: int
    ready: int
    available: int


class ReplicaOut(Output):
    """One replica."""

    id: str
    revision: int
    phase: str
    started_at: datetime | None
    ready_at: datetime | None
    restarts: int
    reason: str | None
    """Why it is unhealthy, or why it failed: with the last lines that it wrote."""


class StatusOut(Output):
    """How a deployment is, as seen from its containers."""

    id: str
    status: str
    health: Literal["healthy", "degraded", "unhealthy", "starting", "stopped"]
    failure: str | None
    replicas: Replicas
    instances: list[ReplicaOut]
    last_health_check: datetime | None
    """When it was last looked how its replicas are; that is noted every ten seconds."""
    uptime: str
    restart_count: int


def status_of(row: DeploymentRow, *, now: datetime, looked_at: datetime | None = None) -> StatusOut:
    """Return how a deployment is."""
    looks = [at for at in (looked_at, row.last_health_change) if at is not None]
    ready = [replica for replica in row.running if replica.phase is values.ReplicaPhase.READY]
    wound_down = {values.Status.STOPPING, values.Status.STOPPED, values.Status.DELETING}
    since = min((replica.ready_at for replica in ready if replica.ready_at), default=None)
    return StatusOut(
        id=row.id,
        status=row.status,
        health=_health(row, len(ready)),
        failure=row.failure,
        replicas=Replicas(
            desired=0 if row.status in wound_down else row.replicas,
            ready=len(ready),
            available=len(ready),
        ),
        instances=[
            ReplicaOut(
                id=replica.id,
                revision=replica.revision,
                phase=replica.phase,
                started_at=replica.started_at,
                ready_at=replica.ready_at,
                restarts=replica.restarts,
                reason=replica.reason,
            )
            for replica in row.running
        ],
        last_health_check=max(looks, default=None),
        uptime=duration_text(int((now - since).total_seconds()) if since else 0),
        restart_count=row.restarts,
    )


def _health(
    row: DeploymentRow, ready: int
) -> Literal["healthy", "degraded", "unhealthy", "starting", "stopped"]:
    if row.status in {values.Status.STOPPED, values.Status.STOPPING, values.Status.DELETING}:
        return "stopped"
    if row.status is values.Status.FAILED:
        return "unhealthy"
    if ready >= row.replicas:
        return "healthy"
    if ready:
        return "degraded"
    return "starting" if row.deployed_at is None else "unhealthy"


def duration_text(seconds: int) -> str:
    """Return a length of time as people write it: `2h 30m 45s`."""
    minutes, seconds = divmod(max(0, seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "m"), (seconds, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number}{unit}" for number, unit in parts)
