"""Announcements and maintenance windows: what everybody is told, and when apps do not answer."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.administration.events import (
    AnnouncementMade,
    AnnouncementWithdrawn,
    MaintenanceEnded,
    MaintenanceScheduled,
)
from domain.administration.values import Tone
from domain.kernel.events import Event
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Listing, Page, Reader, Window
from projections.view import Change, View


class AnnouncementRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that everybody is told."""

    id: str
    text: str
    tone: Tone
    starts_at: datetime
    ends_at: datetime | None
    """None: until it is withdrawn."""
    created_at: datetime


class MaintenanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which apps do not answer."""

    id: str
    text: str
    starts_at: datetime
    ends_at: datetime
    """When it is over, or was."""
    deployment_id: str | None
    """None: every app."""
    created_at: datetime


class NamedMaintenance(MaintenanceRow, frozen=True, kw_only=True):
    """The same with the name of the one app it is about."""

    app_name: str | None
    team_id: str | None


def _announcements(event: object, _: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, AnnouncementMade | AnnouncementWithdrawn):
        return [((event.announcement_id,), event)]
    return []


def _fold_announcement(
    row: AnnouncementRow | None, event: Event, recorded: RecordedEvent
) -> AnnouncementRow | None:
    if isinstance(event, AnnouncementMade):
        return AnnouncementRow(
            id=event.announcement_id,
            text=event.text,
            tone=event.tone,
            starts_at=event.starts_at,
            ends_at=event.ends_at,
            created_at=recorded.recorded_at,
        )
    return None if isinstance(event, AnnouncementWithdrawn) else row


def _maintenance(event: object, _: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, MaintenanceScheduled | MaintenanceEnded):
        return [((event.maintenance_id,), event)]
    return []


def _fold_maintenance(
    row: MaintenanceRow | None, event: Event, recorded: RecordedEvent
) -> MaintenanceRow | None:
    match event:
        case MaintenanceScheduled():
            return MaintenanceRow(
                id=event.maintenance_id,
                text=event.text,
                starts_at=event.starts_at,
                ends_at=event.ends_at,
                deployment_id=event.deployment_id,
                created_at=recorded.recorded_at,
            )
        case MaintenanceEnded() if row is not None:
            if event.ended_at <= row.starts_at:  # called off
                return None
            return msgspec.structs.replace(row, ends_at=event.ended_at)
    return row


ANNOUNCEMENTS = View(
    name="announcements",
    version=1,
    topic=Topic.EVENTS,
    row=AnnouncementRow,
    key=("id",),
    changes=_announcements,
    fold=_fold_announcement,
)

MAINTENANCE = View(
    name="maintenance",
    version=1,
    topic=Topic.EVENTS,
    row=MaintenanceRow,
    key=("id",),
    changes=_maintenance,
    fold=_fold_maintenance,
    indexes=("ends_at",),
)

ANNOUNCEMENT_LISTING = Listing(
    sorts={"startsAt": "starts_at"},
    sort_default="-startsAt",
    id_column="id",
    kinds=ANNOUNCEMENTS.columns,
)
MAINTENANCE_LISTING = Listing(
    sorts={"startsAt": "starts_at"},
    sort_default="-startsAt",
    id_column="id",
    kinds=MAINTENANCE.columns,
)


async def list_announcements(reader: Reader, window: Window) -> Page[AnnouncementRow]:
    """Return all that were not withdrawn."""
    return await reader.page(
        AnnouncementRow,
        "SELECT * FROM views.announcements",
        listing=ANNOUNCEMENT_LISTING,
        window=window,
    )


async def list_maintenance(reader: Reader, window: Window) -> Page[NamedMaintenance]:
    """Return all maintenance there was, is and will be."""
    return await reader.page(
        NamedMaintenance,
        "SELECT m.*, d.app_name, d.team_id FROM views.maintenance AS m"
        " LEFT JOIN views.deployments AS d ON d.id = m.deployment_id",
        listing=MAINTENANCE_LISTING,
        window=window,
    )


async def announced_now(reader: Reader, *, now: datetime) -> Sequence[AnnouncementRow]:
    """Return what everybody is told at this moment."""
    return await reader.rows(
        AnnouncementRow,
        "SELECT * FROM views.announcements WHERE starts_at <= %s"
        " AND (ends_at IS NULL OR ends_at > %s) ORDER BY starts_at DESC, id LIMIT 20",
        now,
        now,
    )


async def maintenance_between(
    reader: Reader, *, now: datetime, until: datetime, team_ids: Sequence[str]
) -> Sequence[NamedMaintenance]:
    """Return the maintenance under way or near, of every app or of one of these teams'."""
    return await reader.rows(
        NamedMaintenance,
        "SELECT m.*, d.app_name, d.team_id FROM views.maintenance AS m"
        " LEFT JOIN views.deployments AS d ON d.id = m.deployment_id"
        " WHERE m.ends_at > %s AND m.starts_at <= %s"
        " AND (m.deployment_id IS NULL OR d.team_id = ANY(%s)) ORDER BY m.starts_at, m.id LIMIT 20",
        now,
        until,
        list(team_ids),
    )
