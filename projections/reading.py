"""Reading views: rows as values, and waiting until a view has reached a position.

Who changed something and wants to read it asks for the position the change was answered with.
One connection listens for the whole process; each projection runner says how far it got.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, LiteralString, TypeVar

import msgspec
import psycopg
import structlog
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from domain.kernel.errors import DomainError
from infrastructure.stream import Topic, partitions_of
from projections import analytics
from projections.tables import CHANNEL, ROWS_CHANNEL
from projections.view import View

RowType = TypeVar("RowType", bound=msgspec.Struct)
Result = TypeVar("Result")

Query = LiteralString | sql.Composed | sql.SQL

POLL_SECONDS = 1.0
RECONNECT_SECONDS = 0.5

log = structlog.get_logger()


class ViewBehind(DomainError):
    """The view has not reached the position you asked for; try again in a moment."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How far one view is."""

    view: str
    position: int
    parked: int


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """By what a list may be sorted: the names people use, and the columns behind them."""

    sorts: Mapping[str, str]
    sort_default: str
    """As people write it: `-createdAt` is newest first."""
    id_column: str
    kinds: Mapping[str, str]
    """SQL types of the columns."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list."""

    sort: str
    descending: bool
    limit: int
    offset: int = 0
    after: tuple[str, str] | None = None
    """Begin after the row with this sort value and id."""


class Page(msgspec.Struct, Generic[RowType], frozen=True, kw_only=True):
    """A part of a list."""

    rows: Sequence[RowType]
    total: int
    last: tuple[str, str] | None
    """Sort value and id of the last row, when more rows follow."""


class Sharing(Generic[Result]):
    """Who asks what is being asked already gets the same answer: a crowd costs one question."""

    def __init__(self) -> None:
        self._asked: dict[Hashable, asyncio.Task[Result]] = {}

    async def ask(
        self, key: Hashable, question: Callable[[], Coroutine[Any, Any, Result]]
    ) -> Result:
        """Return the answer; whoever stops waiting does not stop the question for the others."""
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(question())
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: Hashable, done: asyncio.Task[Result]) -> None:
        del self._asked[key]
        if not done.cancelled():
            done.exception()  # whoever still waits hears of it; nobody else has to


