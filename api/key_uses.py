"""Which keys were used here, noted once a minute for all of them: an event per call costs too much.

A process that is killed forgets its last minute. What a gateway serves is not noted here; that is
metered.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from commands.bus import Bus, Context
from commands.metering import NoteKeyUse
from commands.work import Actor
from domain.kernel.errors import DomainError

MINUTE_SECONDS = 60
KEYS_IN_A_NOTE_MAX = 1000
NOTED_BY = Context(actor=Actor(id="api"))

log = structlog.get_logger()


class KeyUses:
    """The keys seen since the last note. One per process."""

    def __init__(self, bus: Bus, clock: Callable[[], datetime]) -> None:
        self._bus = bus
        self._clock = clock
        self._seen: set[str] = set()

    def saw(self, key_id: str) -> None:
        """Remember that a key was used."""
        self._seen.add(key_id)

    async def run(self) -> None:
        """Note what was used, every minute. Never returns."""
        while True:
            await asyncio.sleep(MINUTE_SECONDS)
            await self.note()

    async def note(self) -> None:
        """Note what was used since the last time; while that cannot be, keep it in mind."""
        seen, self._seen = sorted(self._seen), set()
        at = self._clock().replace(second=0, microsecond=0)
        for first in range(0, len(seen), KEYS_IN_A_NOTE_MAX):
            key_ids = tuple(seen[first : first + KEYS_IN_A_NOTE_MAX])
            try:
                await self._bus.dispatch(NoteKeyUse(at=at, key_ids=key_ids), NOTED_BY)
            except DomainError as error:
                self._seen.update(key_ids)
                log.warning("use of keys not noted", error=error.code)
