"""Times in an address: moments, spans, and positions of the log."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field

from api.errors import InvalidValue
from api.schemas import Input, TeamQuery, Text

POSITION_DIGITS_MAX = 18
YEAR_MIN, YEAR_MAX = 1970, 2200
SPAN_MAX = timedelta(days=366)


class TimesQuery(Input):
    """From when to when."""

    from_: Annotated[Text | None, Field(alias="from", max_length=40)] = None
    """The beginning, for example 2026-11-23T00:00:00Z."""
    to: Annotated[Text | None, Field(max_length=40)] = None
    """The end, which does not belong to it; now, if it is not given."""


class SpanQuery(TeamQuery, TimesQuery):
    """From when to when, and whose."""


@dataclass(frozen=True)
class Span:
    """A length of time; the end does not belong to it."""

    start: datetime
    end: datetime


def moment(text: str, field: str) -> datetime:
    """Return a time with a zone; raises `InvalidValue`."""
    refusal = InvalidValue(
        "This is not a time like 2026-11-23T02:00:00Z.", fields={field: "is not a time"}
    )
    try:
        # In an address a plus sign is a space unless it was encoded.
        parsed = datetime.fromisoformat(text.strip().replace(" ", "+"))
        if parsed.tzinfo is None:
            raise refusal
        parsed = parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise refusal from None
    if not YEAR_MIN <= parsed.year <= YEAR_MAX:
        raise refusal
    return parsed


def position_or_moment(text: str, field: str) -> datetime | int:
    """Return a position of the log, or a time."""
    if text.isascii() and text.isdecimal() and len(text) <= POSITION_DIGITS_MAX:
        return int(text)
    return moment(text, field)


def span(query: TimesQuery, *, now: datetime, start: datetime) -> Span:
    """Return the span that is asked for, from `start` to now unless told."""
    asked = Span(
        moment(query.from_, "from") if query.from_ is not None else start,
        moment(query.to, "to") if query.to is not None else now,
    )
    if asked.start > asked.end:
        raise InvalidValue("The span ends before it begins.", fields={"from": "is after to"})
    if asked.end - asked.start > SPAN_MAX:
        raise InvalidValue(
            f"The span is longer than {SPAN_MAX.days} days.", fields={"from": "is too long ago"}
        )
    return asked


def month_of(now: datetime) -> datetime:
    """Return the beginning of the month (UTC)."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
