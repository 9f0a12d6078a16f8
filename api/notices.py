"""What everybody is told, and when apps do not answer: announcements and maintenance windows."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.admin import must_be_platform_admin
from api.answers import answer, respond
from api.guard import GuardedRoute
from api.lists import PageQuery, Pagination, pagination_of, sorted_by, window_of
from api.openapi import refusals
from api.requests import Read, Writing, reading
from api.schemas import Input, Instant, Message, Output, Text, checked, identifier
from commands.administration import (
    Announce,
    EndMaintenance,
    ScheduleMaintenance,
    WithdrawAnnouncement,
)
from domain.administration.values import TEXT_LENGTH_MAX, Tone, notice_text
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from projections.notices import (
    ANNOUNCEMENT_LISTING,
    MAINTENANCE_LISTING,
    NamedMaintenance,
    announced_now,
    list_announcements,
    list_maintenance,
    maintenance_between,
)

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Administration"])

TOLD_BEFORE = timedelta(hours=24)
"""So long before maintenance everybody is told of it."""
AnnouncementId = Annotated[str, identifier("ann")]
MaintenanceId = Annotated[str, identifier("mnt")]
Words = Annotated[Text, Field(min_length=1, max_length=TEXT_LENGTH_MAX), checked(notice_text)]
Phase = Literal["planned", "under way", "over"]


class NewAnnouncement(Input):
    """Something to tell everybody."""

    text: Words
    tone: Tone = Tone.INFO
    starts_at: Instant | None = None
    """From now on unless given."""
    ends_at: Instant | None = None
    """Until it is withdrawn unless given."""


class NewMaintenance(Input):
    """A time in which apps do not answer."""

    text: Words
    """Why, for those who are signed in. Callers of the apps read only that it is so."""
    starts_at: Instant | None = None
    """From now on unless given."""
    ends_at: Instant
    deployment_id: Annotated[str | None, Field(max_length=40)] = None
    """Only this one; every app unless named."""


class AnnouncementShown(Output):
    """Something that everybody is told."""

    id: str
    text: str
    tone: Tone
    starts_at: datetime
    ends_at: datetime | None


class MaintenanceShown(Output):
    """A time in which apps do not answer."""

    id: str
    text: str
    starts_at: datetime
    ends_at: datetime
    phase: Phase
    deployment_id: str | None
    app_name: str | None


class Notices(Output):
    """What is to be known at this moment."""

    announcements: list[AnnouncementShown]
    maintenance: list[MaintenanceShown]
    """Under way, or within a day."""


class Announcements(Output):
    """A part of the list of announcements."""

    announcements: list[AnnouncementShown]
    pagination: Pagination


class MaintenanceList(Output):
    """A part of the list of maintenance windows."""

    maintenance: list[MaintenanceShown]
    pagination: Pagination


class Made(Output):
    """What was made."""

    id: str
    message: str


@router.get("/announcements", response_model=Notices, responses=refusals(401))
async def notices(read: Annotated[Read, reading("announcements", "maintenance")]) -> Response:
    """Show what everybody is told now, and the maintenance under way or near."""
    now = read.services.clock()
    near = await maintenance_between(
        read.views, now=now, until=now + TOLD_BEFORE, team_ids=read.seen_teams
    )
    return respond(
        Notices(
            announcements=[
                AnnouncementShown(
                    id=row.id,
                    text=row.text,
                    tone=row.tone,
                    starts_at=row.starts_at,
                    ends_at=row.ends_at,
                )
                for row in await announced_now(read.views, now=now)
            ],
            maintenance=[_shown(row, now) for row in near],
        )
    )


@router.get(
    "/admin/announcements",
    response_model=Announcements,
    responses=refusals(401, 403),
    openapi_extra=sorted_by(ANNOUNCEMENT_LISTING),
)
async def announcements(
    query: Annotated[PageQuery, Query()], read: Annotated[Read, reading("announcements")]
) -> Response:
    """List the announcements that were not withdrawn."""
    await must_be_platform_admin(read)
    window = window_of(query, ANNOUNCEMENT_LISTING, "announcements", read.services)
    page = await list_announcements(read.views, window)
    return respond(
        Announcements(
            announcements=[
                AnnouncementShown(
                    id=row.id,
                    text=row.text,
                    tone=row.tone,
                    starts_at=row.starts_at,
                    ends_at=row.ends_at,
                )
                for row in page.rows
            ],
            pagination=pagination_of(page, window, query, "announcements", read.services),
        )
    )


@router.post(
    "/admin/announcements", response_model=Made, status_code=201, responses=refusals(401, 403)
)
async def announce(body: NewAnnouncement, write: Writing) -> Response:
    """Tell everybody something, as a line above every page."""
    await must_be_platform_admin(write)
    return await write.dispatch(
        Announce(text=body.text, tone=body.tone, starts_at=body.starts_at, ends_at=body.ends_at),
        lambda made: answer(Made(id=made, message="Announced"), status=201),
    )


@router.delete(
    "/admin/announcements/{announcement_id}",
    response_model=Message,
    responses=refusals(401, 403, 404),
)
async def withdraw_announcement(announcement_id: AnnouncementId, write: Writing) -> Response:
    """Tell it nobody any more."""
    await must_be_platform_admin(write)
    if not is_id(announcement_id, "ann"):
        raise NotFound
    return await write.dispatch(
        WithdrawAnnouncement(announcement_id=announcement_id),
        lambda _: answer(Message(message="Withdrawn")),
    )


@router.get(
    "/admin/maintenance",
    response_model=MaintenanceList,
    responses=refusals(401, 403),
    openapi_extra=sorted_by(MAINTENANCE_LISTING),
)
async def maintenance(
    query: Annotated[PageQuery, Query()], read: Annotated[Read, reading("maintenance")]
) -> Response:
    """List the maintenance there was, is and will be."""
    await must_be_platform_admin(read)
    now = read.services.clock()
    window = window_of(query, MAINTENANCE_LISTING, "maintenance", read.services)
    page = await list_maintenance(read.views, window)
    return respond(
        MaintenanceList(
            maintenance=[_shown(row, now) for row in page.rows],
            pagination=pagination_of(page, window, query, "maintenance", read.services),
        )
    )


@router.post(
    "/admin/maintenance", response_model=Made, status_code=201, responses=refusals(401, 403, 404)
)
async def schedule_maintenance(body: NewMaintenance, write: Writing) -> Response:
    """Plan a time in which the gateway answers for apps that they are looked after (503)."""
    await must_be_platform_admin(write)
    if body.deployment_id is not None and not is_id(body.deployment_id, "dpl"):
        raise NotFound
    return await write.dispatch(
        ScheduleMaintenance(
            text=body.text,
            starts_at=body.starts_at,
            ends_at=body.ends_at,
            deployment_id=body.deployment_id,
        ),
        lambda made: answer(Made(id=made, message="Planned"), status=201),
    )


@router.delete(
    "/admin/maintenance/{maintenance_id}",
    response_model=Message,
    responses=refusals(401, 403, 404),
)
async def end_maintenance(maintenance_id: MaintenanceId, write: Writing) -> Response:
    """Let apps answer again at once, or call it off."""
    await must_be_platform_admin(write)
    if not is_id(maintenance_id, "mnt"):
        raise NotFound
    return await write.dispatch(
        EndMaintenance(maintenance_id=maintenance_id),
        lambda _: answer(Message(message="Ended")),
    )


def _shown(row: NamedMaintenance, now: datetime) -> MaintenanceShown:
    phase: Phase = "planned" if now < row.starts_at else "under way"
    return MaintenanceShown(
        id=row.id,
        text=row.text,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        phase="over" if now >= row.ends_at else phase,
        deployment_id=row.deployment_id,
        app_name=row.app_name,
    )
