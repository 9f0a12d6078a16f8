"""When apps do not answer because they are looked after, as HAProxy's own map knows it.

HAProxy compares with its own clock, so maintenance begins and ends on the second, also while
everything else is away: two times per app, and two for all apps together.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

import msgspec

ALL = "closed"
"""The flag that has the times for every app; `closed:<deployment>` has those for one."""
TIMES_MAX = 2


class Closure(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which apps do not answer."""

    deployment_id: str | None
    """None: every app."""
    starts_at: datetime
    ends_at: datetime


def closure_flags(closures: Iterable[Closure]) -> dict[str, str]:
    """Return the flags, each with the first times as `start:end:start:end` in Unix seconds."""
    times: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for closure in closures:
        name = ALL if closure.deployment_id is None else f"{ALL}:{closure.deployment_id}"
        times[name].append((int(closure.starts_at.timestamp()), int(closure.ends_at.timestamp())))
    return {
        name: ":".join(f"{start}:{end}" for start, end in _merged(each)[:TIMES_MAX])
        for name, each in sorted(times.items())
    }


def still_to_come(closures: Iterable[Closure], now: datetime) -> tuple[Closure, ...]:
    """Return those that are not over."""
    return tuple(closure for closure in closures if closure.ends_at > now)


def _merged(times: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same times in order, those that touch as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(times):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
