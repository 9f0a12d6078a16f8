"""Raises alerts for what is trouble now, and resolves those for what is none any more.

Level-triggered: each look compares what is so with the alerts that are open. So it may be killed
anywhere, and a view that is late costs a repeated command, which the team's own record of its open
alerts turns into nothing: an alert is raised once and resolved once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import psycopg
import structlog
from prometheus_client import Counter, Gauge
from psycopg_pool import PoolTimeout

from commands.alerts import RaiseAlert, ResolveAlert
from commands.bus import Bus, Command, Context
from commands.work import Actor
from domain.alerts.values import Rule
from domain.kernel.errors import DomainError
from projections.alerts import AlertRow, Rulebook, open_alerts, read_rulebook
from projections.news import ViewNews
from projections.reading import Reader
from workers.alert_watcher.troubles import Trouble, Troubles

NAME = "alert watcher"
LOOK_SECONDS = 15.0
"""So often it looks without being told of any change."""
PAUSE_SECONDS = 1.0
"""Shortest time between two looks, however much changes."""
SETTLED_AFTER = {
    Rule.DEPLOYMENT_UNHEALTHY: timedelta(seconds=60),
    Rule.WORKER_LAGGING: timedelta(seconds=60),
}
"""What comes and goes has to stay away for so long before it is called over."""

OPEN = Gauge("tallyport_alerts_open", "Alerts that are open", ["rule"])
FAILURES = Counter("tallyport_alert_looks_failed_total", "Looks that came to nothing; tried again")

log = structlog.get_logger()

Place = tuple[str, Rule, str]
"""Team, rule and subject."""

Look = Callable[[Rulebook, datetime], Awaitable[Troubles]]
"""Returns what is trouble by these rules at that time."""


class AlertWatcher:
    """The one that is awake does the work; another one at the same time would repeat it."""

    def __init__(
        self,
        bus: Bus,
        reader: Reader,
        news: ViewNews,
        look: Look,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._bus = bus
        self._reader = reader
        self._news = news
        self._look_out = look
        self._clock = clock
        self._well_since: dict[Place, datetime] = {}

    async def run(self) -> None:
        """Watch. Never returns."""
        while True:
            try:
                await self.look()
            except (psycopg.Error, PoolTimeout, OSError, DomainError) as error:
                FAILURES.inc()
                log.warning("alert watcher interrupted", error=type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)
            await self._news.wait(LOOK_SECONDS)

    async def look(self) -> None:
        """Compare once what is so with what is open."""
        now = self._clock()
        troubles = await self._look_out(await read_rulebook(self._reader), now)
        opened = {_place(row): row for row in await open_alerts(self._reader)}
        found = {(each.team_id, each.rule, each.subject): each for each in troubles.found}
        for place, trouble in found.items():
            self._well_since.pop(place, None)
            if place not in opened:
                await self._raise(trouble)
        for place, row in opened.items():
            if place not in found and row.rule not in troubles.unknown:
                await self._resolve(place, row, now)
        self._well_since = {p: since for p, since in self._well_since.items() if p in opened}
        for rule in Rule:
            OPEN.labels(rule.value).set(sum(row.rule is rule for row in opened.values()))

    async def _raise(self, trouble: Trouble) -> None:
        await self._ask(
            trouble.team_id,
            RaiseAlert(
                team_id=trouble.team_id,
                rule=trouble.rule,
                subject=trouble.subject,
                deployment_id=trouble.deployment_id,
                facts=trouble.facts,
            ),
        )

    async def _resolve(self, place: Place, row: AlertRow, now: datetime) -> None:
        since = self._well_since.setdefault(place, now)
        if now - since < SETTLED_AFTER.get(row.rule, timedelta()):
            return
        await self._ask(
            row.team_id, ResolveAlert(team_id=row.team_id, rule=row.rule, subject=row.subject)
        )

    async def _ask(self, team_id: str, command: Command) -> None:
        try:
            await self._bus.dispatch(command, Context(actor=Actor.worker(NAME, team_id=team_id)))
        except DomainError as error:  # one team must not keep the others from being told
            log.warning("alert not noted", team_id=team_id, error=error.code)


def _place(row: AlertRow) -> Place:
    return row.team_id, row.rule, row.subject
