"""What runs: workers by the locks they hold, gateways and the provisioner by what they say.

A worker that works holds an advisory lock of its name on a connection of its own, so PostgreSQL
itself knows who runs, at this moment; a heartbeat would know it a while later.
"""

import hashlib
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import psycopg

from projections.reading import Reader

WORKERS = ("views", "analytics", "provisioner", "mailer", "scheduler", "webhooks")
"""Those that always have to run."""
LOCK_CLASS = 7405603
RELAY_LOCK_CLASS = 7405602
GATEWAY_SILENT_SECONDS = 30
REPORT_OLD_SECONDS = 60

REPORTS_SCHEMA = """
CREATE TABLE IF NOT EXISTS process_reports (
    process text PRIMARY KEY,
    reported_at timestamptz NOT NULL,
    report jsonb NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON process_reports TO tallyport_app;
"""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one view stands."""

    view: str
    position: int
    parked: int
    rebuilding: bool
    waiting_since: datetime | None
    """When the oldest event was recorded that it has not seen; None: it has seen everything."""


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that was heard of lately."""

    gateway_id: str
    seen_at: datetime


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says of itself."""

    process: str
    reported_at: datetime
    report: dict[str, Any]


class RelayPlace(msgspec.Struct, frozen=True, kw_only=True):
    """How far the relay is."""

    position: int
    saved_at: datetime


class _Lock(msgspec.Struct, frozen=True):
    classid: int
    objid: int


def lock_key(name: str) -> int:
    """Return the second key of the lock that a worker of this name holds."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True)


async def running(reader: Reader, names: Sequence[str]) -> set[str]:
    """Return which of these workers run."""
    rows = await reader.rows(
        _Lock,
        "SELECT classid::bigint AS classid, objid::bigint AS objid FROM pg_locks"
        " WHERE locktype = 'advisory' AND granted AND classid::bigint = ANY(%s)"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [LOCK_CLASS, RELAY_LOCK_CLASS],
    )
    held = {(row.classid, row.objid) for row in rows}
    found = {name for name in names if (LOCK_CLASS, lock_key(name) & 0xFFFFFFFF) in held}
    relay = (RELAY_LOCK_CLASS, zlib.crc32(b"kafka") & 0x7FFFFFFF)
    return found | ({"relay"} if relay in held else set())


async def standings(reader: Reader) -> Sequence[Standing]:
    """Return how each view stands."""
    return await reader.rows(
        Standing,
        "SELECT s.view, s.position, s.rebuilding, (SELECT count(*) FROM parked_events AS p"
        "  WHERE p.view = s.view AND p.generation = s.generation) AS parked,"
        " (SELECT recorded_at FROM events WHERE notification_id > s.position"
        "  ORDER BY notification_id LIMIT 1) AS waiting_since"
        " FROM (SELECT g.view, g.generation, min(position) AS position, g.rebuild_wanted OR EXISTS"
        "  (SELECT FROM view_generations AS n WHERE n.view = g.view"
        "  AND n.generation > g.generation) AS rebuilding"
        "  FROM view_generations AS g JOIN view_positions USING (view, generation)"
        "  WHERE live GROUP BY g.view, g.generation, g.rebuild_wanted) AS s ORDER BY s.view",
    )


async def gateways(reader: Reader) -> Sequence[Gateway]:
    """Return the gateways that said anything in the last hour."""
    return await reader.rows(
        Gateway,
        "SELECT gateway_id, seen_at FROM gateways"
        " WHERE seen_at > clock_timestamp() - interval '1 hour' ORDER BY gateway_id",
    )


async def report_of(reader: Reader, process: str) -> Report | None:
    """Return what a process said last of itself."""
    return await reader.row(Report, "SELECT * FROM process_reports WHERE process = %s", process)


async def relay_place(reader: Reader) -> RelayPlace | None:
    """Return how far the relay is, if there ever was one."""
    return await reader.row(
        RelayPlace, "SELECT position, saved_at FROM relay_positions ORDER BY saved_at DESC LIMIT 1"
    )


async def tell_report(
    connection: psycopg.AsyncConnection[Any], process: str, report: bytes
) -> None:
    """Say of a process how it stands; `report` is JSON."""
    await connection.execute(
        "INSERT INTO process_reports VALUES (%s, clock_timestamp(), %s::jsonb)"
        " ON CONFLICT (process) DO UPDATE SET reported_at = EXCLUDED.reported_at,"
        " report = EXCLUDED.report",
        (process, report.decode()),
    )
