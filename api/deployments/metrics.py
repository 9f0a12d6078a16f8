"""What a deployment uses and how its requests go, as series over a span of time."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.answers import respond
from api.deployments.finding import their_deployment
from api.deployments.shapes import DeploymentId
from api.guard import GuardedRoute
from api.moments import TimesQuery, span
from api.openapi import refusals
from api.requests import Read, reading
from api.schemas import Output
from projections.analytics.queries import Point as Counted
from projections.analytics.queries import Resolution, finest, points_between
from projections.analytics.samples import Used, UsedNow

router = APIRouter(route_class=GuardedRoute, prefix="/v1/deployments", tags=["Deployments"])

SPAN_DEFAULT = timedelta(hours=1)
POINTS_MAX = 1_500


class MetricsQuery(TimesQuery):
    """Which span, and how fine."""

    resolution: Resolution | None = None
    """What one point stands for; the finest with at most 1,500 points, unless given."""


class Point(Output):
    """One point of a series."""

    timestamp: datetime
    """Where the point begins."""
    value: float | None
    """null where there was nothing to measure: no replica, no request."""


class Series(Output):
    """One point after the other, without a gap."""

    cpu: list[Point]
    """Thousandths of a processor used by all replicas together, on average: 250 is a quarter."""
    memory: list[Point]
    """Bytes held by all replicas together, on average."""
    network_in: list[Point]
    """Bytes received; null where replicas are processes without a network of their own."""
    network_out: list[Point]
    requests: list[Point]
    """Every request the gateway answered, refused ones included."""
    errors: list[Point]
    """Those answered with 500 or above."""
    latency_p50: list[Point]
    """Milliseconds at the gateway, of billable requests: half of them took less."""
    latency_p95: list[Point]
    latency_p99: list[Point]


class ReplicaUsage(Output):
    """What one replica uses now: its newest sample, of the last 90 seconds."""

    id: str
    timestamp: datetime
    cpu: float
    memory: int
    network_in: int | None
    """Bytes received since the sample before."""
    network_out: int | None


class Metrics(Output):
    """A span of time in series, and the replicas as they are now."""

    start: Annotated[datetime, Field(alias="from")]
    end: Annotated[datetime, Field(alias="to")]
    resolution: Resolution
    metrics: Series
    replicas: list[ReplicaUsage]


@router.get("/{deployment_id}/metrics", response_model=Metrics, responses=refusals(401, 403, 404))
async def metrics(
    deployment_id: DeploymentId,
    query: Annotated[MetricsQuery, Query()],
    read: Annotated[Read, reading("deployments")],
) -> Response:
    """Show what it used and how its requests went, in the last hour or another span."""
    row = await their_deployment(read, deployment_id, "analytics:read")
    now = read.services.clock()
    asked = span(query, now=now, start=now - SPAN_DEFAULT)
    resolution = query.resolution or finest(asked.start, asked.end, POINTS_MAX)
    times = points_between(asked.start, asked.end, resolution, points_max=POINTS_MAX)
    samples = read.services.samples
    used, counted, replicas = await asyncio.gather(
        samples.series(row.id, team_id=row.team_id, start=asked.start, end=asked.end, times=times),
        read.services.analytics.series(
            row.team_id, asked.start, asked.end, resolution, deployment_id=row.id
        ),
        samples.newest(row.id, team_id=row.team_id, now=now),
    )
    running = {replica.id for replica in row.running}
    return respond(
        Metrics(
            start=asked.start,
            end=asked.end,
            resolution=resolution,
            metrics=_series(times, used, counted),
            replicas=[_replica(each) for each in replicas if each.replica_id in running],
        )
    )


def _series(times: range, used: list[Used], counted: list[Counted]) -> Series:
    moments = [datetime.fromtimestamp(at, UTC) for at in times]
    totals = [point.totals for point in counted]
    latencies = [each.latency for each in totals]

    def points(values: Iterable[float | None]) -> list[Point]:
        return [Point(timestamp=at, value=value) for at, value in zip(moments, values, strict=True)]

    return Series(
        cpu=points(each.cpu_millis for each in used),
        memory=points(each.memory_bytes for each in used),
        network_in=points(each.network_in_bytes for each in used),
        network_out=points(each.network_out_bytes for each in used),
        requests=points(each.requests for each in totals),
        errors=points(each.errors for each in totals),
        latency_p50=points(each.p50 if each else None for each in latencies),
        latency_p95=points(each.p95 if each else None for each in latencies),
        latency_p99=points(each.p99 if each else None for each in latencies),
    )


def _replica(used: UsedNow) -> ReplicaUsage:
    return ReplicaUsage(
        id=used.replica_id,
        timestamp=datetime.fromtimestamp(used.at, UTC),
        cpu=used.cpu_millis,
        memory=used.memory_bytes,
        network_in=used.network_in_bytes,
        network_out=used.network_out_bytes,
    )
