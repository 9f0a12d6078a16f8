"""Times as people type them."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.failures import Failed
from cli.terminal import ago
from cli.times import lifetime_of, moment_of, seconds_of


def test_so_long_ago_is_a_time() -> None:
    then = datetime.fromisoformat(str(moment_of("2h")))
    assert abs(datetime.now(UTC) - timedelta(hours=2) - then) < timedelta(minutes=1)


def test_so_long_from_now_is_when_a_key_ends() -> None:
    then = datetime.fromisoformat(str(lifetime_of("30d")))
    assert abs(datetime.now(UTC) + timedelta(days=30) - then) < timedelta(minutes=1)


def test_a_time_is_taken_as_it_is_written() -> None:
    assert moment_of("2026-11-23T14:00:00Z") == "2026-11-23T14:00:00.000Z"
    assert moment_of("2026-11-23T14:00:00+02:00") == "2026-11-23T12:00:00.000Z"
    assert moment_of(None) is None


@pytest.mark.parametrize("text", ["yesterday", "2x", "", "-2h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Failed, match="no time"):
        moment_of(text)
    with pytest.raises(Failed, match="no length"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5s ago"), (300, "5m ago"), (7200, "2h ago"), (3 * 86400, "3d ago")],
)
def test_a_time_is_shown_as_how_long_ago_it_was(seconds: int, text: str) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert ago((now - timedelta(seconds=seconds)).isoformat(), now=now) == text
    assert ago("2027-01-02T03:04:05Z", now=now) == "2027-01-02 03:04"
    assert ago(None) == "-"
