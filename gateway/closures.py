"""When apps do not answer because they are looked after, as HAProxy's own maps know it.

HAProxy compares with its own clock, so maintenance begins and ends on the second, also while
everything else is away: the next two times of each app stand in its route. Routes without any cost
nothing.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

TIMES_MAX = 2
PLANNED = "planned"
"""The last word of a route that has times."""


class Closure(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which apps do not answer."""

    deployment_id: str | None
    """None: every app."""
    starts_at: datetime
    ends_at: datetime


def route_suffix(closures: Iterable[Closure], deployment_id: str) -> str:
    """Return what a route's entry ends with: `:start:end:start:end:planned` in Unix seconds."""
    times = [
        (int(closure.starts_at.timestamp()), int(closure.ends_at.timestamp()))
        for closure in closures
        if closure.deployment_id in {None, deployment_id}
    ]
    if not times:
        return ""
    merged = _merged(times)[:TIMES_MAX]
    return "".join(f":{start}:{end}" for start, end in merged) + f":{PLANNED}"


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
