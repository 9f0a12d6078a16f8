"""The tables behind the views: made, read, filled and switched.

Each view has *generations*: table `deployments__3` is the third. Queries use the SQL view
`deployments`, which shows the current one. A rebuild fills the next generation while the current
one goes on being read and updated, then the name is switched in one transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from infrastructure.stream import Progress
from projections.view import Key, Row, View

CHANNEL = "tallyport_views"
"""Tells `<view> <position>` whenever a view moved."""
ROWS_CHANNEL = "tallyport_view_rows"
"""Tells `<view> <key> <key> ...` when rows of it changed; `<view>` alone when any may have."""
KEYS_TOLD_MAX = 200

VIEWS_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS views AUTHORIZATION tallyport_app;

CREATE TABLE IF NOT EXISTS view_generations (
    view text NOT NULL,
    generation int NOT NULL,
    fingerprint text NOT NULL,
    live boolean NOT NULL DEFAULT false,
    rebuild_wanted boolean NOT NULL DEFAULT false,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (view, generation)
);
CREATE TABLE IF NOT EXISTS view_positions (
    view text NOT NULL,
    generation int NOT NULL,
    partition int NOT NULL,
    position bigint NOT NULL,
    sequence bigint,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (view, generation, partition)
);
CREATE TABLE IF NOT EXISTS parked_events (
    view text NOT NULL,
    generation int NOT NULL,
    position bigint NOT NULL,
    stream_id text NOT NULL,
    topic text NOT NULL,
    error text NOT NULL,
    retry_wanted boolean NOT NULL DEFAULT false,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (view, generation, position)
);
ALTER TABLE parked_events ADD COLUMN IF NOT EXISTS discard_wanted boolean NOT NULL DEFAULT false;
GRANT SELECT, INSERT, UPDATE, DELETE ON view_generations, view_positions, parked_events
    TO tallyport_app;
"""

_VACUUMED_SOON = "WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0)"
"""What is left on disk of a deleted row about a person goes with the next round of autovacuum."""

Connection = psycopg.AsyncConnection[TupleRow]


class Fenced(Exception):
    """Somebody else moved this view's position: there are two of us, and the other one is ahead."""


def table_of(view: View[Any], generation: int) -> sql.Identifier:
    """Return the table of one generation."""
    return sql.Identifier("views", f"{view.name}__{generation}")


async def create_generation(connection: Connection, view: View[Any], generation: int) -> None:
    """Make the empty table of a generation and its position at the beginning of the log."""
    table = table_of(view, generation)
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}{}").format(
            sql.Identifier(name), sql.SQL(kind), sql.SQL(" NOT NULL" if name in view.key else "")
        )
        for name, kind in view.columns.items()
    )
    async with connection.transaction():
        await connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(table))
        await connection.execute(
            sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({})) {}").format(
                table,
                columns,
                sql.SQL(", ").join(map(sql.Identifier, view.key)),
                sql.SQL(_VACUUMED_SOON if view.person is not None else ""),
            )
        )
        for expression in view.indexes:
            unique, expression_only = _split_unique(expression)
            await connection.execute(
                sql.SQL("CREATE {} INDEX ON {} ({})").format(
                    sql.SQL(unique), table, sql.SQL(expression_only)
                )
            )
        await connection.execute(
            "DELETE FROM view_positions WHERE view = %s AND generation = %s",
            (view.name, generation),
        )
        await connection.execute(
            "DELETE FROM parked_events WHERE view = %s AND generation = %s",
            (view.name, generation),
        )
        await connection.execute(
            "INSERT INTO view_generations (view, generation, fingerprint) VALUES (%s, %s, %s)"
            " ON CONFLICT (view, generation) DO UPDATE SET fingerprint = EXCLUDED.fingerprint",
            (view.name, generation, view.fingerprint),
        )


async def switch_to(connection: Connection, view: View[Any], generation: int) -> None:
    """Show this generation under the view's name and drop the ones before."""
    name = sql.Identifier("views", view.name)
    async with connection.transaction():
        await connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(name))
        await connection.execute(
            sql.SQL("CREATE VIEW {} AS SELECT * FROM {}").format(name, table_of(view, generation))
        )
        await connection.execute(
            "UPDATE view_generations SET live = (generation = %s), rebuild_wanted = false"
            " WHERE view = %s",
            (generation, view.name),
        )
        # Whoever waits for a position or for rows looks again.
        await tell(connection, view)
    await _drop_older(connection, view, generation)


