"""Look after the platform: parked events, views, announcements, maintenance."""

from datetime import datetime

from commands.bus import Command, Handlers
from commands.work import Work
from domain.administration.events import (
    ParkedEventDiscarded,
    ParkedEventRetried,
    ViewReplayRequested,
)
from domain.administration.notices import ANNOUNCEMENT, MAINTENANCE, UPKEEP, announce, schedule
from domain.administration.values import Tone
from domain.deployments.deployment import DEPLOYMENT
from domain.kernel.events import Event


class RetryParkedEvent(Command, frozen=True, kw_only=True):
    """Let a view apply a parked event again, with what follows in its stream."""

    view: str
    position: int
    stream_id: str


class DiscardParkedEvent(Command, frozen=True, kw_only=True):
    """Let a view do without a parked event."""

    view: str
    position: int
    stream_id: str


class ReplayView(Command, frozen=True, kw_only=True):
    """Fill a view anew from the log."""

    view: str


class Announce(Command, frozen=True, kw_only=True):
    """Tell everybody something."""

    text: str
    tone: Tone
    starts_at: datetime | None = None
    """From now on unless given."""
    ends_at: datetime | None = None


class WithdrawAnnouncement(Command, frozen=True, kw_only=True):
    """Tell it nobody any more."""

    announcement_id: str


class ScheduleMaintenance(Command, frozen=True, kw_only=True):
    """Plan a time in which apps do not answer."""

    text: str
    starts_at: datetime | None = None
    """From now on unless given."""
    ends_at: datetime
    deployment_id: str | None = None


class EndMaintenance(Command, frozen=True, kw_only=True):
    """Let apps answer again, or call it off."""

    maintenance_id: str


async def retry_parked_event(command: RetryParkedEvent, work: Work) -> None:
    """Note that it was asked for; the view's own worker does it."""
    event = ParkedEventRetried(
        view=command.view, position=command.position, stream_id=command.stream_id
    )
    await _note(command.view, event, work)


async def discard_parked_event(command: DiscardParkedEvent, work: Work) -> None:
    """Note that it was asked for; the view's own worker does it."""
    event = ParkedEventDiscarded(
        view=command.view, position=command.position, stream_id=command.stream_id
    )
    await _note(command.view, event, work)


async def replay_view(command: ReplayView, work: Work) -> None:
    """Note that it was asked for; the view's own worker does it."""
    await _note(command.view, ViewReplayRequested(view=command.view), work)


async def announce_something(command: Announce, work: Work) -> str:
    """Tell it, and return its id."""
    work.must_be_platform_admin()
    announcement_id = work.new_id("ann")
    made = announce(
        announcement_id=announcement_id,
        text=command.text,
        tone=command.tone,
        starts_at=command.starts_at or work.now,
        ends_at=command.ends_at,
        now=work.now,
    )
    work.record(work.create(ANNOUNCEMENT, announcement_id), made)
    return announcement_id


async def withdraw_announcement(command: WithdrawAnnouncement, work: Work) -> None:
    """Show it no longer."""
    work.must_be_platform_admin()
    announcement = await work.load(ANNOUNCEMENT, command.announcement_id)
    work.record(announcement, announcement.present.withdraw())


async def schedule_maintenance(command: ScheduleMaintenance, work: Work) -> str:
    """Plan it, and return its id."""
    work.must_be_platform_admin()
    if command.deployment_id is not None:
        _ = (await work.load(DEPLOYMENT, command.deployment_id)).present
    maintenance_id = work.new_id("mnt")
    planned = schedule(
        maintenance_id=maintenance_id,
        text=command.text,
        starts_at=command.starts_at or work.now,
        ends_at=command.ends_at,
        deployment_id=command.deployment_id,
        now=work.now,
    )
    work.record(work.create(MAINTENANCE, maintenance_id), planned)
    return maintenance_id


async def end_maintenance(command: EndMaintenance, work: Work) -> None:
    """Let apps answer again."""
    work.must_be_platform_admin()
    maintenance = await work.load(MAINTENANCE, command.maintenance_id)
    work.record(maintenance, maintenance.present.end(work.now))


HANDLERS: Handlers = {
    RetryParkedEvent: retry_parked_event,
    DiscardParkedEvent: discard_parked_event,
    ReplayView: replay_view,
    Announce: announce_something,
    WithdrawAnnouncement: withdraw_announcement,
    ScheduleMaintenance: schedule_maintenance,
    EndMaintenance: end_maintenance,
}


async def _note(view: str, event: Event, work: Work) -> None:
    work.must_be_platform_admin()
    work.record(await work.load(UPKEEP, f"upkeep-{view}"), [event])
