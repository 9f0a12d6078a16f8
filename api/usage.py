"""Usage and what it costs, from the hourly totals: the same numbers an invoice is made of."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.answers import respond
from api.guard import GuardedRoute
from api.moments import SpanQuery, month_of, span
from api.openapi import refusals
from api.requests import Read, reading
from api.schemas import Amount, Output, TeamQuery
from projections.usage import Used, used_by

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Usage and billing"])

MILLION = 1_000_000
HOUR = timedelta(hours=1)
Reading = Annotated[Read, reading("request_totals")]


class Counts(Output):
    """How much was served."""

    requests: int
    """Every request the gateway answered, refused ones included."""
    billable: int
    """Those that passed every check and were handed to a replica."""
    client_errors: int
    server_errors: int
    bytes_in: int
    bytes_out: int


class DeploymentUsage(Counts):
    """One deployment's part; the id is empty for requests that reached none."""

    deployment_id: str


class KeyUsage(Counts):
    """One key's part; the id is empty for requests without a key."""

    key_id: str


class DayUsage(Counts):
    """One day's part (UTC)."""

    day: str


class Usage(Output):
    """How much was served in a span of time, in full hours."""

    start: Annotated[datetime, Field(alias="from")]
    end: Annotated[datetime, Field(alias="to")]
    totals: Counts
    by_deployment: list[DeploymentUsage]
    by_key: list[KeyUsage]
    by_day: list[DayUsage]


class EstimateLine(Output):
    """One deployment's part of the bill."""

    description: str
    deployment_id: str
    quantity: int
    unit_price: Amount
    amount: Amount


class Estimate(Output):
    """What the month has cost so far. The lines add up to the total, exactly."""

    start: Annotated[datetime, Field(alias="from")]
    end: Annotated[datetime, Field(alias="to")]
    requests: int
    currency: str
    price_per_million_requests: Amount
    lines: list[EstimateLine]
    total: Amount


@router.get("/usage", response_model=Usage, responses=refusals(401, 403, 404))
async def usage(query: Annotated[SpanQuery, Query()], read: Reading) -> Response:
    """Show this month's usage so far, or another span's."""
    team_id = read.team_id("billing:read", "analytics:read", named=query.team_id)
    now = read.services.clock()
    asked = span(query, now=now, start=month_of(now))
    start, end = _full_hours(asked.start, asked.end)
    deployments, keys, days = [
        await used_by(read.views, subject, team_id=team_id, start=start, end=end)
        for subject in ("deployment", "key", "day")
    ]
    return respond(
        Usage(
            start=start,
            end=end,
            totals=Counts(
                requests=sum(each.requests for each in deployments),
                billable=sum(each.billable for each in deployments),
                client_errors=sum(each.client_errors for each in deployments),
                server_errors=sum(each.server_errors for each in deployments),
                bytes_in=sum(each.bytes_in for each in deployments),
                bytes_out=sum(each.bytes_out for each in deployments),
            ),
            by_deployment=[
                DeploymentUsage(deployment_id=each.subject, **_counts(each)) for each in deployments
            ],
            by_key=[KeyUsage(key_id=each.subject, **_counts(each)) for each in keys],
            by_day=[DayUsage(day=each.subject, **_counts(each)) for each in days],
        )
    )


@router.get("/billing/estimate", response_model=Estimate, responses=refusals(401, 403, 404))
async def estimate(query: Annotated[TeamQuery, Query()], read: Reading) -> Response:
    """Show what this month has cost so far."""
    team_id = read.team_id("billing:read", named=query.team_id)
    now = read.services.clock()
    start, end = _full_hours(month_of(now), now)
    used = await used_by(read.views, "deployment", team_id=team_id, start=start, end=end)
    price = read.options.price_per_million_requests
    lines = [
        EstimateLine(
            description="Served requests",
            deployment_id=each.subject,
            quantity=each.billable,
            unit_price=price / MILLION,
            amount=price * each.billable / MILLION,
        )
        for each in used
        if each.billable
    ]
    return respond(
        Estimate(
            start=start,
            end=end,
            requests=sum(line.quantity for line in lines),
            currency=read.options.currency,
            price_per_million_requests=price,
            lines=lines,
            total=sum((line.amount for line in lines), Decimal(0)),
        )
    )


def _full_hours(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Return the hours that the span touches."""
    first = start.replace(minute=0, second=0, microsecond=0)
    last = end.replace(minute=0, second=0, microsecond=0)
    return first, last if last == end else last + HOUR


def _counts(used: Used) -> dict[str, int]:
    return {
        "requests": used.requests,
        "billable": used.billable,
        "client_errors": used.client_errors,
        "server_errors": used.server_errors,
        "bytes_in": used.bytes_in,
        "bytes_out": used.bytes_out,
    }
