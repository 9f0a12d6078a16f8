"""Tells teams of their API keys that expire soon: two weeks, three days and a day before.

Level-triggered: each look does what is due. A look that finds a view late, or a worker that was
killed, announces again what the key itself knows to be announced already, so nobody is told twice.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from commands.api_keys import AnnounceKeyExpiry
from commands.bus import Bus, Context
from commands.work import Actor
from domain.kernel.errors import DomainError
from projections.api_keys import expiring_keys
from projections.reading import Reader

NAME = "expiry announcer"
AT_ONCE_MAX = 100
LOOK_SECONDS = 60.0

log = structlog.get_logger()


class ExpiryAnnouncer:
    """The one that is awake does the work; another one at the same time would repeat it."""

    def __init__(
        self,
        bus: Bus,
        reader: Reader,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._bus = bus
        self._reader = reader
        self._clock = clock

    async def run(self) -> None:
        """Tell whoever is to be told. Never returns."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except (psycopg.Error, PoolTimeout, OSError) as error:
                log.warning("expiry announcer interrupted", error=type(error).__name__)

    async def look(self) -> None:
        """Announce what is due now."""
        for key in await expiring_keys(self._reader, now=self._clock(), limit=AT_ONCE_MAX):
            command = AnnounceKeyExpiry(key_id=key.id, days_before=key.days_before)
            try:
                await self._bus.dispatch(command, Context(actor=Actor(id=NAME)))
            except DomainError as error:  # one key must not keep the others from being told
                log.warning("expiry not announced", key_id=key.id, error=error.code)
