"""Whether ClickHouse has of a closed hour exactly what the log's frames have.

A fingerprint of a team's hour is a count, a count of billable requests, and a sum over a hash of
each line: it depends on no order, sees a line that is missing, twice, or different, and both
Python and ClickHouse can work it out. No invoice is made from an hour that differs.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from infrastructure.clickhouse import ClickHouse
from projections.analytics.schema import RequestRow

_HASH_SIZE = 2**64


class Fingerprint(msgspec.Struct, frozen=True):
    """What one team's hour looks like. Equal fingerprints, equal rows."""

    requests: int = 0
    billable: int = 0
    digest: int = 0


class Difference(msgspec.Struct, frozen=True):
    """A team whose hour differs."""

    team_id: str
    hour: datetime
    in_log: Fingerprint
    in_clickhouse: Fingerprint


def fingerprints(rows: Iterable[RequestRow], hour: datetime) -> dict[str, Fingerprint]:
    """Return the fingerprint per team of those rows (`frames.rows_of`) that fall into the hour."""
    first = hour.astimezone(UTC)
    inside = f"{first:%Y-%m-%d %H:}"
    found: dict[str, Fingerprint] = {}
    for row in rows:
        if row.time.startswith(inside):
            so_far = found.get(row.team_id, Fingerprint())
            found[row.team_id] = Fingerprint(
                so_far.requests + 1,
                so_far.billable + row.billable,
                (so_far.digest + _hash(row)) % _HASH_SIZE,
            )
    return found


def _hash(row: RequestRow) -> int:
    text = "\x1f".join(
        (
            row.stream_id,
            str(row.frame),
            str(row.line),
            row.time,
            row.deployment_id,
            row.key_id,
            row.request_id,
            str(row.status),
            "true" if row.billable else "false",
            str(row.bytes_in),
            str(row.bytes_out),
        )
    )
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


class _StoredTeam(msgspec.Struct, frozen=True):
    team_id: str
    requests: int
    billable: int
    digest: int


async def stored_fingerprints(clickhouse: ClickHouse, hour: datetime) -> dict[str, Fingerprint]:
    """Return the fingerprint per team of what ClickHouse has of an hour."""
    start = hour.astimezone(UTC)
    rows = await clickhouse.query(
        _StoredTeam,
        """
        SELECT team_id, count() AS requests, countIf(row.billable) AS billable,
               sum(reinterpretAsUInt64(substring(SHA256(arrayStringConcat([
                   stream_id, toString(frame), toString(line), toString(time),
                   deployment_id, key_id, request_id, toString(status), toString(row.billable),
                   toString(bytes_in), toString(bytes_out)], '\\x1F')), 1, 8))) AS digest
        FROM requests AS row FINAL
        WHERE time >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
          AND time < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
        GROUP BY team_id
        """,
        {
            "start": int(start.timestamp() * 1000),
            "end": int((start + timedelta(hours=1)).timestamp() * 1000),
        },
    )
    return {row.team_id: Fingerprint(row.requests, row.billable, row.digest) for row in rows}


async def differences(
    clickhouse: ClickHouse, hour: datetime, in_log: Mapping[str, Fingerprint]
) -> list[Difference]:
    """Return every team for which ClickHouse and the log do not agree on a closed hour."""
    stored = await stored_fingerprints(clickhouse, hour)
    return [
        Difference(team, hour, in_log.get(team, Fingerprint()), stored.get(team, Fingerprint()))
        for team in sorted(in_log.keys() | stored.keys())
        if in_log.get(team) != stored.get(team)
    ]