class Reader:
    """Asks the views. One per process; `run` keeps the one listening connection."""

    def __init__(
        self,
        pool: AsyncConnectionPool,
        conninfo: str,
        views: Iterable[View[Any]],
        *,
        connection_wait_seconds: float = 3.0,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._pool = pool
        self._conninfo = conninfo
        self._connection_wait_seconds = connection_wait_seconds
        self._poll_seconds = poll_seconds
        self._partitions = {view.name: partitions_of(view.topic) for view in views}
        self._partitions[analytics.NAME] = partitions_of(Topic.REQUESTS)
        self._reached: dict[str, int] = {}
        self._positions: Sharing[tuple[int, int]] = Sharing()
        self._heard: dict[str, int] = {}
        """How often there was news of a view: an answer is older than what was heard meanwhile."""
        self._changes: dict[str, int] = {}
        """How often a view's rows were heard to have changed, which most events do not."""
        self._listening = False
        self._news = asyncio.Condition()

    def changes(self, views: Sequence[str]) -> tuple[int, ...] | None:
        """Return what is another with any change of these views' rows; None while deaf to them.

        Taken before a question, it tells of the answer whether it may still be given.
        """
        if not self._listening:
            return None
        return tuple(self._changes.get(view, 0) for view in views)

    async def rows(self, kind: type[RowType], query: Query, *parameters: object) -> list[RowType]:
        """Return a query's rows, each as a `kind` whose fields are the columns."""
        wrapped = (_rows if isinstance(query, str) else _rows.__wrapped__)(query)
        async with self._pool.connection(self._connection_wait_seconds) as connection:
            cursor = await connection.execute(wrapped, parameters)
            found = await cursor.fetchone()
        return msgspec.json.decode(found[0] if found else "[]", type=list[kind])  # type: ignore[valid-type]

    async def row(self, kind: type[RowType], query: Query, *parameters: object) -> RowType | None:
        """Return the query's first row, if it has one."""
        rows = await self.rows(kind, query, *parameters)
        return rows[0] if rows else None

    async def page(
        self,
        kind: type[RowType],
        query: Query,
        *parameters: object,
        listing: Listing,
        window: Window,
    ) -> Page[RowType]:
        """Return a part of what the query selects, and how much that is altogether."""
        column, id_column = listing.sorts[window.sort], listing.id_column
        kinds = (listing.kinds[column], listing.kinds[id_column]) if window.after else None
        make = _page if isinstance(query, str) else _page.__wrapped__
        statement = make(query, column, id_column, descending=window.descending, kinds=kinds)
        arguments = (*parameters, *(window.after or ()), window.limit + 1, window.offset)
        async with self._pool.connection(self._connection_wait_seconds) as connection:
            cursor = await connection.execute(statement, arguments)
            found = await cursor.fetchone() or (0, "[]")
        rows = msgspec.json.decode(found[1], type=list[kind])  # type: ignore[valid-type]
        more, rows = len(rows) > window.limit, rows[: window.limit]
        last = (_text(rows[-1], column), _text(rows[-1], id_column)) if more else None
        return Page(rows=rows, total=found[0], last=last)

    async def number(self, query: Query, *parameters: object) -> int:
        """Return the one number that the query asks for."""
        async with self._pool.connection(self._connection_wait_seconds) as connection:
            cursor = await connection.execute(query, parameters)
            found = await cursor.fetchone()
        return int(found[0]) if found and found[0] is not None else 0

    async def position(self, view: str) -> int:
        """Return how far the view is: everything up to there is in it."""
        return (await self._ask(view))[0]

    async def _ask(self, view: str) -> tuple[int, int]:
        """Return how far the view is, and how much had been heard of it when that was asked."""
        heard = self._heard.get(view, 0)
        reached = await self.number(
            "SELECT CASE WHEN count(*) = %s THEN min(position) ELSE 0 END"
            " FROM view_positions JOIN view_generations USING (view, generation)"
            " WHERE live AND view = %s",
            self._partitions[view],
            view,
        )
        if self._heard.get(view, 0) == heard:
            self._reached[view] = reached
        return reached, heard

    def reached(self, view: str) -> int:
        """Return how far the view is known to be."""
        return self._reached.get(view, 0)

    def has_reached(self, view: str, position: int) -> bool:
        """Tell whether the view is known to have reached the position."""
        return self.reached(view) >= position

    async def wait_for(self, view: str, position: int, *, timeout_seconds: float) -> None:
        """Return once the view has reached the position; raises `ViewBehind` after the timeout."""
        if self.has_reached(view, position):
            return
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    reached, heard = await self._positions.ask(view, lambda: self._ask(view))
                    if reached >= position:
                        return
                    await self._wait_for_news(view, heard)
        except TimeoutError:
            raise ViewBehind(view=view, position=position) from None

    async def standings(self) -> Sequence[Standing]:
        """Return how far each view is and how many events are parked for it."""
        return await self.rows(
            Standing,
            "SELECT view, min(position) AS position,"
            " (SELECT count(*) FROM parked_events AS p"
            "  WHERE p.view = g.view AND p.generation = g.generation) AS parked"
            " FROM view_generations AS g JOIN view_positions USING (view, generation)"
            " WHERE live GROUP BY g.view, g.generation ORDER BY g.view",
        )

    async def check(self) -> None:
        """Raise unless the views' database answers."""
        await self.number("SELECT 1")

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until told to stop; connect again when the connection is lost."""
        while not stop.is_set():
            try:
                await self._listen(stop)
            except (psycopg.Error, OSError) as error:
                log.warning("not listening to views", error=str(error))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RECONNECT_SECONDS):
                        await stop.wait()

    async def _listen(self, stop: asyncio.Event) -> None:
        connection: psycopg.AsyncConnection[TupleRow]
        connection = await psycopg.AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=5,
            keepalives_idle=10,
            application_name="tallyport reader",
        )
        async with connection:
            await connection.execute(f'LISTEN "{CHANNEL}"; LISTEN "{ROWS_CHANNEL}"')
            for name in self._partitions:  # whatever happened while nobody listened
                self._changes[name] = self._changes.get(name, 0) + 1
            await self._tell(None, 0)
            self._listening = True
            try:
                while not stop.is_set():
                    async for notice in connection.notifies(timeout=self._poll_seconds):
                        view, _, rest = notice.payload.partition(" ")
                        if notice.channel == CHANNEL:
                            await self._tell(view, int(rest))
                        else:
                            self._changes[view] = self._changes.get(view, 0) + 1
            finally:
                self._listening = False

    async def _tell(self, view: str | None, position: int) -> None:
        # A view with several partitions is as far as the slowest one, which only the table knows.
        if view is not None and self._partitions.get(view) == 1:
            # The latest word counts, not the greatest: a view that was rebuilt may be behind.
            self._reached[view] = position
        for name in self._partitions if view is None else (view,):
            self._heard[name] = self._heard.get(name, 0) + 1
        async with self._news:
            self._news.notify_all()

    async def _wait_for_news(self, view: str, heard: int) -> None:
        """Return when there is more news of the view than was heard already, or after a while."""
        async with self._news:
            if self._heard.get(view, 0) != heard:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._news.wait()


def _text(row: msgspec.Struct, column: str) -> str:
    value = getattr(row, column)
    return value.isoformat() if isinstance(value, datetime) else str(value)


@functools.lru_cache(maxsize=256)
def _rows(query: Query) -> bytes:
    """Return the statement that gives all of a query's rows as JSON."""
    return (
        sql.SQL("SELECT coalesce(json_agg(t), '[]')::text FROM ({}) AS t")
        .format(sql.SQL(query) if isinstance(query, str) else query)
        .as_bytes(None)
    )


@functools.lru_cache(maxsize=256)
def _page(
    query: Query, column: str, id_column: str, *, descending: bool, kinds: tuple[str, str] | None
) -> bytes:
    """Return the statement that counts a query's rows and gives a part of them as JSON.

    `kinds` are the SQL types of the place after which the part begins, if it has one.
    """
    direction = sql.SQL(" DESC" if descending else " ASC")
    beyond: sql.Composable = sql.SQL("true")
    if kinds is not None:
        beyond = sql.SQL("({}, {}) {} (%s::{}, %s::{})").format(
            sql.Identifier(column),
            sql.Identifier(id_column),
            sql.SQL("<" if descending else ">"),
            *(sql.SQL(kind) for kind in kinds),
        )
    return (
        sql.SQL(
            "WITH found AS NOT MATERIALIZED ({query}) SELECT (SELECT count(*) FROM found),"
            " (SELECT coalesce(json_agg(t), '[]')::text FROM (SELECT * FROM found WHERE {beyond}"
            " ORDER BY {column}{direction}, {id}{direction} LIMIT %s OFFSET %s) AS t)"
        )
        .format(
            query=sql.SQL(query) if isinstance(query, str) else query,
            beyond=beyond,
            column=sql.Identifier(column),
            id=sql.Identifier(id_column),
            direction=direction,
        )
        .as_bytes(None)
    )
