"""What everybody is told is a line that can be read, and has an end that can come."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.administration.events import (
    AnnouncementMade,
    AnnouncementWithdrawn,
    MaintenanceEnded,
    MaintenanceScheduled,
    ParkedEventRetried,
    ViewReplayRequested,
)
from domain.administration.notices import (
    ANNOUNCEMENT,
    MAINTENANCE,
    UPKEEP,
    announce,
    schedule,
)
from domain.administration.values import (
    MAINTENANCE_MAX,
    InvalidNoticeText,
    InvalidSpan,
    Tone,
    notice_text,
)
from tests.scenario import given

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MADE = AnnouncementMade(
    announcement_id="ann-1", text="New prices", tone=Tone.INFO, starts_at=NOW, ends_at=NOW + HOUR
)
PLANNED = MaintenanceScheduled(
    maintenance_id="mnt-1", text="New disks", starts_at=NOW, ends_at=NOW + HOUR
)


def test_an_announcement_is_withdrawn_once() -> None:
    gone = AnnouncementWithdrawn(announcement_id="ann-1")
    given(ANNOUNCEMENT, MADE).when(lambda a: a.withdraw()).then(gone)
    given(ANNOUNCEMENT, MADE, gone).when(lambda a: a.withdraw()).then_nothing_happened()


def test_an_announcement_that_is_over_already_is_refused() -> None:
    for starts_at, ends_at in ((NOW - 2 * HOUR, NOW - HOUR), (NOW + HOUR, NOW + HOUR)):
        with pytest.raises(InvalidSpan):
            announce(
                announcement_id="ann-1",
                text="New prices",
                tone=Tone.INFO,
                starts_at=starts_at,
                ends_at=ends_at,
                now=NOW,
            )


def test_maintenance_ends_early_once_and_never_after_its_time() -> None:
    ended = MaintenanceEnded(maintenance_id="mnt-1", ended_at=NOW)
    given(MAINTENANCE, PLANNED).when(lambda m: m.end(NOW)).then(ended)
    given(MAINTENANCE, PLANNED, ended).when(lambda m: m.end(NOW)).then_nothing_happened()
    given(MAINTENANCE, PLANNED).when(lambda m: m.end(NOW + HOUR)).then_nothing_happened()


@pytest.mark.parametrize("length", [timedelta(), -HOUR, MAINTENANCE_MAX + timedelta(seconds=1)])
def test_maintenance_takes_some_time_and_not_for_ever(length: timedelta) -> None:
    with pytest.raises(InvalidSpan):
        schedule(
            maintenance_id="mnt-1",
            text="New disks",
            starts_at=NOW,
            ends_at=NOW + length,
            deployment_id=None,
            now=NOW,
        )


def test_a_text_for_everybody_is_one_line_in_which_nothing_hides() -> None:
    assert notice_text("  New\n prices ") == "New prices"
    for text in ("", "   ", "x" * 301, "a\u202eb", "a\0b"):
        with pytest.raises(InvalidNoticeText):
            notice_text(text)


def test_what_is_done_to_a_view_is_counted() -> None:
    retried = ParkedEventRetried(view="users", position=7, stream_id="usr-1")
    replayed = ViewReplayRequested(view="users")
    given(UPKEEP, retried, replayed).when(lambda _: []).then_state(view="users", acts=2)
