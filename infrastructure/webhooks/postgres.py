"""The ledger in PostgreSQL.

The tables are no views: a message stays as it was sent, so they are written once per event and
never filled anew.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import DictRow, TupleRow, dict_row
from psycopg_pool import AsyncConnectionPool

from infrastructure.webhooks import (
    Attempt,
    Change,
    Due,
    Endpoint,
    Enqueue,
    Fenced,
    GiveUp,
    Message,
    PutEndpoint,
    RemoveEndpoint,
    RemoveTeam,
    Replay,
    SendAgain,
    Verdict,
)

WEBHOOKS_SCHEMA = """
CREATE TABLE IF NOT EXISTS webhook_progress (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    position bigint NOT NULL DEFAULT 0
);
INSERT INTO webhook_progress DEFAULT VALUES ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS webhook_endpoints (
    webhook_id text PRIMARY KEY,
    team_id text NOT NULL,
    url text NOT NULL,
    event_types text[] NOT NULL,
    secret text NOT NULL,
    previous_secret text,
    previous_until timestamptz,
    enabled boolean NOT NULL,
    failing_since timestamptz
);
ALTER TABLE webhook_endpoints ADD COLUMN IF NOT EXISTS rests_until timestamptz;
CREATE INDEX IF NOT EXISTS webhook_endpoints_of_team ON webhook_endpoints (team_id);
CREATE TABLE IF NOT EXISTS webhook_deliveries (
    id text PRIMARY KEY,
    webhook_id text NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    cursor text NOT NULL,
    position bigint NOT NULL,
    event_type text NOT NULL,
    body text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    attempts integer NOT NULL DEFAULT 0,
    tries integer NOT NULL DEFAULT 0,
    due_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_attempt_at timestamptz,
    last_status integer,
    problem text,
    UNIQUE (webhook_id, cursor)
);
CREATE INDEX IF NOT EXISTS webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at, id)
    WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS webhook_deliveries_by_time ON webhook_deliveries
    (webhook_id, created_at, id);
CREATE INDEX IF NOT EXISTS webhook_deliveries_by_age ON webhook_deliveries (created_at);
CREATE TABLE IF NOT EXISTS webhook_attempts (
    delivery_id text NOT NULL REFERENCES webhook_deliveries ON DELETE CASCADE,
    number integer NOT NULL,
    at timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    status integer,
    answer text,
    problem text,
    PRIMARY KEY (delivery_id, number)
);
CREATE TABLE IF NOT EXISTS webhook_replays (
    position bigint PRIMARY KEY,
    webhook_id text NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    missed_only boolean NOT NULL,
    reached bigint
);
GRANT SELECT, UPDATE ON webhook_progress TO tallyport_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoints, webhook_deliveries, webhook_attempts,
    webhook_replays TO tallyport_app;
