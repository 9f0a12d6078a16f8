"""Analytics: what was called and how it went, from ClickHouse."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.answers import respond
from api.guard import GuardedRoute
from api.lists import Pagination, TeamPageQuery, pagination_of, sorted_by, window_of
from api.moments import SpanQuery, TimesQuery, span
from api.openapi import refusals
from api.requests import Read, reading
from api.schemas import Output, Text
from projections.analytics import NAME
from projections.analytics.queries import REQUEST_LISTING, Resolution, ServedRequest, Sought
from projections.analytics.queries import Totals as Counted

router = APIRouter(route_class=GuardedRoute, prefix="/v1/analytics", tags=["Analytics"])

SPAN_DEFAULT = timedelta(days=1)


class OverviewQuery(SpanQuery):
    """Which requests."""

    deployment_id: Annotated[Text, Field(max_length=40)] = ""
    key_id: Annotated[Text, Field(max_length=40)] = ""
    resolution: Resolution | None = None
    """Show also how it went over time, in points that stand for so long."""


class RequestPoint(Output):
    """What came in a part of the span."""

    timestamp: datetime
    """Where the part begins."""
    requests: int
    errors: int
    """Answered with 500 or above."""


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
    points: list[RequestPoint] | None
    """One after the other, without a gap; null unless a resolution is given."""


class RequestsQuery(TeamPageQuery, TimesQuery):
    """Which requests. Sorted by `time` or `totalMs`."""

    deployment_id: Annotated[Text, Field(max_length=40)] = ""
    key_id: Annotated[Text, Field(max_length=40)] = ""
    request_id: Annotated[Text, Field(max_length=128)] = ""
    """The one that was answered with this `X-Request-Id`."""
    method: Annotated[str, Field(max_length=20, pattern="^[A-Z]*$")] = ""
    path: Annotated[Text, Field(max_length=1024)] = ""
    """How it begins."""
    status: Annotated[str, Field(pattern="^(|[1-5]([0-9]{2}|xx))$", examples=["5xx"])] = ""
    """One, such as `404`, or all of a kind, such as `5xx`."""


class RequestOut(Output):
    """One request that the gateway answered."""

    time: datetime
    """When it arrived."""
    request_id: str
    deployment_id: str | None
    key_id: str | None
    method: str
    path: str
    """Without the query, which is never written down."""
    status: int
    billable: bool
    """It passed every check and was handed to a replica."""
    refused: str | None
    """Why the gateway itself refused it, if it did."""
    bytes_in: int
    bytes_out: int
    total_ms: int
    upstream_ms: int | None
    """How long the replica took; null when none answered."""
    address: str | None
    """As much of the caller's address as is written down."""


class Requests(Output):
    """A part of the requests, the newest first."""

    requests: list[RequestOut]
    pagination: Pagination


@router.get("/overview", response_model=Overview, responses=refusals(401, 403, 404))
async def overview(
    query: Annotated[OverviewQuery, Query()], read: Annotated[Read, reading(NAME)]
) -> Response:
    """Show the last day, or another span, in numbers."""
    team_id = read.team_id("analytics:read", named=query.team_id)
    now = read.services.clock()
    asked = span(query, now=now, start=now - SPAN_DEFAULT)
    analytics = read.services.analytics
    whose = {"deployment_id": query.deployment_id, "key_id": query.key_id}
    found = await analytics.overview(team_id, asked.start, asked.end, **whose)
    points = None
    if query.resolution is not None:
        series = await analytics.series(team_id, asked.start, asked.end, query.resolution, **whose)
        points = [
            RequestPoint(
                timestamp=each.at, requests=each.totals.requests, errors=each.totals.errors
            )
            for each in series
        ]
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
            points=points,
        )
    )


@router.get(
    "/requests/raw",
    response_model=Requests,
    responses=refusals(401, 403, 404),
    openapi_extra=sorted_by(REQUEST_LISTING),
)
async def raw_requests(
    query: Annotated[RequestsQuery, Query()], read: Annotated[Read, reading(NAME)]
) -> Response:
    """List single requests of the last day, or of another span, each of them once."""
    team_id = read.team_id("analytics:read", named=query.team_id)
    window = window_of(query, REQUEST_LISTING, "requests", read.services)
    now = read.services.clock()
    asked = span(query, now=now, start=now - SPAN_DEFAULT)
    sought = Sought(
        deployment_id=query.deployment_id,
        key_id=query.key_id,
        request_id=query.request_id,
        method=query.method,
        path=query.path,
        statuses=_statuses(query.status),
    )
    page = await read.services.analytics.requests(team_id, asked.start, asked.end, sought, window)
    return respond(
        Requests(
            requests=[_request(each) for each in page.rows],
            pagination=pagination_of(page, window, query, "requests", read.services),
        )
    )


def _statuses(text: str) -> tuple[int, int]:
    if not text:
        return (0, 0)
    return (int(text.replace("x", "0")), int(text.replace("x", "9")))


def _request(served: ServedRequest) -> RequestOut:
    return RequestOut(
        time=served.at,
        request_id=served.request_id,
        deployment_id=served.deployment_id or None,
        key_id=served.key_id or None,
        method=served.method,
        path=served.path,
        status=served.status,
        billable=served.billable,
        refused=served.refused or None,
        bytes_in=served.bytes_in,
        bytes_out=served.bytes_out,
        total_ms=served.total_ms,
        upstream_ms=served.upstream_ms if served.upstream_ms >= 0 else None,
        address=served.address or None,
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
