"""The audit list: one row for every event of the control plane, in log order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString

import msgspec
from psycopg import sql

from infrastructure.event_store import RecordedEvent
from infrastructure.sealing import mask
from infrastructure.stream import Topic
from projections.reading import Listing, Page, Reader, Window
from projections.view import Change, View

_OBSERVED = "metering."
"""What we noticed ourselves: nobody did it to anything."""
NEVER_SHOWN = frozenset(
    {
        "document",  # of a portal: too long for a list
        "secret_hash",
        "refresh_hash",
        "password_hash",
        "recovery_hashes",
        "code_hash",
        "challenge_hash",
    }
)


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, when, from where, to what."""

    position: int
    event_id: str
    recorded_at: datetime
    stream_id: str
    version: int
    type: str
    actor: str
    team_id: str | None
    address: str | None
    """As the log has it: sealed."""
    correlation_id: str | None
    content: dict[str, Any]
    """What the event says, with everything sealed or secret left out."""


def _changes(_: object, recorded: RecordedEvent) -> Sequence[Change]:
    if recorded.topic.startswith(_OBSERVED):
        return []
    return [((recorded.position,), recorded)]


def _fold(_: AuditRow | None, recorded: RecordedEvent, __: RecordedEvent) -> AuditRow:
    return AuditRow(
        position=recorded.position,
        event_id=str(recorded.event_id),
        recorded_at=recorded.recorded_at,
        stream_id=recorded.stream_id,
        version=recorded.version,
        type=recorded.topic.partition("@")[0],
        actor=recorded.metadata.actor,
        team_id=recorded.metadata.team_id,
        address=recorded.metadata.address,
        correlation_id=recorded.metadata.correlation_id,
        content=public_content(recorded.data),
    )


def public_content(data: bytes) -> dict[str, Any]:
    """Return an event's content as anybody who may see the event may read it."""
    try:
        content = msgspec.json.decode(mask(data.decode(errors="replace")))
        if b"\\u0000" in data:
            content = _storable(content)
    except (msgspec.DecodeError, RecursionError):
        return {"unreadable": True}
    if not isinstance(content, dict):
        return {"unreadable": True}
    return {name: value for name, value in content.items() if name not in NEVER_SHOWN}


def _storable(value: object) -> object:
    """Return the value without NUL, the one character that PostgreSQL keeps in no text."""
    match value:
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case dict():
            return {_storable(name): _storable(inner) for name, inner in value.items()}
        case list():
            return [_storable(inner) for inner in value]
    return value


AUDIT = View(
    name="audit",
    version=4,
    topic=Topic.EVENTS,
    row=AuditRow,
    key=("position",),
    changes=_changes,
    fold=_fold,
    indexes=(
        "team_id, position",
        "stream_id, version",
        "(content ->> 'team_id')",
        "actor, position",
        "(content ->> 'user_id')",
        "(content ->> 'from_team_id')",
    ),
    append_only=True,
    reads_raw=True,
)


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit list is narrowed to."""

    actor: str | None = None
    type: str | None = None
    stream_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None


AUDIT_LISTING = Listing(
    sorts={"position": "position"},
    sort_default="-position",
    id_column="position",
    kinds=AUDIT.columns,
)

# Each event belongs to the team that the thing had then: what is transferred takes nothing of its
# past along, and leaves its future. The transfer itself is told to both. An event without a team
# belongs to whom its stream is about.
_OWN: LiteralString = (
    " (team_id = ANY(%s) OR content ->> 'from_team_id' = ANY(%s) OR (team_id IS NULL AND stream_id"
    " IN (SELECT stream_id FROM views.audit WHERE version = 1"
    " AND (content ->> 'team_id' = ANY(%s) OR content ->> 'user_id' = %s))))"
)


async def list_audit(
    reader: Reader, window: Window, sought: Sought, *, team_ids: Sequence[str], user_id: str | None
) -> Page[AuditRow]:
    """Return what happened to these teams' things."""
    return await reader.page(
        AuditRow,
        sql.SQL(
            "SELECT * FROM views.audit WHERE (%s::text IS NULL OR actor = %s)"
            " AND (%s::text IS NULL OR type = %s) AND (%s::text IS NULL OR stream_id = %s)"
            " AND (%s::timestamptz IS NULL OR recorded_at >= %s)"
            " AND (%s::timestamptz IS NULL OR recorded_at < %s) AND"
        )
        + sql.SQL(_OWN),
        *(value for name in Sought.__struct_fields__ for value in [getattr(sought, name)] * 2),
        list(team_ids),
        list(team_ids),
        list(team_ids),
        user_id,
        listing=AUDIT_LISTING,
        window=window,
    )


async def history(
    reader: Reader, stream_id: str, *, team_ids: Sequence[str], user_id: str | None
) -> Sequence[AuditRow]:
    """Return all that happened to one thing, oldest first; nothing if it is not these teams'."""
    return await reader.rows(
        AuditRow,
        sql.SQL("SELECT * FROM views.audit WHERE stream_id = %s AND")
        + sql.SQL(_OWN)
        + sql.SQL(" ORDER BY version"),
        stream_id,
        list(team_ids),
        list(team_ids),
        list(team_ids),
        user_id,
    )
