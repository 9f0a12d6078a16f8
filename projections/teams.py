"""The teams there are, and who is in them.

The personal team is told by `UserRegistered` alone; every other team by its own stream.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString

import msgspec

from domain.identity.events import UserErased, UserRegistered
from domain.teams.events import (
    InvitationAccepted,
    InvitationCreated,
    InvitationRevoked,
    MemberAdded,
    MemberLeft,
    MemberRemoved,
    MemberRoleChanged,
    TeamCreated,
    TeamDeleted,
    TeamRenamed,
)
from domain.teams.values import PERSONAL_NAME, Role
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Listing, Page, Reader, Window
from projections.view import Change, View

_OF_A_TEAM = (
    TeamCreated,
    TeamRenamed,
    TeamDeleted,
    MemberAdded,
    MemberRoleChanged,
    MemberRemoved,
    MemberLeft,
    InvitationCreated,
    InvitationAccepted,
    InvitationRevoked,
)


class TeamRow(msgspec.Struct, frozen=True, kw_only=True):
    """A team."""

    id: str
    name: str
    personal: bool
    created_at: datetime
    updated_at: datetime
    version: int
    """How many events it has; the entity tag."""


class InvitationRow(msgspec.Struct, frozen=True, kw_only=True):
    """An open invitation. The address stays sealed."""

    id: str
    team_id: str
    address: str
    role: Role
    invited_by: str
    nonce: str
    created_at: datetime
    expires_at: datetime


class MemberRow(msgspec.Struct, frozen=True, kw_only=True):
    """A person in a team."""

    team_id: str
    user_id: str
    role: Role
    since: datetime


def _team_changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, UserRegistered | UserErased):
        return [((event.team_id,), event)]
    return [((recorded.stream_id,), event)] if isinstance(event, _OF_A_TEAM) else []


def _fold_team(row: TeamRow | None, event: object, recorded: RecordedEvent) -> TeamRow | None:
    at = recorded.recorded_at
    match event:
        case UserRegistered():
            return TeamRow(
                id=event.team_id,
                name=PERSONAL_NAME,
                personal=True,
                created_at=at,
                updated_at=at,
                version=0,
            )
        case TeamCreated():
            return TeamRow(
                id=event.team_id,
                name=event.name,
                personal=False,
                created_at=at,
                updated_at=at,
                version=recorded.version,
            )
        case TeamDeleted() | UserErased():
            return None
        case TeamRenamed() if row is not None:
            row = msgspec.structs.replace(row, name=event.name)
    if row is None:
        return None
    return msgspec.structs.replace(row, version=recorded.version, updated_at=at)


TEAMS = View(
    name="teams",
    version=1,
    topic=Topic.EVENTS,
    row=TeamRow,
    key=("id",),
    changes=_team_changes,
    fold=_fold_team,
)


def _member_changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    match event:
        case UserRegistered():
            return [((event.team_id, event.user_id), event)]
        case MemberAdded() | MemberRoleChanged() | MemberRemoved() | MemberLeft():
            return [((recorded.stream_id, event.user_id), event)]
        case TeamDeleted():
            return [((recorded.stream_id, user_id), event) for user_id in event.member_ids]
    return []


def _fold_member(row: MemberRow | None, event: object, recorded: RecordedEvent) -> MemberRow | None:
    match event:
        case UserRegistered():
            return MemberRow(
                team_id=event.team_id,
                user_id=event.user_id,
                role=Role.OWNER,
                since=recorded.recorded_at,
            )
        case MemberAdded():
            return MemberRow(
                team_id=recorded.stream_id,
                user_id=event.user_id,
                role=event.role,
                since=recorded.recorded_at,
            )
        case MemberRoleChanged() if row is not None:
            return msgspec.structs.replace(row, role=event.role)
        case MemberRemoved() | MemberLeft() | TeamDeleted():
            return None
    return row


MEMBERS = View(
    name="members",
    version=1,
    topic=Topic.EVENTS,
    row=MemberRow,
    key=("team_id", "user_id"),
    changes=_member_changes,
    fold=_fold_member,
    person="user_id",
    indexes=("user_id, team_id",),
)


def _invitation_changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, InvitationCreated | InvitationAccepted | InvitationRevoked):
        return [((event.invitation_id,), event)]
    return []


def _fold_invitation(
    _: InvitationRow | None, event: object, recorded: RecordedEvent
) -> InvitationRow | None:
    if not isinstance(event, InvitationCreated):
        return None
    return InvitationRow(
        id=event.invitation_id,
        team_id=recorded.stream_id,
        address=event.address,
        role=event.role,
        invited_by=event.invited_by,
        nonce=event.nonce,
        created_at=recorded.recorded_at,
        expires_at=event.expires_at,
    )


INVITATIONS = View(
    name="invitations",
    version=1,
    topic=Topic.EVENTS,
    row=InvitationRow,
    key=("id",),
    changes=_invitation_changes,
    fold=_fold_invitation,
    indexes=("team_id, created_at, id",),
)


class TheirTeam(TeamRow, frozen=True, kw_only=True):
    """A team, and what the asking person is in it."""

    role: Role | None


class NamedMember(MemberRow, frozen=True, kw_only=True):
    """A member and their name."""

    username: str | None


class OpenInvitation(InvitationRow, frozen=True, kw_only=True):
    """An invitation, the team it is to, and who sent it."""

    team_name: str
    inviter: str | None


TEAM_LISTING = Listing(
    sorts={"createdAt": "created_at", "name": "name"},
    sort_default="-createdAt",
    id_column="id",
    kinds=TEAMS.columns,
)
MEMBER_LISTING = Listing(
    sorts={"since": "since"},
    sort_default="since",
    id_column="user_id",
    kinds=MEMBERS.columns,
)


INVITATION_LISTING = Listing(
    sorts={"createdAt": "created_at"},
    sort_default="-createdAt",
    id_column="id",
    kinds=INVITATIONS.columns,
)


async def team_by_id(
    reader: Reader, team_id: str, *, team_ids: Sequence[str], user_id: str | None
) -> TheirTeam | None:
    """Return one of these teams."""
    return await reader.row(
        TheirTeam,
        "SELECT t.*, m.role FROM views.teams AS t"
        " LEFT JOIN views.members AS m ON m.team_id = t.id AND m.user_id = %s"
        " WHERE t.id = %s AND t.id = ANY(%s)",
        user_id,
        team_id,
        list(team_ids),
    )


async def list_teams(
    reader: Reader, window: Window, *, team_ids: Sequence[str], user_id: str | None
) -> Page[TheirTeam]:
    """Return these teams."""
    return await reader.page(
        TheirTeam,
        "SELECT t.*, m.role FROM views.teams AS t"
        " LEFT JOIN views.members AS m ON m.team_id = t.id AND m.user_id = %s"
        " WHERE t.id = ANY(%s)",
        user_id,
        list(team_ids),
        listing=TEAM_LISTING,
        window=window,
    )


async def shared_teams_of(reader: Reader, user_id: str) -> Sequence[str]:
    """Return the ids of the teams a person is in, but for the personal one."""
    found = await reader.rows(
        MemberRow,
        "SELECT m.* FROM views.members AS m JOIN views.teams AS t ON t.id = m.team_id"
        " WHERE m.user_id = %s AND NOT t.personal ORDER BY m.team_id",
        user_id,
    )
    return [row.team_id for row in found]


async def list_members(reader: Reader, window: Window, *, team_id: str) -> Page[NamedMember]:
    """Return who is in a team."""
    return await reader.page(
        NamedMember,
        "SELECT m.*, u.username FROM views.members AS m"
        " LEFT JOIN views.users AS u ON u.id = m.user_id WHERE m.team_id = %s",
        team_id,
        listing=MEMBER_LISTING,
        window=window,
    )


async def list_invitations(reader: Reader, window: Window, *, team_id: str) -> Page[OpenInvitation]:
    """Return a team's open invitations; those that have expired are among them."""
    return await reader.page(
        OpenInvitation,
        _INVITATIONS + " WHERE i.team_id = %s",
        team_id,
        listing=INVITATION_LISTING,
        window=window,
    )


async def invitation_by_nonce(reader: Reader, *, team_id: str, nonce: str) -> OpenInvitation | None:
    """Return the open invitation that a link was made for."""
    return await reader.row(
        OpenInvitation, _INVITATIONS + " WHERE i.team_id = %s AND i.nonce = %s", team_id, nonce
    )


_INVITATIONS: LiteralString = (
    "SELECT i.*, t.name AS team_name, u.username AS inviter FROM views.invitations AS i"
    " JOIN views.teams AS t ON t.id = i.team_id LEFT JOIN views.users AS u ON u.id = i.invited_by"
)
