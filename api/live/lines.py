"""Followed logs: one reader per deployment, however many people look."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from api.live.queues import Waiting
from infrastructure.ending import end
from projections.analytics.logs import LogEntry, StoredEntry

POLL_SECONDS = 0.5
WAITING_MAX = 20_000
"""Lines that may wait for one slow reader before it is let go."""

log = structlog.get_logger()


class LogStore(Protocol):
    """Where the lines are."""

    async def now_us(self) -> int:
        """Return the store's time."""
        ...

    async def tail(
        self, deployment_id: str, *, team_id: str, limit: int, since: datetime | None, search: str
    ) -> Sequence[LogEntry]:
        """Return the newest lines, oldest first."""
        ...

    async def stored_after(
        self, deployment_id: str, *, team_id: str, after_us: int
    ) -> Sequence[StoredEntry]:
        """Return what was stored since."""
        ...


class Followers:
    """All who follow a log in this process."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._readers: dict[str, _Reader] = {}

    async def follow(
        self,
        deployment_id: str,
        *,
        team_id: str,
        tail: int,
        since: datetime | None = None,
        search: str = "",
    ) -> AsyncGenerator[LogEntry, None]:
        """Yield the last lines and then each new one; raises `TooSlow`."""
        waiting: Waiting[StoredEntry] = Waiting(WAITING_MAX)
        reader = self._readers.get(deployment_id)
        if reader is None:
            reader = self._readers[deployment_id] = _Reader(self._store, deployment_id, team_id)
        reader.waiting.add(waiting)
        try:
            await reader.begun.wait()
            shown = await self._store.tail(
                deployment_id, team_id=team_id, limit=tail, since=since, search=search
            )
            for line in shown:
                yield line
            known = {line.identity for line in shown}
            wanted = search.casefold()
            while True:
                entry = await waiting.next()
                if entry.identity not in known and wanted in entry.message.casefold():
                    yield entry
        finally:
            reader.waiting.discard(waiting)
            if not reader.waiting and self._readers.get(deployment_id) is reader:
                del self._readers[deployment_id]
                await reader.close()


class _Reader:
    """Reads one deployment's new lines for everybody."""

    def __init__(self, store: LogStore, deployment_id: str, team_id: str) -> None:
        self.waiting: set[Waiting[StoredEntry]] = set()
        self.begun = asyncio.Event()
        self._store = store
        self._deployment_id = deployment_id
        self._team_id = team_id
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        after_us: int | None = None
        while True:
            try:
                if after_us is None:
                    after_us = await self._store.now_us()
                    self.begun.set()
                after_us = await self._read(after_us)
            except Exception as error:  # noqa: BLE001 - the store is away: readers wait
                log.warning("followed log not read", error=str(error)[:300])
            await asyncio.sleep(POLL_SECONDS)

    async def _read(self, after_us: int) -> int:
        entries = await self._store.stored_after(
            self._deployment_id, team_id=self._team_id, after_us=after_us
        )
        for entry in sorted(entries, key=lambda line: (line.timestamp_ns, line.ordinal)):
            for waiting in self.waiting:
                waiting.put(entry)
        return max((entry.stored_us for entry in entries), default=after_us)
