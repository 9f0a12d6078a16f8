"""What a deployment costs a month, before and after a change: the same prices as the bill's."""

from datetime import timedelta
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.answers import respond
from api.deployments.finding import their_deployment
from api.deployments.shapes import Cpu, DeploymentId, Memory, Update
from api.errors import InvalidValue
from api.guard import GuardedRoute
from api.openapi import refusals
from api.requests import Read, reading
from api.schemas import Amount, Input, Integer, Output
from api.services import Options
from domain.deployments.values import (
    Resources,
    Status,
    cpu_millis,
    cpu_text,
    memory_bytes,
    memory_text,
)
from projections.deployments import DeploymentRow
from projections.usage import used_by

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Usage and billing"])

HOURS_PER_MONTH = 730
LAST = timedelta(days=30)
MILLION, GIB = 1_000_000, 1024**3
STOPPED = {Status.STOPPING, Status.STOPPED, Status.DELETING}
Reading = Annotated[Read, reading("deployments", "request_totals")]
Replicas = Annotated[Integer | None, Field(ge=0, le=1_000_000)]
Requests = Annotated[Integer | None, Field(ge=0, le=10**12)]


class ChangeQuery(Input):
    """What shall be otherwise; without anything: as it is."""

    replicas: Annotated[int | None, Field(ge=0, le=1_000_000)] = None
    cpu: Cpu | None = None
    memory: Memory | None = None


class Wish(Update):
    """A deployment to be made, as `POST /deployments` takes it, or a change of one.

    Only replicas and resources have a price; everything else is taken and does not matter.
    """

    app_name: Annotated[str | None, Field(max_length=100)] = None
    team_id: Annotated[str | None, Field(max_length=40)] = None
    deployment_id: Annotated[str | None, Field(max_length=40)] = None
    """Which one is changed; without it: a new one."""
    replicas: Replicas = None
    requests_per_month: Requests = None
    """How many requests it will serve; unless given, as many as in the last 30 days."""


class Prices(Output):
    """The price list."""

    per_million_requests: Amount
    per_core_hour: Amount
    per_gib_hour: Amount


class PerMonth(Output):
    """What a month costs."""

    compute: Amount
    """Processor and memory of all replicas, running all the time."""
    requests: Amount
    total: Amount


class Side(Output):
    """What runs, and what that costs."""

    replicas: int
    cpu: str
    """Of all replicas together."""
    memory: str
    requests: int
    per_month: PerMonth


class CostEstimate(Output):
    """What it costs a month, before and after."""

    currency: str
    prices: Prices
    before: Side
    after: Side
    difference: Amount
    """What the month costs more; below zero: less."""
    assumptions: list[str]
    """What was assumed, in words."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What is paid for."""

    replicas: int
    resources: Resources
    requests: int


@router.get(
    "/deployments/{deployment_id}/estimate",
    response_model=CostEstimate,
    responses=refusals(401, 403, 404),
)
async def estimate_deployment(
    deployment_id: DeploymentId, query: Annotated[ChangeQuery, Query()], read: Reading
) -> Response:
    """Show what a deployment costs a month, as it is and with another size."""
    row = await their_deployment(read, deployment_id, "deployments:read")
    before = await _now(row, read)
    resources = _resources(before.resources, query.cpu, query.memory)
    replicas = before.replicas if query.replicas is None else query.replicas
    after = msgspec.structs.replace(before, replicas=replicas, resources=resources)
    return respond(_estimate(before, after, read.options))


@router.post("/estimate", response_model=CostEstimate, responses=refusals(401, 403, 404))
async def estimate_wish(body: Wish, read: Reading) -> Response:
    """Show what a new deployment, or a change of one, would cost a month. Changes nothing."""
    if body.deployment_id is None:
        read.team_id("deployments:read", named=body.team_id)
        before, replicas = Running(replicas=0, resources=Resources(), requests=0), 1
    else:
        if body.team_id is not None:
            raise InvalidValue("A deployment has its team.", fields={"teamId": "is not taken here"})
        row = await their_deployment(read, body.deployment_id, "deployments:read")
        before = await _now(row, read)
        replicas = row.replicas
    sent = body.resources
    after = Running(
        replicas=replicas if body.replicas is None else body.replicas,
        resources=before.resources if sent is None else sent.value(),
        requests=before.requests if body.requests_per_month is None else body.requests_per_month,
    )
    return respond(_estimate(before, after, read.options))


async def _now(row: DeploymentRow, read: Read) -> Running:
    now = read.services.clock()
    hours = await used_by(read.views, "deployment", team_id=row.team_id, start=now - LAST, end=now)
    return Running(
        replicas=0 if row.status in STOPPED else row.replicas,
        resources=row.resources,
        requests=sum(each.billable for each in hours if each.subject == row.id),
    )


def _resources(now: Resources, cpu: str | None, memory: str | None) -> Resources:
    return msgspec.structs.replace(
        now,
        cpu_millis=now.cpu_millis if cpu is None else cpu_millis(cpu),
        memory_bytes=now.memory_bytes if memory is None else memory_bytes(memory),
    )


def _estimate(before: Running, after: Running, options: Options) -> CostEstimate:
    sides = [_side(running, options) for running in (before, after)]
    return CostEstimate(
        currency=options.currency,
        prices=Prices(
            per_million_requests=options.price_per_million_requests,
            per_core_hour=options.price_per_core_hour,
            per_gib_hour=options.price_per_gib_hour,
        ),
        before=sides[0],
        after=sides[1],
        difference=sides[1].per_month.total - sides[0].per_month.total,
        assumptions=_assumptions(after, options),
    )


def _side(running: Running, options: Options) -> Side:
    millis = running.replicas * running.resources.cpu_millis
    size = running.replicas * running.resources.memory_bytes
    compute = HOURS_PER_MONTH * (
        options.price_per_core_hour * millis / 1000 + options.price_per_gib_hour * size / GIB
    )
    requests = options.price_per_million_requests * running.requests / MILLION
    return Side(
        replicas=running.replicas,
        cpu=cpu_text(millis),
        memory=memory_text(size),
        requests=running.requests,
        per_month=PerMonth(compute=compute, requests=requests, total=compute + requests),
    )


def _assumptions(after: Running, options: Options) -> list[str]:
    free = not options.price_per_core_hour and not options.price_per_gib_hour
    return [
        f"A month has {HOURS_PER_MONTH} hours, and every replica runs in all of them.",
        f"{after.requests} requests are served: as in the last 30 days, unless told.",
        "Requests that are refused cost nothing.",
        "Processor and memory cost nothing here."
        if free
        else "Processor and memory are paid for as they are reserved, used or not.",
    ]
