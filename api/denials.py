"""What callers were denied, noted once a minute for each of them.

An event for every refusal would let anybody fill the log by asking. So refusals are counted, by
caller and route, and a process notes at most one event for a caller, a team and a minute. Who is
refused in their own team is noted there, for whoever may read its audit list; everything else is
noted in the caller's own team, and nowhere else: a team is not told who guessed at its ids, or any
stranger could write into its list. A process that is killed forgets its last minute.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from commands.audit import NoteDenials
from commands.bus import Bus, Context
from commands.work import Actor
from domain.audit.values import ATTEMPTS_MAX, Attempt
from domain.kernel.errors import DomainError

MINUTE_SECONDS = 60
CALLERS_MAX = 1000
"""Callers and teams in one minute; who comes then is counted in the program's own log only."""

log = structlog.get_logger()


@dataclass
class _Denied:
    """What one caller was denied in one team since the last note."""

    actor: Actor
    first_at: datetime
    last_at: datetime
    address: str
    request_id: str
    count: int = 0
    routes: Counter[tuple[str, str, int]] = field(default_factory=Counter)


class Denials:
    """The refusals since the last note. One per process."""

    def __init__(self, bus: Bus, clock: Callable[[], datetime]) -> None:
        self._bus = bus
        self._clock = clock
        self._denied: dict[tuple[str, str], _Denied] = {}
        self._overlooked = 0

    def saw(
        self,
        status: int,
        *,
        actor: Actor,
        team_id: str,
        method: str,
        route: str,
        address: str,
        request_id: str,
    ) -> None:
        """Count a refusal that was answered with this status."""
        now = self._clock()
        denied = self._denied.get((actor.id, team_id))
        if denied is None:
            if len(self._denied) >= CALLERS_MAX:
                self._overlooked += 1
                return
            denied = _Denied(actor, now, now, address, request_id)
            self._denied[actor.id, team_id] = denied
        denied.last_at, denied.address, denied.request_id = now, address, request_id
        denied.count += 1
        seen = (method, route, status)
        if seen in denied.routes or len(denied.routes) < ATTEMPTS_MAX:
            denied.routes[seen] += 1

    async def run(self) -> None:
        """Note what was refused, every minute. Never returns."""
        while True:
            await asyncio.sleep(MINUTE_SECONDS)
            await self.note()

    async def note(self) -> None:
        """Note what was refused since the last time; while that cannot be, keep it in mind."""
        noted, self._denied = self._denied, {}
        if self._overlooked:
            log.warning("refusals not noted", count=self._overlooked)
            self._overlooked = 0
        for (actor_id, team_id), denied in noted.items():
            command = NoteDenials(
                team_id=team_id,
                first_at=denied.first_at,
                last_at=denied.last_at,
                count=denied.count,
                attempts=tuple(
                    Attempt(method=method, route=route, status=status, count=count)
                    for (method, route, status), count in sorted(denied.routes.items())
                ),
            )
            context = Context(
                actor=denied.actor, address=denied.address, correlation_id=denied.request_id
            )
            try:
                await self._bus.dispatch(command, context)
            except DomainError as error:
                later = self._denied.setdefault((actor_id, team_id), denied)
                if later is not denied:
                    later.first_at = denied.first_at
                    later.count += denied.count
                    later.routes += denied.routes
                log.warning("refusals not noted yet", error=error.code)
