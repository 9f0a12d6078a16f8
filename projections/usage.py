"""How much was served, per hour: what usage pages and bills are made of."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import LiteralString

import msgspec
from psycopg import sql

from domain.metering.events import RequestsServed
from domain.metering.values import RequestLine, decode_frame
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Reader
from projections.view import Change, View

HOUR_MS = 3_600_000
SERVER_ERROR = 500
CLIENT_ERROR = 400


class RequestTotalsRow(msgspec.Struct, frozen=True, kw_only=True):
    """One team's requests to one deployment with one key, in one hour (UTC)."""

    team_id: str
    deployment_id: str
    key_id: str
    hour: datetime
    requests: int = 0
    """Every request the gateway answered, refused ones included."""
    billable: int = 0
    """Those that passed every check and were handed to a replica."""
    client_errors: int = 0
    server_errors: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


def _changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    if not isinstance(event, RequestsServed):
        return []
    totals: dict[tuple[str, str, str, int], RequestTotalsRow] = {}
    for line in decode_frame(event):
        place = (line.team_id, line.deployment_id, line.key_id, line.time // HOUR_MS)
        totals[place] = _add(totals.get(place), _one(line))
    return [
        ((row.team_id, row.deployment_id, row.key_id, row.hour), row) for row in totals.values()
    ]


def _fold(
    row: RequestTotalsRow | None, more: RequestTotalsRow, _: RecordedEvent
) -> RequestTotalsRow:
    return _add(row, more)


def _one(line: RequestLine) -> RequestTotalsRow:
    return RequestTotalsRow(
        team_id=line.team_id,
        deployment_id=line.deployment_id,
        key_id=line.key_id,
        hour=datetime.fromtimestamp(line.time // HOUR_MS * (HOUR_MS // 1000), UTC),
        requests=1,
        billable=int(line.billable),
        client_errors=int(CLIENT_ERROR <= line.status < SERVER_ERROR),
        server_errors=int(line.status >= SERVER_ERROR),
        bytes_in=line.bytes_in,
        bytes_out=line.bytes_out,
    )


def _add(row: RequestTotalsRow | None, more: RequestTotalsRow) -> RequestTotalsRow:
    if row is None:
        return more
    return msgspec.structs.replace(
        row,
        requests=row.requests + more.requests,
        billable=row.billable + more.billable,
        client_errors=row.client_errors + more.client_errors,
        server_errors=row.server_errors + more.server_errors,
        bytes_in=row.bytes_in + more.bytes_in,
        bytes_out=row.bytes_out + more.bytes_out,
    )


REQUEST_TOTALS = View(
    name="request_totals",
    version=1,
    topic=Topic.REQUESTS,
    row=RequestTotalsRow,
    key=("team_id", "deployment_id", "key_id", "hour"),
    changes=_changes,
    fold=_fold,
    indexes=("team_id, hour",),
)


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over some hours, for one value of what was asked to be kept apart."""

    subject: str
    """A deployment's or key's id, or a day (`2026-11-23`)."""
    requests: int
    billable: int
    client_errors: int
    server_errors: int
    bytes_in: int
    bytes_out: int


SUBJECTS: dict[str, LiteralString] = {
    "deployment": "deployment_id",
    "key": "key_id",
    "day": "to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}


async def used_by(
    reader: Reader, subject: str, *, team_id: str, start: datetime, end: datetime
) -> Sequence[Used]:
    """Return a team's usage between two full hours, apart by deployment, key or day."""
    return await reader.rows(
        Used,
        sql.SQL(
            "SELECT {} AS subject, sum(requests)::bigint AS requests,"
            " sum(billable)::bigint AS billable, sum(client_errors)::bigint AS client_errors,"
            " sum(server_errors)::bigint AS server_errors, sum(bytes_in)::bigint AS bytes_in,"
            " sum(bytes_out)::bigint AS bytes_out FROM views.request_totals"
            " WHERE team_id = %s AND hour >= %s AND hour < %s GROUP BY 1 ORDER BY 1"
        ).format(sql.SQL(SUBJECTS[subject])),
        team_id,
        start,
        end,
    )
