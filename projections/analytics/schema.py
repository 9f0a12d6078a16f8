"""The tables in ClickHouse. Those of requests may be dropped: the projector fills them again.

A table whose meaning changes gets a new name: the new one is filled from the log beside the old
one, then the old one is dropped.

All row tables are ReplacingMergeTrees whose sorting key is the row's identity after the team and
the time: a row inserted twice is one row for every reader, who says FINAL. The partition follows
from the sorting key, so that repetitions always meet.
"""

from collections.abc import Sequence

import msgspec

from infrastructure.clickhouse import ClickHouse

REQUESTS = "requests"
PROGRESS = "request_progress"
LOGS = "container_logs"
SAMPLES = "replica_samples"

# Rows that are acknowledged are on the disk: what the projector once saw stored stays stored.
_DURABLE = "fsync_after_insert = 1, fsync_part_directory = 1"

_STATEMENTS = (
    f"""
    CREATE TABLE IF NOT EXISTS {REQUESTS} (
        time DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
        team_id LowCardinality(String),
        deployment_id LowCardinality(String),
        key_id String,
        request_id String,
        method LowCardinality(String),
        path String CODEC(ZSTD),
        status Int16,
        billable Bool,
        refused LowCardinality(String) COMMENT 'why the gateway itself refused it, or empty',
        ended LowCardinality(String),
        bytes_in Int64,
        bytes_out Int64,
        total_ms Int32,
        connect_ms Int32,
        upstream_ms Int32,
        address String,
        worker_pid UInt32,
        worker_started Int64 CODEC(Delta, ZSTD),
        worker_line Int64 CODEC(Delta, ZSTD),
        stream_id LowCardinality(String) COMMENT 'the request log that the frame was cut from',
        frame UInt64 COMMENT 'version of the frame in its stream',
        line UInt32 COMMENT 'number of the line in its frame, from 1',
        position UInt64 COMMENT 'place of the frame in the log' CODEC(Delta, ZSTD),
        log_partition UInt8 COMMENT 'partition of the topic that carried the frame',
        INDEX frames position TYPE minmax GRANULARITY 1
    )
    ENGINE = ReplacingMergeTree
    PARTITION BY toYYYYMM(time)
    ORDER BY (team_id, time, position, line)
    SETTINGS {_DURABLE}
    """,
    f"""
    CREATE TABLE IF NOT EXISTS {PROGRESS} (
        log_partition UInt8,
        position UInt64 COMMENT 'every frame up to here is stored'
    )
    ENGINE = ReplacingMergeTree(position)
    ORDER BY log_partition
    SETTINGS {_DURABLE}
    """,
    f"""
    CREATE TABLE IF NOT EXISTS {LOGS} (
        time DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
        team_id LowCardinality(String),
        deployment_id LowCardinality(String),
        replica_id LowCardinality(String),
        ordinal UInt32 COMMENT 'counts the lines of one replica with the same time',
        source LowCardinality(String),
        level LowCardinality(String),
        message String CODEC(ZSTD),
        stored_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'for whoever follows'
    )
    ENGINE = ReplacingMergeTree
    PARTITION BY toYYYYMMDD(time)
    ORDER BY (team_id, deployment_id, time, replica_id, ordinal)
    SETTINGS ttl_only_drop_parts = 1
    """,
    f"""
    ALTER TABLE {LOGS}
    ADD COLUMN IF NOT EXISTS stored_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
    """,
    f"""
    CREATE TABLE IF NOT EXISTS {SAMPLES} (
        time DateTime('UTC') COMMENT 'the round: the same for all replicas' CODEC(Delta, ZSTD),
        team_id LowCardinality(String),
        deployment_id LowCardinality(String),
        replica_id LowCardinality(String),
        cpu_millis Float32 COMMENT 'used since the sample before, on average' CODEC(ZSTD),
        memory_bytes Int64 CODEC(T64, ZSTD),
        network_in_bytes Nullable(Int64) COMMENT 'since the sample before' CODEC(ZSTD),
        network_out_bytes Nullable(Int64) CODEC(ZSTD)
    )
    ENGINE = ReplacingMergeTree
    PARTITION BY toYYYYMMDD(time)
    ORDER BY (team_id, deployment_id, time, replica_id)
    SETTINGS ttl_only_drop_parts = 1
    """,
)


class DatedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a table that is partitioned by the day."""

    time: str
    """As text: ``2026-11-23 02:12:01.345678``, UTC."""


class RequestRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `REQUESTS`; the fields are the columns."""

    time: str
    """As text: ``2026-11-23 02:12:01.345``, UTC."""
    team_id: str
    deployment_id: str
    key_id: str
    request_id: str
    method: str
    path: str
    status: int
    billable: bool
    refused: str
    ended: str
    bytes_in: int
    bytes_out: int
    total_ms: int
    connect_ms: int
    upstream_ms: int
    address: str
    worker_pid: int
    worker_started: int
    worker_line: int
    stream_id: str
    frame: int
    line: int
    position: int
    log_partition: int


class ProgressRow(msgspec.Struct, frozen=True):
    """One row of `PROGRESS`."""

    log_partition: int
    position: int


class _Table(msgspec.Struct, frozen=True):
    engine_full: str


async def create_tables(
    clickhouse: ClickHouse, *, log_retention_days: int = 7, sample_retention_days: int = 30
) -> None:
    """Create what is missing and set how long it is kept. Repeating it changes nothing."""
    for statement in _STATEMENTS:
        await clickhouse.command(statement)
    await _keep_for(clickhouse, LOGS, log_retention_days)
    await _keep_for(clickhouse, SAMPLES, sample_retention_days)


async def insert_by_day(
    clickhouse: ClickHouse, table: str, rows: Sequence[DatedRow], *, writer: str
) -> None:
    """Insert rows a day at a time: each insert is stored whole or not at all."""
    days: dict[str, list[DatedRow]] = {}
    for row in rows:
        days.setdefault(row.time[:10], []).append(row)
    for of_one_day in days.values():
        await clickhouse.insert(table, of_one_day, writer=writer)


async def drop_request_tables(clickhouse: ClickHouse) -> None:
    """Forget all requests; the projector's next start fills them again from the log."""
    for table in (PROGRESS, REQUESTS):  # first the claim, then what it claims
        await clickhouse.command(f"DROP TABLE IF EXISTS {table} SYNC")


async def _keep_for(clickhouse: ClickHouse, name: str, days: int) -> None:
    [table] = await clickhouse.query(
        _Table,
        "SELECT engine_full FROM system.tables"
        " WHERE database = currentDatabase() AND name = {name:String}",
        {"name": name},
    )
    keep = f"toIntervalDay({days:d})"
    # Only when it differs: ClickHouse would look at every part again each time.
    if keep not in table.engine_full:
        await clickhouse.command(f"ALTER TABLE {name} MODIFY TTL toDateTime(time) + {keep}")
