"""Whose erasure is under way, and which ones are done: ids and times, nothing about anybody."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.identity.events import ErasureFinished, UserErased, UserKeyDestroyed
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Reader
from projections.view import Change, View


class ErasureRow(msgspec.Struct, frozen=True, kw_only=True):
    """One erasure."""

    erased_id: str
    """The user who was erased."""
    team_id: str
    position: int
    """Of the erasure in the log: what is older may have been made by the person."""
    erased_at: datetime
    key_destroyed_at: datetime | None = None
    finished_at: datetime | None = None


def _changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    match event:
        case UserErased() | UserKeyDestroyed() | ErasureFinished():
            return [((event.user_id,), event)]
    return []


def _fold(row: ErasureRow | None, event: object, recorded: RecordedEvent) -> ErasureRow | None:
    match event:
        case UserErased():
            return ErasureRow(
                erased_id=event.user_id,
                team_id=event.team_id,
                position=recorded.position,
                erased_at=recorded.recorded_at,
            )
        case UserKeyDestroyed() if row is not None:
            return msgspec.structs.replace(row, key_destroyed_at=recorded.recorded_at)
        case ErasureFinished() if row is not None:
            return msgspec.structs.replace(row, finished_at=recorded.recorded_at)
    return row


ERASURES = View(
    name="erasures",
    version=1,
    topic=Topic.EVENTS,
    row=ErasureRow,
    key=("erased_id",),
    changes=_changes,
    fold=_fold,
)


async def erasures_under_way(reader: Reader, *, limit: int) -> Sequence[ErasureRow]:
    """Return the erasures that are not done, the oldest first."""
    return await reader.rows(
        ErasureRow,
        "SELECT * FROM views.erasures WHERE finished_at IS NULL ORDER BY position LIMIT %s",
        limit,
    )


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What a team still has."""

    key_ids: tuple[str, ...]
    """Keys that work."""
    deployment_ids: tuple[str, ...]
    """Deployments nobody has asked to delete."""
    ending: int
    """How much is about to be gone, or was until a moment ago."""


async def left_of(reader: Reader, team_id: str, *, settle_seconds: float) -> Left:
    """Return what is left of a team. A key that was shut out still counts for a moment."""
    found = await reader.row(
        Left,
        "WITH keys AS (SELECT id, revoked_at FROM views.api_keys WHERE team_id = %s),"
        " deployments AS (SELECT id, status FROM views.deployments WHERE team_id = %s)"
        " SELECT"
        " coalesce((SELECT json_agg(id) FROM keys WHERE revoked_at IS NULL), '[]') AS key_ids,"
        " coalesce((SELECT json_agg(id) FROM deployments WHERE status <> 'deleting'), '[]')"
        "  AS deployment_ids,"
        " (SELECT count(*) FROM deployments) + (SELECT count(*) FROM keys"
        "  WHERE revoked_at > clock_timestamp() - make_interval(secs => %s)) AS ending",
        team_id,
        team_id,
        settle_seconds,
    )
    if found is None:
        raise AssertionError  # it is always one row
    return found


async def keys_that_came_back(reader: Reader) -> Sequence[str]:
    """Return the erased people who have a key again: a backup of before was restored."""
    found = await reader.rows(
        _Subject,
        "SELECT subject FROM subject_keys JOIN views.erasures"
        " ON subject = erased_id OR (subject = team_id AND finished_at IS NOT NULL)"
        " WHERE key_destroyed_at IS NOT NULL",
    )
    return [row.subject for row in found]


async def letters_about(reader: Reader, user_id: str) -> Sequence[str]:
    """Return the ids of the mails that went to a person, or out in the person's name."""
    found = await reader.rows(
        _Subject,
        "SELECT stream_id AS subject FROM views.audit WHERE type = 'mail.MailRequested'"
        " AND (actor = %s OR content ->> 'user_id' = %s)",
        user_id,
        user_id,
    )
    return [row.subject for row in found]


async def keys_of_nothing(reader: Reader) -> Sequence[str]:
    """Return the subjects of keys that invitations had which are over: their addresses go."""
    found = await reader.rows(
        _Subject,
        "SELECT subject FROM subject_keys AS k LEFT JOIN views.invitations AS i ON i.id = k.subject"
        " WHERE starts_with(k.subject, 'inv-')"
        " AND k.created_at < clock_timestamp() - interval '1 minute'"
        " AND (i.id IS NULL OR i.expires_at < clock_timestamp() - interval '1 day')",
    )
    return [row.subject for row in found]


class _Subject(msgspec.Struct, frozen=True):
    subject: str
