"""How the platform stands, part by part, and what those who look after it can do about it."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from api.admin import must_be_platform_admin
from api.answers import answer, respond
from api.guard import GuardedRoute
from api.health import state_of
from api.lists import PageQuery, Pagination, pagination_of, sorted_by, window_of
from api.openapi import refusals
from api.requests import Read, Writing, reading
from api.schemas import Message, Output, Text
from commands.administration import DiscardParkedEvent, ReplayView, RetryParkedEvent
from domain.kernel.errors import NotFound
from projections import processes
from projections.catalogue import VIEWS
from projections.processes import GATEWAY_SILENT_SECONDS, REPORT_OLD_SECONDS, WORKERS
from projections.upkeep import PARKED_LISTING, list_parked, parked_by_id

router = APIRouter(route_class=GuardedRoute, prefix="/v1/admin", tags=["Administration"])

LATE_SECONDS = 10
"""A view that has not seen for so long what the log has is late."""
State = Literal["up", "degraded", "down", "unused"]
Parked = Annotated[
    str,
    Path(description="View and position of a parked event", examples=["deployments.4711"]),
]
ViewName = Annotated[str, Path(description="Name of a view", examples=["deployments"])]
ADVICE = {
    "postgres": "Start PostgreSQL and see its log; nothing is lost, writes are refused meanwhile.",
    "redis": "Start Redis; it holds counts only. Limits of this API wait for it.",
    "clickhouse": "Start ClickHouse; analytics catch up by themselves from the log.",
    "kafka": "See whether Kafka and the relay run; views read the store itself meanwhile.",
    "gateways": "See whether the processes `gateway` and `haproxy` run. HAProxy serves on from its"
    " files without the gateway's agent.",
    "containers": "See whether the process `provisioner` runs and the container engine answers."
    " What runs goes on running.",
}


class PartShown(Output):
    """One part of the platform."""

    name: str
    state: State
    detail: str
    advice: str | None
    """What to do, or could be done better while it is up; null when there is nothing."""


class WorkerShown(Output):
    """A process that works by itself."""

    name: str
    state: Literal["up", "down"]
    advice: str | None


class ViewStanding(Output):
    """How far a view is."""

    name: str
    state: State
    position: int
    behind: int
    """Positions of the log that it has not seen."""
    lag_seconds: float
    """For how long the oldest of them has been there."""
    parked: int
    rebuilding: bool
    advice: str | None


class SystemHealth(Output):
    """How the platform stands."""

    state: Literal["up", "degraded", "down"]
    checked_at: datetime
    log_position: int
    parts: list[PartShown]
    workers: list[WorkerShown]
    views: list[ViewStanding]


class ParkedShown(Output):
    """An event that a view could not apply, or that follows one in its stream."""

    id: str
    view: str
    position: int
    stream_id: str
    type: str
    error: str
    parked_at: datetime
    asked_for: bool
    """Somebody asked for it to be retried or discarded, and the worker has not looked yet."""


class ParkedList(Output):
    """A part of the list of parked events."""

    parked_events: list[ParkedShown]
    pagination: Pagination


class ParkedQuery(PageQuery):
    """Which parked events."""

    view: Annotated[Text | None, Field(max_length=60)] = None


@router.get("/health", response_model=SystemHealth, responses=refusals(401, 403))
async def health(read: Annotated[Read, reading()]) -> Response:
    """Show how every part stands, and what to do where one does not."""
    await must_be_platform_admin(read)
    now = read.services.clock()
    position = await read.services.log.last_position()
    running = await processes.running(read.views, WORKERS)
    parts = [*await _stores(read), *await _processes(read, now, position, running)]
    workers = [_worker(name, running) for name in WORKERS]
    views = [_view(each, position, now) for each in await processes.standings(read.views)]
    return respond(
        SystemHealth(
            state=_worst([*parts, *workers, *views]),
            checked_at=now,
            log_position=position,
            parts=parts,
            workers=workers,
            views=views,
        )
    )


@router.get(
    "/parked-events",
    response_model=ParkedList,
    responses=refusals(401, 403),
    openapi_extra=sorted_by(PARKED_LISTING),
)
async def parked_events(
    query: Annotated[ParkedQuery, Query()], read: Annotated[Read, reading()]
) -> Response:
    """List the events that a view could not apply, and what follows them in their streams."""
    await must_be_platform_admin(read)
    window = window_of(query, PARKED_LISTING, "parked", read.services)
    page = await list_parked(read.views, window, view=query.view)
    return respond(
        ParkedList(
            parked_events=[
                ParkedShown(
                    id=row.id,
                    view=row.view,
                    position=row.position,
                    stream_id=row.stream_id,
                    type=row.topic.partition("@")[0],
                    error=row.error,
                    parked_at=row.parked_at,
                    asked_for=row.asked_for,
                )
                for row in page.rows
            ],
            pagination=pagination_of(page, window, query, "parked", read.services),
        )
    )


@router.post(
    "/parked-events/{parked_id}/retry",
    response_model=Message,
    status_code=202,
    responses=refusals(401, 403, 404),
)
async def retry(parked_id: Parked, write: Writing) -> Response:
    """Apply a parked event again, with all that is parked of its stream, within two seconds."""
    await must_be_platform_admin(write)
    parked = await parked_by_id(write.views, parked_id)
    noted = await write.run(
        RetryParkedEvent(view=parked.view, position=parked.position, stream_id=parked.stream_id),
        lambda _: answer(Message(message="It is applied again"), status=202),
    )
    await write.services.upkeep.retry(parked)
    return noted.response()


@router.post(
    "/parked-events/{parked_id}/discard",
    response_model=Message,
    status_code=202,
    responses=refusals(401, 403, 404),
)
async def discard(parked_id: Parked, write: Writing) -> Response:
    """Let the view do without an event; what follows in its stream is applied. The log keeps it."""
    await must_be_platform_admin(write)
    parked = await parked_by_id(write.views, parked_id)
    noted = await write.run(
        DiscardParkedEvent(view=parked.view, position=parked.position, stream_id=parked.stream_id),
        lambda _: answer(Message(message="The view does without it"), status=202),
    )
    await write.services.upkeep.discard(parked)
    return noted.response()


@router.post(
    "/views/{view}/replay",
    response_model=Message,
    status_code=202,
    responses=refusals(401, 403, 404),
)
async def replay(view: ViewName, write: Writing) -> Response:
    """Fill a view anew from the log, beside the present table; it is read on meanwhile."""
    await must_be_platform_admin(write)
    if view not in {each.name for each in VIEWS}:
        raise NotFound
    noted = await write.run(
        ReplayView(view=view),
        lambda _: answer(Message(message="The view is filled anew"), status=202),
    )
    await write.services.upkeep.replay(view)
    return noted.response()


async def _stores(read: Read) -> list[PartShown]:
    checks = read.services.checks
    states = await asyncio.gather(*(state_of(name, check) for name, check in checks.items()))
    return [
        PartShown(
            name=name,
            state=state,
            detail="It answers." if state == "up" else "It does not answer.",
            advice=None if state == "up" else ADVICE.get(name, "See whether it runs."),
        )
        for name, state in zip(checks, states, strict=True)
    ]


async def _processes(
    read: Read, now: datetime, position: int, running: set[str]
) -> list[PartShown]:
    return [
        await _kafka(read, position, running),
        await _gateways(read, now),
        await _containers(read, now, running),
    ]


async def _kafka(read: Read, position: int, running: set[str]) -> PartShown:
    if not read.options.kafka:
        return _part("kafka", "unused", "The views follow the store itself.")
    place = await processes.relay_place(read.views)
    behind = position - place.position if place is not None else position
    if "relay" not in running:
        return _part("kafka", "down", "No relay runs.")
    state: State = "up" if behind < 1000 else "degraded"  # noqa: PLR2004 - a busy second
    return _part("kafka", state, f"The relay is {behind} events behind the log.")


async def _gateways(read: Read, now: datetime) -> PartShown:
    found = await processes.gateways(read.views)
    awake = [
        each for each in found if (now - each.seen_at).total_seconds() < GATEWAY_SILENT_SECONDS
    ]
    if not awake:
        return _part("gateways", "down", "No gateway said anything in the last 30 seconds.")
    silent = len(found) - len(awake)
    told = f"{len(awake)} running" + (f", {silent} silent within the last hour." if silent else ".")
    return _part("gateways", "degraded" if silent else "up", told)


async def _containers(read: Read, now: datetime, running: set[str]) -> PartShown:
    said = await processes.report_of(read.views, "provisioner")
    if "provisioner" not in running:
        return _part("containers", "down", "No provisioner runs.")
    if said is None or (now - said.reported_at).total_seconds() > REPORT_OLD_SECONDS:
        return _part("containers", "degraded", "The provisioner has not said how it stands.")
    report: dict[str, Any] = said.report
    problem = report.get("problem")
    if problem:
        return _part("containers", "degraded", f"Driver {report.get('driver')}: {problem}")
    return PartShown(
        name="containers",
        state="up",
        detail=f"Driver {report.get('driver')}: {report.get('replicas')} replicas of"
        f" {report.get('deployments')} deployments.",
        advice=report.get("advice"),
    )


def _part(name: str, state: State, detail: str) -> PartShown:
    advice = ADVICE[name] if state in {"down", "degraded"} else None
    return PartShown(name=name, state=state, detail=detail, advice=advice)


def _worker(name: str, running: set[str]) -> WorkerShown:
    if name in running:
        return WorkerShown(name=name, state="up", advice=None)
    advice = f"Start the process `worker {name}` and see its last lines: tallyport worker {name}."
    return WorkerShown(name=name, state="down", advice=advice)


def _view(standing: processes.Standing, position: int, now: datetime) -> ViewStanding:
    since = standing.waiting_since
    lag = 0.0 if since is None else max(0.0, (now - since).total_seconds())
    state: State = "up"
    advice = None
    if standing.parked:
        state = "degraded"
        advice = "See its parked events: retry them once the cause is mended, or discard them."
    if lag > LATE_SECONDS:
        state = "degraded"
        advice = "See whether the process that keeps it runs, and what its last lines say."
    return ViewStanding(
        name=standing.view,
        state=state,
        position=standing.position,
        behind=max(0, position - standing.position),
        lag_seconds=round(lag, 1),
        parked=standing.parked,
        rebuilding=standing.rebuilding,
        advice=advice,
    )


def _worst(
    all_of_them: Sequence[PartShown | WorkerShown | ViewStanding],
) -> Literal["up", "degraded", "down"]:
    states = {each.state for each in all_of_them}
    if "down" in states:
        return "down"
    return "degraded" if "degraded" in states else "up"
