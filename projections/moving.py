"""Moves the views on that an event does not concern: those of one process together.

Most events are about a view or two, and yet the position of every view has to pass them. Together
that is one statement and one commit, instead of one for each view.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from psycopg_pool import AsyncConnectionPool

from infrastructure.ending import share
from projections.tables import CHANNEL, Connection, Fenced

_MOVE = """
WITH given AS (
    SELECT * FROM unnest(%s::text[], %s::int[], %s::int[], %s::bigint[], %s::bigint[],
        %s::bigint[], %s::bool[])
    AS given (view, generation, partition, before, position, sequence, live)
), moved AS (
    UPDATE view_positions AS v SET position = given.position, sequence = given.sequence,
        updated_at = clock_timestamp()
    FROM given
    WHERE v.view = given.view AND v.generation = given.generation
        AND v.partition = given.partition AND v.position = given.before
    RETURNING v.view, v.generation, v.position
), begun AS (
    INSERT INTO view_positions (view, generation, partition, position, sequence)
    SELECT view, generation, partition, position, sequence FROM given WHERE before IS NULL
    ON CONFLICT DO NOTHING
    RETURNING view, generation, position
)
SELECT view, generation, position, CASE WHEN live THEN pg_notify(%s, view || ' ' || position) END
FROM given JOIN (SELECT * FROM moved UNION ALL SELECT * FROM begun) AS done
    USING (view, generation, position)
"""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of a view passes events of one partition."""

    view: str
    generation: int
    partition: int
    before: int | None
    """The position it is believed to be at, None when it has none."""
    position: int
    sequence: int | None
    live: bool
    """Readers are told."""


class Mover:
    """Collects moves while one statement is under way, and does them with the next."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool
        self._waiting: list[tuple[Move, asyncio.Future[None]]] = []
        self._working: asyncio.Task[None] | None = None

    async def move(self, move: Move) -> None:
        """Return when the position is stored; raises `Fenced` when it is not `before`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((move, done))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        await share(done)

    async def _work(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting, []
                await self._together(taken)
        finally:
            self._working = None
            for _, done in self._waiting:
                done.cancel()

    async def _together(self, taken: Sequence[tuple[Move, asyncio.Future[None]]]) -> None:
        try:
            moved = await self._store([move for move, _ in taken])
        except Exception as error:  # noqa: BLE001 - each of those who wait is told
            for _, done in taken:
                done.set_exception(error)
            return
        except asyncio.CancelledError:
            for _, done in taken:
                done.cancel()
            raise
        for move, done in taken:
            if (move.view, move.generation, move.position) in moved:
                done.set_result(None)
            else:
                done.set_exception(Fenced(f"{move.view} generation {move.generation}"))

    async def _store(self, moves: Sequence[Move]) -> set[tuple[str, int, int]]:
        # Two processes that do this at once take the rows in the same order.
        ordered = sorted(moves, key=lambda move: (move.view, move.generation))
        columns = zip(*map(msgspec.structs.astuple, ordered), strict=True)
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_MOVE, (*map(list, columns), CHANNEL))
            return {(row[0], row[1], row[2]) for row in await cursor.fetchall()}
