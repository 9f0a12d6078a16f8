"""Ends what people who left a team would otherwise still hold: keys that manage its things.

What a team that is no more still had goes too: keys, deployments, webhooks.

Level-triggered: each look revokes what is there to revoke, so being killed anywhere, or two of us,
does no harm. Until then the API itself refuses such a key.
"""

import psycopg
import structlog
from prometheus_client import Counter
from psycopg_pool import PoolTimeout

from commands.api_keys import RevokeApiKey
from commands.bus import Bus, Command, Context
from commands.deployments import DeleteDeployment
from commands.webhooks import DeleteWebhook
from commands.work import Actor
from domain.kernel.errors import DomainError, NotFound
from domain.kernel.permissions import OWNS
from projections.departures import Forsaken, forsaken_deployments, forsaken_keys, forsaken_webhooks
from projections.news import ViewNews
from projections.reading import Reader

NAME = "departures"
REASON = "its maker left the team"
AT_ONCE_MAX = 100
LOOK_SECONDS = 15.0
"""So often it looks without being told that anybody left."""
AGAIN_SECONDS = 0.2
"""So soon it looks again after it did something: the views take a moment to know."""

ENDED = Counter("tallyport_departures_ended_total", "What was ended after a departure")
FAILURES = Counter("tallyport_departures_failures_total", "Looks that came to nothing; tried again")

log = structlog.get_logger()


class Departures:
    """The one that is awake does the work; another one at the same time would repeat it."""

    def __init__(self, bus: Bus, reader: Reader, news: ViewNews) -> None:
        self._bus = bus
        self._reader = reader
        self._news = news

    async def run(self) -> None:
        """Follow who leaves. Never returns."""
        while True:
            ended = await self._look()
            await self._news.wait(AGAIN_SECONDS if ended else LOOK_SECONDS)

    async def _look(self) -> int:
        """Return how much was ended."""
        try:
            keys = await forsaken_keys(self._reader, limit=AT_ONCE_MAX)
            deployments = await forsaken_deployments(self._reader, limit=AT_ONCE_MAX)
            webhooks = await forsaken_webhooks(self._reader, limit=AT_ONCE_MAX)
            for key in keys:
                await self._ask(key, RevokeApiKey(key_id=key.id, reason=REASON))
            for deployment in deployments:
                await self._ask(deployment, DeleteDeployment(deployment_id=deployment.id))
            for webhook in webhooks:
                await self._ask(webhook, DeleteWebhook(webhook_id=webhook.id))
        except (psycopg.Error, PoolTimeout, OSError, DomainError) as error:
            FAILURES.inc()
            log.warning("departures interrupted", error=type(error).__name__)
            return 0
        return len(keys) + len(deployments) + len(webhooks)

    async def _ask(self, forsaken: Forsaken, command: Command) -> None:
        actor = Actor(id=NAME, grants={forsaken.team_id: OWNS})
        try:
            await self._bus.dispatch(command, Context(actor=actor))
        except NotFound:  # somebody else was faster
            return
        ENDED.inc()
        log.info("ended after a departure", team_id=forsaken.team_id, thing_id=forsaken.id)
