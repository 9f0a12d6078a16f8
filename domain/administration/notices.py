"""The rules of announcements and maintenance windows: said once, ended once."""

from datetime import datetime

import msgspec

from domain.administration.events import (
    AnnouncementMade,
    AnnouncementWithdrawn,
    MaintenanceEnded,
    MaintenanceScheduled,
    ParkedEventDiscarded,
    ParkedEventRetried,
    ViewReplayRequested,
)
from domain.administration.values import MAINTENANCE_MAX, InvalidSpan, Tone, notice_text
from domain.kernel.aggregates import Aggregate
from domain.kernel.events import Event


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """Something that everybody is told."""

    announcement_id: str
    withdrawn: bool = False

    def withdraw(self) -> list[Event]:
        """Show it no longer. Twice changes nothing."""
        if self.withdrawn:
            return []
        return [AnnouncementWithdrawn(announcement_id=self.announcement_id)]


class Maintenance(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which apps do not answer."""

    maintenance_id: str
    ends_at: datetime
    ended: bool = False

    def end(self, now: datetime) -> list[Event]:
        """Let apps answer again. What is over already stays so."""
        if self.ended or now >= self.ends_at:
            return []
        return [MaintenanceEnded(maintenance_id=self.maintenance_id, ended_at=now)]


class Upkeep(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to one view by hand."""

    view: str
    acts: int = 0


def announce(
    *,
    announcement_id: str,
    text: str,
    tone: Tone,
    starts_at: datetime,
    ends_at: datetime | None,
    now: datetime,
) -> list[Event]:
    """Tell everybody something; raises `InvalidNoticeText` or `InvalidSpan`."""
    if ends_at is not None and ends_at <= max(now, starts_at):
        raise InvalidSpan
    made = AnnouncementMade(
        announcement_id=announcement_id,
        text=notice_text(text),
        tone=tone,
        starts_at=starts_at,
        ends_at=ends_at,
    )
    return [made]


def schedule(
    *,
    maintenance_id: str,
    text: str,
    starts_at: datetime,
    ends_at: datetime,
    deployment_id: str | None,
    now: datetime,
) -> list[Event]:
    """Plan a time in which apps do not answer; raises `InvalidNoticeText` or `InvalidSpan`."""
    if ends_at <= max(now, starts_at) or ends_at - starts_at > MAINTENANCE_MAX:
        raise InvalidSpan
    planned = MaintenanceScheduled(
        maintenance_id=maintenance_id,
        text=notice_text(text),
        starts_at=starts_at,
        ends_at=ends_at,
        deployment_id=deployment_id,
    )
    return [planned]


def evolve_announcement(state: Announcement | None, event: Event) -> Announcement | None:
    """Remember whether it is shown."""
    match event:
        case AnnouncementMade():
            return Announcement(announcement_id=event.announcement_id)
        case AnnouncementWithdrawn() if state is not None:
            return msgspec.structs.replace(state, withdrawn=True)
    return state


def evolve_maintenance(state: Maintenance | None, event: Event) -> Maintenance | None:
    """Remember until when it is."""
    match event:
        case MaintenanceScheduled():
            return Maintenance(maintenance_id=event.maintenance_id, ends_at=event.ends_at)
        case MaintenanceEnded() if state is not None:
            return msgspec.structs.replace(state, ended=True)
    return state


def evolve_upkeep(state: Upkeep | None, event: Event) -> Upkeep | None:
    """Count what was done."""
    if isinstance(event, ParkedEventRetried | ParkedEventDiscarded | ViewReplayRequested):
        state = state or Upkeep(view=event.view)
        return msgspec.structs.replace(state, acts=state.acts + 1)
    return state


ANNOUNCEMENT = Aggregate(name="announcement", state=Announcement, evolve=evolve_announcement)
MAINTENANCE = Aggregate(name="maintenance", state=Maintenance, evolve=evolve_maintenance)
UPKEEP = Aggregate(name="upkeep", state=Upkeep, evolve=evolve_upkeep, snapshot_every=100)
