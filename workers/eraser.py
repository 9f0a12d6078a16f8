"""Carries erasures out: destroys the person's key, then lets end what their own team had.

The account is gone already when an erasure comes here. Level-triggered: each look does what is left
to do, so being killed anywhere, or two of us, does no harm. A key that came back with a restored
backup is destroyed again.
"""

import asyncio
from collections.abc import Sequence

import psycopg
import structlog
from prometheus_client import Counter
from psycopg_pool import PoolTimeout

from commands.api_keys import RevokeApiKey
from commands.bus import Bus, Command, Context
from commands.deployments import DeleteDeployment
from commands.identity import ConfirmKeyDestroyed, FinishErasure
from commands.work import Actor
from domain.kernel.errors import DomainError, NotFound
from domain.kernel.permissions import OWNS
from infrastructure.sealing import Vault
from projections.erasures import (
    ErasureRow,
    Left,
    erasures_under_way,
    keys_that_came_back,
    left_of,
)
from projections.news import ViewNews
from projections.reading import Reader

NAME = "eraser"
AT_ONCE_MAX = 100
LOOK_SECONDS = 2.0
"""So often it looks without being told that there is anything new."""
SETTLE_SECONDS = 3.0
"""Whoever called with a key of the team when it ended may have been let in for a second."""
LOOKED_AT = ("api_keys", "deployments")

FINISHED = Counter("tallyport_erasures_finished_total", "Erasures carried out to the end")
FAILURES = Counter("tallyport_eraser_failures_total", "Looks that came to nothing; tried again")

log = structlog.get_logger()


class Eraser:
    """The one that is awake does the work; another one at the same time would repeat it."""

    def __init__(self, bus: Bus, vault: Vault, reader: Reader, news: ViewNews) -> None:
        self._bus = bus
        self._vault = vault
        self._reader = reader
        self._news = news

    async def run(self) -> None:
        """Erase whoever is to be erased. Never returns."""
        await self._destroy_again()
        while True:
            waiting = await self._look()
            await self._news.wait(LOOK_SECONDS if not waiting else LOOK_SECONDS / 10)

    async def _destroy_again(self) -> None:
        while True:
            try:
                again = await keys_that_came_back(self._reader)
                if again:
                    await self._vault.destroy(again)
                    log.warning("keys of erased people destroyed again", count=len(again))
            except (psycopg.Error, PoolTimeout, OSError) as error:
                log.warning("eraser interrupted", error=type(error).__name__)
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return

    async def _look(self) -> bool:
        """Do what can be done now; tell whether something is left that only takes a moment."""
        waiting = False
        try:
            for erasure in await erasures_under_way(self._reader, limit=AT_ONCE_MAX):
                waiting |= await self._go_on(erasure)
        except (psycopg.Error, PoolTimeout, OSError, DomainError) as error:
            FAILURES.inc()
            log.warning("eraser interrupted", error=type(error).__name__)
        return waiting

    async def _go_on(self, erasure: ErasureRow) -> bool:
        if erasure.key_destroyed_at is None:
            await self._vault.destroy([erasure.erased_id])
            await self._ask(erasure, ConfirmKeyDestroyed(user_id=erasure.erased_id))
        left = await left_of(self._reader, erasure.team_id, settle_seconds=SETTLE_SECONDS)
        commands = _endings(left)
        for command in commands:
            await self._ask(erasure, command)
        if commands or left.ending:
            return True
        if await self._is_nothing_left(erasure):
            await self._vault.destroy([erasure.team_id])
            await self._ask(erasure, FinishErasure(user_id=erasure.erased_id))
            FINISHED.inc()
            log.info("erasure finished", team_id=erasure.team_id)
        return False

    async def _is_nothing_left(self, erasure: ErasureRow) -> bool:
        """Look once more, in views that know all that the log knows now."""
        position = await self._reader.number("SELECT max(notification_id) FROM events")
        for view in LOOKED_AT:
            await self._reader.wait_for(view, position, timeout_seconds=LOOK_SECONDS)
        left = await left_of(self._reader, erasure.team_id, settle_seconds=SETTLE_SECONDS)
        return not _endings(left) and not left.ending

    async def _ask(self, erasure: ErasureRow, command: Command) -> None:
        actor = Actor(id=NAME, grants={erasure.team_id: OWNS})
        try:
            await self._bus.dispatch(command, Context(actor=actor))
        except NotFound:  # somebody else was faster
            log.info("nothing left to end", command=type(command).__name__)


def _endings(left: Left) -> Sequence[Command]:
    return [
        *(RevokeApiKey(key_id=key_id, reason="account erased") for key_id in left.key_ids),
        *(DeleteDeployment(deployment_id=each) for each in left.deployment_ids),
    ]
