"""What may be done to views by hand: parked events retried or discarded, a view filled anew.

Nothing is done here but asked for: the worker of the view does it at its next look, within a second
or two, because it alone may write its table.
"""

import asyncio
import math
import re
import time
from datetime import datetime
from typing import Any

import msgspec
from psycopg_pool import AsyncConnectionPool

from domain.kernel.errors import NotFound, RuleViolated
from projections import analytics
from projections.reading import Listing, Page, Reader, Window
from projections.tables import Connection


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a view could not apply, or that follows one in its stream."""

    id: str
    """View and position: `deployments.4711`."""
    view: str
    position: int
    stream_id: str
    topic: str
    error: str
    parked_at: datetime
    asked_for: bool
    """Somebody asked for it to be retried or discarded, and the worker has not looked yet."""


WISH_SECONDS_MAX = 0.5
"""How old an answer may be."""
_PARKED_ID = re.compile(r"([a-z_]{1,60})\.([0-9]{1,18})")


class NotByHand(RuleViolated):
    """Requests that could not be read stay parked: they are counted, and cannot be retried."""


PARKED_LISTING = Listing(
    sorts={"position": "position", "parkedAt": "parked_at"},
    sort_default="position",
    id_column="id",
    kinds={"id": "text", "position": "bigint", "parked_at": "timestamptz"},
)


async def list_parked(reader: Reader, window: Window, *, view: str | None) -> Page[ParkedEvent]:
    """Return the parked events of the views that are shown."""
    return await reader.page(
        ParkedEvent,
        "SELECT view || '.' || position AS id, view, position, stream_id, topic, error, parked_at,"
        " retry_wanted OR discard_wanted AS asked_for"
        " FROM parked_events JOIN view_generations USING (view, generation)"
        " WHERE live AND (%s::text IS NULL OR view = %s)",
        view,
        view,
        listing=PARKED_LISTING,
        window=window,
    )


async def parked_by_id(reader: Reader, parked_id: str) -> ParkedEvent:
    """Return one parked event; raises `NotFound`, or `NotByHand` where no worker looks."""
    named = _PARKED_ID.fullmatch(parked_id)
    if named is None:
        raise NotFound
    found = await reader.row(
        ParkedEvent,
        "SELECT view || '.' || position AS id, view, position, stream_id, topic, error, parked_at,"
        " retry_wanted OR discard_wanted AS asked_for"
        " FROM parked_events JOIN view_generations USING (view, generation)"
        " WHERE live AND view = %s AND position = %s",
        named[1],
        int(named[2]),
    )
    if found is None:
        raise NotFound
    if found.view == analytics.NAME:
        raise NotByHand
    return found


class Upkeep:
    """Asks the workers of views for what only they can do."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool

    async def retry(self, parked: ParkedEvent) -> None:
        """Let the event be applied again, with all that is parked of its stream."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE parked_events SET retry_wanted = true WHERE view = %s AND stream_id = %s",
                (parked.view, parked.stream_id),
            )

    async def discard(self, parked: ParkedEvent) -> None:
        """Let the view do without the event; what follows in its stream is applied."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE parked_events SET discard_wanted = true WHERE view = %s AND position = %s",
                (parked.view, parked.position),
            )

    async def replay(self, view: str) -> None:
        """Let the view be filled anew, beside the table that is read meanwhile."""
        async with self._pool.connection() as connection:
            await request_rebuild(connection, view)


async def request_rebuild(connection: Connection, view: str) -> None:
    """Let a view be filled anew."""
    await connection.execute(
        "UPDATE view_generations SET rebuild_wanted = true WHERE view = %s AND live", (view,)
    )


async def retry_all(connection: Connection, view: str) -> int:
    """Let all parked events of a view be applied again; return how many there are."""
    cursor = await connection.execute(
        "UPDATE parked_events SET retry_wanted = true WHERE view = %s", (view,)
    )
    return cursor.rowcount


async def discard_one(connection: Connection, view: str, position: int) -> bool:
    """Let a view do without one parked event; tell whether there is one."""
    cursor = await connection.execute(
        "UPDATE parked_events SET discard_wanted = true WHERE view = %s AND position = %s",
        (view, position),
    )
    return cursor.rowcount > 0


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for of the generation of a view that is shown."""

    generation: int = 0
    rebuild: bool = False
    streams: tuple[str, ...] = ()
    """Those with parked events to be applied again or left out."""


class Wishes:
    """What was asked for, for all views of a process with one question."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool
        self._asking = asyncio.Lock()
        self._asked_at = -math.inf
        self._found: dict[str, Wish] = {}

    async def of(self, view: str) -> Wish | None:
        """Return what was wanted half a second ago or later; None where no generation is shown."""
        async with self._asking:
            if time.monotonic() - self._asked_at > WISH_SECONDS_MAX:
                asked_at = time.monotonic()
                self._found, self._asked_at = await self._ask(), asked_at
            return self._found.get(view)

    async def _ask(self) -> dict[str, Wish]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT view, generation, rebuild_wanted, ARRAY(SELECT DISTINCT stream_id"
                "  FROM parked_events AS p WHERE p.view = g.view AND p.generation = g.generation"
                "  AND (retry_wanted OR discard_wanted))"
                " FROM view_generations AS g WHERE live"
            )
            return {
                row[0]: Wish(generation=row[1], rebuild=row[2], streams=tuple(row[3]))
                for row in await cursor.fetchall()
            }


async def take_parked(
    connection: Connection, view: str, generation: int, stream_id: str
) -> list[int]:
    """Take a stream's parked events away; return the positions of those to be applied again."""
    cursor = await connection.execute(
        "DELETE FROM parked_events WHERE view = %s AND generation = %s AND stream_id = %s"
        " RETURNING position, discard_wanted",
        (view, generation, stream_id),
    )
    return sorted(row[0] for row in await cursor.fetchall() if not row[1])
