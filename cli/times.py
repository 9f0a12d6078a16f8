"""Times as people type them: a moment, or so long ago."""

import re
from datetime import UTC, datetime, timedelta

from cli.failures import ExitCode, Failed

_AGO = re.compile(r"(\d{1,6})(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment_of(text: str | None) -> str | None:
    """Return the time as the API takes it; raises `Failed`. A time without a zone is local."""
    if text is None:
        return None
    if match := _AGO.fullmatch(text.strip()):
        then = datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        return _written(then)
    try:
        return _written(datetime.fromisoformat(text.strip()).astimezone(UTC))
    except (ValueError, OverflowError):
        raise Failed(
            f"{text!r} is no time.",
            "Write so long ago (90s, 2h, 7d) or a time: 2026-11-23T14:00:00Z.",
            code=ExitCode.USAGE,
        ) from None


def lifetime_of(text: str | None) -> str | None:
    """Return when something ends that lasts so long from now: 12h, 30d, or a time."""
    if text is None:
        return None
    if match := _AGO.fullmatch(text.strip()):
        return _written(datetime.now(UTC) + timedelta(**{_UNITS[match[2]]: int(match[1])}))
    return moment_of(text)


def seconds_of(text: str) -> int:
    """Return a length of time in seconds; raises `Failed`."""
    match = _AGO.fullmatch(text.strip())
    if match is None:
        raise Failed(f"{text!r} is no length of time like 30m or 24h.", code=ExitCode.USAGE)
    return int(timedelta(**{_UNITS[match[2]]: int(match[1])}).total_seconds())


def _written(then: datetime) -> str:
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")
