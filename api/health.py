"""Whether this process lives, whether it can work, and its numbers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import psycopg
import structlog
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from starlette.responses import Response

from api.answers import answer, respond
from api.guard import OPEN_TO_ALL, GuardedRoute
from api.openapi import refusals
from api.requests import Read, reading
from api.schemas import Output
from api.services import Services

router = APIRouter(route_class=GuardedRoute, tags=["Operations"])

CHECK_SECONDS_MAX = 2.0
UNAVAILABLE = 503
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Reading = Annotated[Read, reading()]
Part = Literal["up", "down"]

log = structlog.get_logger()


class Live(Output):
    """The process answers."""

    status: Literal["ok"]


class Ready(Output):
    """Whether each part answers."""

    status: Literal["ready", "not ready"]
    parts: dict[str, Part]


@router.get("/health/live", response_model=Live, responses=refusals(), openapi_extra=OPEN_TO_ALL)
async def live() -> Response:
    """Tell that the process lives."""
    return respond(Live(status="ok"))


@router.get(
    "/health/ready",
    response_model=Ready,
    responses={**refusals(), UNAVAILABLE: {"model": Ready, "description": "A part is down."}},
    openapi_extra=OPEN_TO_ALL,
)
async def ready(read: Reading) -> Response:
    """Tell which parts answer."""
    checks = read.services.checks
    states = await asyncio.gather(*(state_of(name, check) for name, check in checks.items()))
    parts = dict(zip(checks, states, strict=True))
    if all(state == "up" for state in states):
        return respond(Ready(status="ready", parts=parts))
    return answer(
        Ready(status="not ready", parts=parts), status=UNAVAILABLE, headers={"Retry-After": "1"}
    ).response()


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses=refusals(),
    openapi_extra=OPEN_TO_ALL,
)
async def metrics(read: Reading) -> Response:
    """Show this process's numbers, and how far each view is, for Prometheus."""
    content = read.services.metrics() + await _view_metrics(read.services)
    return Response(content, media_type=METRICS_TYPE)


async def state_of(name: str, check: Callable[[], Awaitable[object]]) -> Part:
    """Tell whether a part answers, in time."""
    try:
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever it is, the part cannot be used
        log.warning("part is down", part=name, error=str(error)[:500])
        return "down"
    return "up"


class ViewMetrics:
    """How far the log and every view are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"tallyport_{name}", text, labels, registry=registry)

        self.positions = gauge("view_position", "Position the view has reached", "view")
        self.behind = gauge("view_behind", "Positions between the log and the view", "view")
        self.parked = gauge("view_parked", "Events parked for the view", "view")
        self.newest = gauge("log_position", "Newest position of the log")


async def _view_metrics(services: Services) -> bytes:
    registry = CollectorRegistry()
    metrics = ViewMetrics(registry)
    try:
        standings = await services.views.standings()
        position = await services.log.last_position()
    except (psycopg.Error, OSError):
        return b""  # numbers that are not known are left out; the others are shown
    metrics.newest.set(position)
    for standing in standings:
        metrics.positions.labels(standing.view).set(standing.position)
        metrics.behind.labels(standing.view).set(max(0, position - standing.position))
        metrics.parked.labels(standing.view).set(standing.parked)
    return generate_latest(registry)
