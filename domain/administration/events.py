"""The facts about looking after the platform. Who did it stands in each event's metadata."""

from datetime import datetime

from domain.administration.values import Tone
from domain.kernel.events import Event


class ParkedEventRetried(Event, frozen=True, kw_only=True):
    """An event that a view could not apply is applied again, with what follows in its stream."""

    view: str
    position: int
    stream_id: str


class ParkedEventDiscarded(Event, frozen=True, kw_only=True):
    """A view does without an event that it could not apply. The log still has it."""

    view: str
    position: int
    stream_id: str


class ViewReplayRequested(Event, frozen=True, kw_only=True):
    """A view is filled anew from the log, beside the present one."""

    view: str


class AnnouncementMade(Event, frozen=True, kw_only=True):
    """Everybody who is signed in is told something."""

    announcement_id: str
    text: str
    tone: Tone
    starts_at: datetime
    ends_at: datetime | None = None


class AnnouncementWithdrawn(Event, frozen=True, kw_only=True):
    """It is not shown any more."""

    announcement_id: str


class MaintenanceScheduled(Event, frozen=True, kw_only=True):
    """In this time apps answer that they are being looked after."""

    maintenance_id: str
    text: str
    starts_at: datetime
    ends_at: datetime
    deployment_id: str | None = None
    """None: every app."""


class MaintenanceEnded(Event, frozen=True, kw_only=True):
    """It is over before its time, or was called off before it began."""

    maintenance_id: str
    ended_at: datetime