async def _drop_older(connection: Connection, view: View[Any], generation: int) -> None:
    cursor = await connection.execute(
        "SELECT generation FROM view_generations WHERE view = %s AND generation < %s",
        (view.name, generation),
    )
    for (older,) in await cursor.fetchall():
        async with connection.transaction():
            await connection.execute(
                sql.SQL("DROP TABLE IF EXISTS {}").format(table_of(view, older))
            )
            for table in ("view_generations", "view_positions", "parked_events"):
                await connection.execute(
                    sql.SQL("DELETE FROM {} WHERE view = %s AND generation = %s").format(
                        sql.Identifier(table)
                    ),
                    (view.name, older),
                )


async def live_generation(connection: Connection, view: View[Any]) -> tuple[int, str, bool] | None:
    """Return number, fingerprint and whether a rebuild is wanted, of the generation shown."""
    cursor = await connection.execute(
        "SELECT generation, fingerprint, rebuild_wanted FROM view_generations"
        " WHERE view = %s AND live",
        (view.name,),
    )
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1], row[2])


async def progress_of(
    connection: Connection, view: View[Any], generation: int
) -> dict[int, Progress]:
    """Return how far a generation is, per partition."""
    cursor = await connection.execute(
        "SELECT partition, position, sequence FROM view_positions"
        " WHERE view = %s AND generation = %s",
        (view.name, generation),
    )
    return {row[0]: Progress(row[1], row[2]) for row in await cursor.fetchall()}


async def load_rows(
    connection: Connection, view: View[Row], generation: int, keys: Sequence[Key]
) -> dict[Key, Row]:
    """Return the rows that have these keys."""
    if not keys or view.append_only:
        return {}
    kinds = view.columns
    columns = sql.SQL(", ").join(map(sql.Identifier, view.key))
    wanted = sql.SQL(", ").join(
        sql.SQL("%s::{}[]").format(sql.SQL(kinds[name])) for name in view.key
    )
    query = sql.SQL(
        "SELECT coalesce(json_agg(t), '[]')::text FROM {} t"
        " WHERE ({}) IN (SELECT * FROM unnest({}))"
    ).format(table_of(view, generation), columns, wanted)
    arguments = [list(values) for values in zip(*keys, strict=True)]
    cursor = await connection.execute(query, arguments)
    found = await cursor.fetchone()
    rows = msgspec.json.decode(found[0] if found else "[]", type=list[view.row])  # type: ignore[name-defined]
    return {key_of(view, row): row for row in rows}


async def read_rows(
    connection: Connection, view: View[Row], keys: Sequence[str] | None = None
) -> list[Row]:
    """Return the rows of the view as it is shown now: all, or those with one of these keys."""
    only = (
        sql.SQL("")
        if keys is None
        else sql.SQL(" WHERE {} = ANY(%s)").format(sql.Identifier(view.key[0]))
    )
    cursor = await connection.execute(
        sql.SQL("SELECT coalesce(json_agg(t), '[]')::text FROM {} t{}").format(
            sql.Identifier("views", view.name), only
        ),
        None if keys is None else (list(keys),),
    )
    found = await cursor.fetchone()
    return msgspec.json.decode(found[0] if found else "[]", type=list[view.row])  # type: ignore[name-defined]


def key_of(view: View[Row], row: Row) -> Key:
    """Return a row's key."""
    return tuple(getattr(row, name) for name in view.key)


async def save(
    connection: Connection,
    view: View[Row],
    generation: int,
    *,
    rows: Sequence[Row],
    gone: Sequence[Key],
    before: Mapping[int, Progress],
    after: Mapping[int, Progress],
    live: bool,
) -> None:
    """Write rows and position; the caller's transaction makes it one step.

    Raises `Fenced` when the position is not `before`.
    """
    await move(connection, view, generation, before=before, after=after)
    if gone:
        columns = sql.SQL(", ").join(map(sql.Identifier, view.key))
        kinds = view.columns
        wanted = sql.SQL(", ").join(
            sql.SQL("%s::{}[]").format(sql.SQL(kinds[name])) for name in view.key
        )
        await connection.execute(
            sql.SQL("DELETE FROM {} WHERE ({}) IN (SELECT * FROM unnest({}))").format(
                table_of(view, generation), columns, wanted
            ),
            [list(values) for values in zip(*gone, strict=True)],
        )
    if rows:
        await connection.execute(_upsert(view, generation), (msgspec.json.encode(rows).decode(),))
    if live:
        reached = max((progress.position for progress in after.values()), default=0)
        changed = [*(key_of(view, row) for row in rows), *gone]
        await tell(connection, view, position=reached, changed=changed)


