"""Who is no longer in a team, and which of its keys outlive them for a moment.

A key that may do more than call deployments is as good as its maker: when that person leaves, the
API refuses it at once, and `workers/departures.py` revokes it. A key made with a key counts as made
by whoever made that one.
"""

from collections.abc import Sequence

import msgspec

from domain.teams.events import MemberAdded, MemberLeft, MemberRemoved, TeamDeleted
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Reader
from projections.view import Change, View


class DepartureRow(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was a member, and is not."""

    team_id: str
    user_id: str
    dissolved: bool
    """The team is no more: nothing of it stays."""


def _changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    team_id = recorded.stream_id
    match event:
        case MemberAdded():
            return [((team_id, event.user_id), None)]
        case MemberLeft() | MemberRemoved():
            gone = DepartureRow(team_id=team_id, user_id=event.user_id, dissolved=False)
            return [((team_id, event.user_id), gone)]
        case TeamDeleted():
            return [
                ((team_id, each), DepartureRow(team_id=team_id, user_id=each, dissolved=True))
                for each in event.member_ids
            ]
    return []


def _fold(
    _: DepartureRow | None, row: DepartureRow | None, __: RecordedEvent
) -> DepartureRow | None:
    return row


DEPARTURES = View(
    name="departures",
    version=1,
    topic=Topic.EVENTS,
    row=DepartureRow,
    key=("team_id", "user_id"),
    changes=_changes,
    fold=_fold,
)


class Forsaken(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must not outlive a departure."""

    team_id: str
    id: str


async def forsaken_keys(reader: Reader, *, limit: int) -> Sequence[Forsaken]:
    """Return working keys of those who left that may do more than call, and all of dead teams."""
    return await reader.rows(
        Forsaken,
        "WITH RECURSIVE theirs AS ("
        " SELECT k.id, d.dissolved FROM views.departures AS d"
        " JOIN views.api_keys AS k ON k.team_id = d.team_id"
        "  AND (d.dissolved OR k.created_by = d.user_id)"
        " UNION"
        " SELECT k.id, false FROM theirs JOIN views.api_keys AS k ON k.created_by = theirs.id)"
        " SELECT DISTINCT k.team_id, k.id FROM theirs JOIN views.api_keys AS k USING (id)"
        " WHERE k.revoked_at IS NULL AND (theirs.dissolved OR EXISTS"
        "  (SELECT FROM jsonb_array_elements_text(k.scopes) AS s WHERE s NOT LIKE 'call:%%'))"
        " LIMIT %s",
        limit,
    )


async def forsaken_deployments(reader: Reader, *, limit: int) -> Sequence[Forsaken]:
    """Return what somebody managed to deploy while the team was being deleted."""
    return await reader.rows(
        Forsaken,
        "SELECT DISTINCT w.team_id, w.id FROM views.deployments AS w"
        " JOIN views.departures AS d ON d.team_id = w.team_id AND d.dissolved"
        " WHERE w.status <> 'deleting' LIMIT %s",
        limit,
    )


async def forsaken_webhooks(reader: Reader, *, limit: int) -> Sequence[Forsaken]:
    """Return the webhooks of teams that are no more, also of those that ended with their person."""
    return await reader.rows(
        Forsaken,
        "SELECT w.team_id, w.id FROM views.webhooks AS w WHERE"
        " EXISTS (SELECT FROM views.departures AS d WHERE d.team_id = w.team_id AND d.dissolved)"
        " OR EXISTS (SELECT FROM views.erasures AS e WHERE e.team_id = w.team_id) LIMIT %s",
        limit,
    )
