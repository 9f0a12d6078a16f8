"""Carries erasures out: destroys the person's key, then lets end what their own team had.

The account is gone already when an erasure comes here. Level-triggered: each look does what is left
to do, so being killed anywhere, or two of us, does no harm. A key that came back with a restored
backup is destroyed again.
"""

import time
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
from infrastructure.mail import Mailer
from infrastructure.sealing import Vault
from projections.erasures import (
    ErasureRow,
    Left,
    erasures_under_way,
    keys_of_nothing,
    keys_that_came_back,
    left_of,
    letters_about,
)
from projections.news import ViewNews
from projections.reading import Reader

NAME = "eraser"
AT_ONCE_MAX = 100
LOOK_SECONDS = 2.0
"""So often it looks without being told that there is anything new."""
SWEEP_SECONDS = 30.0
"""So often it looks for keys that should not be there."""
SETTLE_SECONDS = 3.0
"""Whoever called with a key of the team when it ended may have been let in for a second."""
LOOKED_AT = ("api_keys", "deployments", "audit")

FINISHED = Counter("tallyport_erasures_finished_total", "Erasures carried out to the end")
FAILURES = Counter("tallyport_eraser_failures_total", "Looks that came to nothing; tried again")

log = structlog.get_logger()


class Eraser:
    """The one that is awake does the work; another one at the same time would repeat it."""

    def __init__(
        self, bus: Bus, vault: Vault, reader: Reader, news: ViewNews, mailer: Mailer
    ) -> None:
        self._bus = bus
        self._vault = vault
        self._reader = reader
        self._news = news
        self._mailer = mailer

    async def run(self) -> None:
        """Erase whoever is to be erased. Never returns."""
        sweep_due = 0.0
        while True:
            if time.monotonic() >= sweep_due:
                await self._sweep()
                sweep_due = time.monotonic() + SWEEP_SECONDS
            waiting = await self._look()
            await self._news.wait(LOOK_SECONDS if not waiting else LOOK_SECONDS / 10)

    async def _sweep(self) -> None:
        """Destroy the keys that should not be there: of nobody any more, or back from a backup."""
        try:
            back = await keys_that_came_back(self._reader)
            if back:
                log.warning("keys of erased people came back", count=len(back))
            gone = [*back, *await keys_of_nothing(self._reader)]
            if gone:
                await self._vault.destroy(gone)
        except (psycopg.Error, PoolTimeout, OSError) as error:
            FAILURES.inc()
            log.warning("eraser interrupted", error=type(error).__name__)

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
            await self._mailer.forget(await letters_about(self._reader, erasure.erased_id))
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
