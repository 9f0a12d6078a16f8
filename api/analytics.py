"""Analytics: what was called and how it went, from ClickHouse."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.answers import respond
from api.guard import GuardedRoute
from api.moments import SpanQuery, span
from api.openapi import refusals
from api.requests import Read, reading
from api.schemas import Output, Text
from projections.analytics import NAME
from projections.analytics.queries import Totals as Counted

router = APIRouter(route_class=GuardedRoute, prefix="/v1/analytics", tags=["Analytics"])

SPAN_DEFAULT = timedelta(days=1)


class OverviewQuery(SpanQuery):
    """Which requests."""

    deployment_id: Annotated[Text, Field(max_length=40)] = ""
    key_id: Annotated[Text, Field(max_length=40)] = ""


class Latency(Output):
    """Milliseconds at the gateway, of billable requests."""

    p50: float
    p95: float
    p99: float


class Totals(Output):
    """Counts over some requests."""

    requests: int
    billable: int
    """Those that passed every check and were handed to a replica."""
    errors: int
    """Answered with 500 or above."""
    client_errors: int
    error_rate: float
    client_error_rate: float
    bytes_in: int
    bytes_out: int
    latency: Latency | None


class Endpoint(Output):
    """One method and path."""

    method: str
    path: str
    totals: Totals


class Overview(Output):
    """A span of time in numbers."""

    start: Annotated[datetime, Field(alias="from")]
    end: Annotated[datetime, Field(alias="to")]
    totals: Totals
    by_status: dict[str, int]
    by_class: dict[str, int]
    top_endpoints: list[Endpoint]


@router.get("/overview", response_model=Overview, responses=refusals(401, 403, 404))
async def overview(
    query: Annotated[OverviewQuery, Query()], read: Annotated[Read, reading(NAME)]
) -> Response:
    """Show the last day, or another span, in numbers."""
    team_id = read.team_id("analytics:read", named=query.team_id)
    now = read.services.clock()
    asked = span(query, now=now, start=now - SPAN_DEFAULT)
    found = await read.services.analytics.overview(
        team_id,
        asked.start,
        asked.end,
        deployment_id=query.deployment_id,
        key_id=query.key_id,
    )
    return respond(
        Overview(
            start=asked.start,
            end=asked.end,
            totals=_totals(found.totals),
            by_status={str(status): count for status, count in found.by_status.items()},
            by_class=dict(found.by_class),
            top_endpoints=[
                Endpoint(method=each.method, path=each.path, totals=_totals(each.totals))
                for each in found.top_endpoints
            ],
        )
    )


def _totals(counted: Counted) -> Totals:
    latency = counted.latency
    return Totals(
        requests=counted.requests,
        billable=counted.billable,
        errors=counted.errors,
        client_errors=counted.client_errors,
        error_rate=counted.error_rate,
        client_error_rate=counted.client_error_rate,
        bytes_in=counted.bytes_in,
        bytes_out=counted.bytes_out,
        latency=Latency(p50=latency.p50, p95=latency.p95, p99=latency.p99) if latency else None,
    )