"""

_ENDPOINT = (
    "webhook_id, team_id, url, event_types, secret, previous_secret, previous_until, enabled,"
    " failing_since"
)
_ENQUEUE = (
    "INSERT INTO webhook_deliveries (id, webhook_id, cursor, position, event_type, body, due_at)"
    " SELECT %s, webhook_id, %s, %s, %s, %s, clock_timestamp() FROM webhook_endpoints"
    " WHERE webhook_id = %s ON CONFLICT (webhook_id, cursor)"
)
_AGAIN = "status = 'pending', tries = 0, due_at = "
_SEND_FIRST = (
    f"UPDATE webhook_deliveries SET {_AGAIN} (SELECT"  # noqa: S608 - ours
    " least(min(due_at) - interval '1 microsecond', clock_timestamp())"
    " FROM webhook_deliveries WHERE webhook_id = %(webhook_id)s AND status = 'pending')"
    " WHERE id = %(id)s AND webhook_id = %(webhook_id)s"
).encode()

Connection = psycopg.AsyncConnection[TupleRow]


class PostgresLedger:
    """See the port for what each does."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool

    async def position(self) -> int:
        """Return how far the log is in it."""
        [row] = await self._rows("SELECT position FROM webhook_progress")
        return int(row["position"])

    async def endpoints(self) -> Sequence[Endpoint]:
        """Return all endpoints as they are at that position."""
        rows = await self._rows(f"SELECT {_ENDPOINT} FROM webhook_endpoints")  # noqa: S608 - ours
        return [_endpoint(row) for row in rows]

    async def advance(self, changes: Sequence[Change], *, before: int, after: int) -> None:
        """Write what a part of the log means, and how far that was."""
        async with self._pool.connection() as connection, connection.transaction():
            moved = await connection.execute(
                "UPDATE webhook_progress SET position = %s WHERE position = %s", (after, before)
            )
            if moved.rowcount == 0:
                raise Fenced
            for change in changes:
                await _write(connection, change)

    async def due(
        self,
        *,
        now: datetime,
        limit: int,
        per_endpoint: int,
        under_way: Collection[str],
        busy: Mapping[str, int],
        failing: bool,
    ) -> Sequence[Due]:
        """Ask each endpoint's own queue, so that a long one hides no other."""
        rows = await self._rows(
            f"SELECT {', '.join(f'e.{each}' for each in _ENDPOINT.split(', '))}, d.*"  # noqa: S608 - ours
            " FROM webhook_endpoints AS e"
            " LEFT JOIN unnest(%(busy)s::text[], %(numbers)s::int[]) AS b (webhook_id, number)"
            " USING (webhook_id) CROSS JOIN LATERAL ("
            "  SELECT id, cursor, position, event_type, body, tries, due_at,"
            "  row_number() OVER (ORDER BY due_at, id) + coalesce(b.number, 0) AS place"
            "  FROM webhook_deliveries WHERE webhook_id = e.webhook_id AND status = 'pending'"
            "  AND due_at <= %(now)s AND id <> ALL(%(under_way)s)"
            "  AND (e.enabled OR event_type = 'webhook.test') ORDER BY due_at, id"
            "  LIMIT greatest(%(per_endpoint)s - coalesce(b.number, 0), 0)) AS d"
            " WHERE (e.failing_since IS NOT NULL) = %(failing)s"
            " AND (e.rests_until IS NULL OR e.rests_until <= %(now)s)"
            " ORDER BY d.place, d.due_at, d.id LIMIT %(limit)s",
            {
                "now": now,
                "limit": limit,
                "per_endpoint": per_endpoint,
                "under_way": list(under_way),
                "busy": list(busy),
                "numbers": list(busy.values()),
                "failing": failing,
            },
        )
        return [_due(row) for row in rows]

    async def next_due(self, *, after: datetime) -> datetime | None:
        """Return when the first that is not due yet, or whose endpoint rests, will be."""
        [row] = await self._rows(
            "SELECT min(greatest(d.due_at, e.rests_until)) AS at"
            " FROM webhook_endpoints AS e CROSS JOIN LATERAL"
            " (SELECT due_at FROM webhook_deliveries WHERE webhook_id = e.webhook_id"
            "  AND status = 'pending'"
            "  AND due_at > CASE WHEN e.rests_until > %(after)s THEN '-infinity' ELSE %(after)s END"
            "  ORDER BY due_at, id LIMIT 1) AS d",
            {"after": after},
        )
        at: datetime | None = row["at"]
        return at

    async def record(self, due: Due, attempt: Attempt, verdict: Verdict) -> datetime | None:
        """Write the attempt, what follows for the message, and how the endpoint is."""
        delivery_id = due.message.delivery_id
        async with self._pool.connection() as connection, connection.transaction():
            if verdict.status != "delivered":
                # Nobody waits for the disk: a failure that is lost in a crash is tried again.
                await connection.execute("SET LOCAL synchronous_commit = off")
            # The endpoint first, as the follower does: the other way round they block each other.
            await connection.execute(
                "SELECT FROM webhook_endpoints WHERE webhook_id = %s FOR NO KEY UPDATE",
                (due.message.webhook_id,),
            )
            changed = await connection.execute(
                # What was given up while it was under way is not tried again.
                "UPDATE webhook_deliveries SET attempts = attempts + 1, tries = tries + 1,"
                " status = CASE WHEN %(status)s = 'pending' THEN status ELSE %(status)s END,"
                " due_at = CASE WHEN status = 'pending' THEN %(due_at)s::timestamptz END,"
                " last_attempt_at = %(at)s, last_status = %(answered)s, problem = %(problem)s"
                " WHERE id = %(id)s RETURNING attempts",
                {
                    "status": verdict.status,
                    "due_at": verdict.due_at,
                    "at": attempt.at,
                    "answered": attempt.status,
                    "problem": attempt.problem,
                    "id": delivery_id,
                },
            )
            attempts = await changed.fetchone()
            if attempts is None:  # the webhook was deleted meanwhile
                return None
            await connection.execute(
                "INSERT INTO webhook_attempts"
                " (delivery_id, number, at, duration_ms, status, answer, problem)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (
                    delivery_id,
                    attempts[0],
                    attempt.at,
                    attempt.duration_ms,
                    attempt.status,
                    attempt.answer,
                    attempt.problem,
                ),
            )
            cursor = await connection.execute(
                "UPDATE webhook_endpoints"
                " SET failing_since = CASE WHEN %s THEN NULL ELSE coalesce(failing_since, %s) END,"
                " rests_until = %s WHERE webhook_id = %s RETURNING failing_since",
                (
                    verdict.status == "delivered",
                    attempt.at,
                    verdict.rests_until,
                    due.message.webhook_id,
                ),
            )
            row = await cursor.fetchone()
        return row[0] if row is not None else None

    async def replays(self) -> Sequence[Replay]:
        """Return the replays that are not done."""
        rows = await self._rows("SELECT * FROM webhook_replays ORDER BY position")
        return [Replay(**row) for row in rows]

    async def replay(
        self, replay: Replay, messages: Sequence[Message], *, reached: int, done: bool
    ) -> None:
        """Write a part of a replay together with how far it got."""
        wanted = " AND webhook_deliveries.status <> 'delivered'" if replay.missed_only else ""
        statement = f"{_ENQUEUE} DO UPDATE SET {_AGAIN} clock_timestamp() WHERE true{wanted}"
        async with self._pool.connection() as connection, connection.transaction():
            for message in messages:
                await connection.execute(statement.encode(), _values(message))
            if done:
                await connection.execute(
                    "DELETE FROM webhook_replays WHERE position = %s", (replay.position,)
                )
            else:
                await connection.execute(
                    "UPDATE webhook_replays SET reached = %s WHERE position = %s",
                    (reached, replay.position),
                )

    async def prune(self, *, before: datetime, limit: int) -> int:
        """Forget messages that were done with before a time; return how many."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries"
                " WHERE created_at < %s AND status <> 'pending'"
                " AND coalesce(last_attempt_at, created_at) < %s LIMIT %s)",
                (before, before, limit),
            )
        return int(cursor.rowcount)

    async def _rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[DictRow]:
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(query.encode(), parameters)
            rows: list[DictRow] = await cursor.fetchall()
        return rows


async def _write(connection: Connection, change: Change) -> None:
    match change:
        case PutEndpoint(endpoint):
            await connection.execute(
                "INSERT INTO webhook_endpoints (webhook_id, team_id, url, event_types, secret,"
                " previous_secret, previous_until, enabled) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
                " ON CONFLICT (webhook_id) DO UPDATE SET url = excluded.url,"
                " event_types = excluded.event_types, secret = excluded.secret,"
                " previous_secret = excluded.previous_secret,"
                " previous_until = excluded.previous_until, enabled = excluded.enabled,"
                " (failing_since, rests_until) = (SELECT webhook_endpoints.failing_since,"
                "  webhook_endpoints.rests_until WHERE (webhook_endpoints.enabled,"
                "  webhook_endpoints.url) = (excluded.enabled, excluded.url))",
                (
                    endpoint.webhook_id,
                    endpoint.team_id,
                    endpoint.url,
                    list(endpoint.event_types),
                    endpoint.secret,
                    endpoint.previous_secret,
                    endpoint.previous_until,
                    endpoint.enabled,
                ),
            )
        case RemoveEndpoint(webhook_id):
            await connection.execute(
                "DELETE FROM webhook_endpoints WHERE webhook_id = %s", (webhook_id,)
            )
        case RemoveTeam(team_id):
            await connection.execute("DELETE FROM webhook_endpoints WHERE team_id = %s", (team_id,))
        case Enqueue(message, first):
            await connection.execute(f"{_ENQUEUE} DO NOTHING".encode(), _values(message))
            if first:
                await _send_first(connection, message.webhook_id, message.delivery_id)
        case SendAgain(webhook_id, delivery_id):
            await _send_first(connection, webhook_id, delivery_id)
        case GiveUp(webhook_id, why):
            await connection.execute(
                "UPDATE webhook_deliveries SET status = 'failed', due_at = NULL, problem = %s"
                " WHERE webhook_id = %s AND status = 'pending'",
                (why, webhook_id),
            )
        case Replay():
            await connection.execute(
                "INSERT INTO webhook_replays (position, webhook_id, since, until, missed_only)"
                " SELECT %s, webhook_id, %s, %s, %s FROM webhook_endpoints WHERE webhook_id = %s",
                (
                    change.position,
                    change.since,
                    change.until,
                    change.missed_only,
                    change.webhook_id,
                ),
            )


async def _send_first(connection: Connection, webhook_id: str, delivery_id: str) -> None:
    """Put a message before all others of its endpoint, and wake that one."""
    names = {"webhook_id": webhook_id, "id": delivery_id}
    await connection.execute(
        "UPDATE webhook_endpoints SET rests_until = NULL WHERE webhook_id = %(webhook_id)s", names
    )
    await connection.execute(_SEND_FIRST, names)


def _values(message: Message) -> tuple[object, ...]:
    return (
        message.delivery_id,
        message.cursor,
        message.position,
        message.event_type,
        message.body,
        message.webhook_id,
    )


def _endpoint(row: DictRow) -> Endpoint:
    known = {name: row[name] for name in Endpoint.__struct_fields__}
    return Endpoint(**{**known, "event_types": tuple(row["event_types"])})


def _due(row: DictRow) -> Due:
    return Due(
        message=Message(
            delivery_id=row["id"],
            webhook_id=row["webhook_id"],
            cursor=row["cursor"],
            position=row["position"],
            event_type=row["event_type"],
            body=row["body"],
        ),
        endpoint=_endpoint(row),
        tries=row["tries"],
    )