async def forget(
    connection: Connection, view: View[Any], generation: int, people: Collection[str]
) -> None:
    """Delete every row that tells about one of these people, in the transaction of `save`."""
    if not people or view.person is None:
        return
    await connection.execute(
        sql.SQL("DELETE FROM {} WHERE {} = ANY(%s)").format(
            table_of(view, generation), sql.Identifier(view.person)
        ),
        (list(people),),
    )
    await tell(connection, view)


async def tell(
    connection: Connection,
    view: View[Any],
    *,
    position: int = 0,
    changed: Sequence[Key] | None = None,
) -> None:
    """Wake those who wait for the view to get on, and those who wait for its rows to change.

    `changed` None means that any row may have changed.
    """
    await connection.execute(
        "SELECT pg_notify(%s, %s), CASE WHEN %s THEN pg_notify(%s, %s) END",
        (
            CHANNEL,
            f"{view.name} {position}",
            changed is None or len(changed) > 0,
            ROWS_CHANNEL,
            _rows_news(view, changed),
        ),
    )


def _rows_news(view: View[Any], changed: Sequence[Key] | None) -> str:
    """Return the view's name, and which rows changed where there are few of them."""
    if changed is None or len(view.key) > 1 or len(changed) > KEYS_TOLD_MAX:
        return view.name
    return " ".join([view.name, *(str(key[0]) for key in changed)])


async def move(
    connection: Connection,
    view: View[Any],
    generation: int,
    *,
    before: Mapping[int, Progress],
    after: Mapping[int, Progress],
) -> None:
    """Move the position, if it is still where we believe it to be."""
    if not after:
        return
    cursor = await connection.execute(
        "WITH given AS (SELECT * FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::bigint[])"
        " AS given (partition, before, position, sequence)),"
        " moved AS (UPDATE view_positions AS v SET position = given.position,"
        "  sequence = given.sequence, updated_at = clock_timestamp() FROM given"
        "  WHERE v.view = %s AND v.generation = %s AND v.partition = given.partition"
        "  AND v.position = given.before RETURNING 1),"
        " begun AS (INSERT INTO view_positions (view, generation, partition, position, sequence)"
        "  SELECT %s, %s, partition, position, sequence FROM given WHERE before IS NULL"
        "  ON CONFLICT DO NOTHING RETURNING 1)"
        " SELECT (SELECT count(*) FROM moved) + (SELECT count(*) FROM begun)",
        (
            list(after),
            [before[n].position if n in before else None for n in after],
            [progress.position for progress in after.values()],
            [progress.sequence for progress in after.values()],
            *(view.name, generation, view.name, generation),
        ),
    )
    row = await cursor.fetchone()
    if row is None or row[0] != len(after):
        raise Fenced(f"{view.name} generation {generation}")


def _upsert(view: View[Any], generation: int) -> sql.Composed:
    table = table_of(view, generation)
    others = [name for name in view.columns if name not in view.key]
    changed = sql.SQL(", ").join(
        sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in others
    )
    action = sql.SQL("DO UPDATE SET {}").format(changed) if others else sql.SQL("DO NOTHING")
    return sql.SQL(
        "INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb)"
        " ON CONFLICT ({key}) {action}"
    ).format(
        table=table,
        key=sql.SQL(", ").join(map(sql.Identifier, view.key)),
        action=action,
    )


def _split_unique(expression: str) -> tuple[str, str]:
    if expression.startswith("UNIQUE "):
        return "UNIQUE", expression.removeprefix("UNIQUE ")
    return "", expression


async def tell_progress(
    connection: Connection, name: str, progress: Mapping[int, Progress]
) -> None:
    """Show how far a view is whose rows are kept elsewhere, and wake whoever waits for it."""
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO view_generations (view, generation, fingerprint, live)"
            " VALUES (%s, 1, '', true) ON CONFLICT DO NOTHING",
            (name,),
        )
        for partition, at in progress.items():
            await connection.execute(
                "INSERT INTO view_positions (view, generation, partition, position, sequence)"
                " VALUES (%s, 1, %s, %s, %s) ON CONFLICT (view, generation, partition)"
                " DO UPDATE SET position = EXCLUDED.position, sequence = EXCLUDED.sequence,"
                " updated_at = clock_timestamp()",
                (name, partition, at.position, at.sequence),
            )
        reached = max((at.position for at in progress.values()), default=0)
        await connection.execute(
            "SELECT pg_notify(%s, %s), pg_notify(%s, %s)",
            (CHANNEL, f"{name} {reached}", ROWS_CHANNEL, name),
        )
