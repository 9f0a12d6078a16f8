"""Who there is, and who is signed in."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.identity.events import (
    SessionEnded,
    SessionRefreshed,
    SessionStarted,
    SessionSteppedUp,
    UserRegistered,
)
from domain.identity.values import SignInMethod
from domain.teams.values import Role
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Reader
from projections.view import Change, View


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    """A person."""

    id: str
    team_id: str
    username: str
    email: str
    status: str
    created_at: datetime
    updated_at: datetime
    last_login: datetime | None = None


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in."""

    id: str
    user_id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    authenticated_at: datetime
    """When the person last proved to be there."""
    method: SignInMethod
    """By what."""
    address: str | None = None
    """As the log has it: sealed."""
    ended: bool = False


def _user_changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    match event:
        case UserRegistered() | SessionStarted():
            return [((event.user_id,), event)]
    return []


def _fold_user(row: UserRow | None, event: object, recorded: RecordedEvent) -> UserRow | None:
    match event:
        case UserRegistered():
            return UserRow(
                id=event.user_id,
                team_id=event.team_id,
                username=event.username,
                email=event.email,
                status="active",
                created_at=recorded.recorded_at,
                updated_at=recorded.recorded_at,
            )
        case SessionStarted() if row is not None:
            return msgspec.structs.replace(row, last_login=recorded.recorded_at)
    return row


USERS = View(
    name="users",
    version=1,
    topic=Topic.EVENTS,
    row=UserRow,
    key=("id",),
    changes=_user_changes,
    fold=_fold_user,
    person="id",
)


def _session_changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, SessionStarted | SessionRefreshed | SessionSteppedUp | SessionEnded):
        return [((recorded.stream_id,), event)]
    return []


def _fold_session(
    row: SessionRow | None, event: object, recorded: RecordedEvent
) -> SessionRow | None:
    match event:
        case SessionStarted():
            return SessionRow(
                id=event.session_id,
                user_id=event.user_id,
                created_at=recorded.recorded_at,
                last_used_at=recorded.recorded_at,
                expires_at=event.expires_at,
                authenticated_at=event.started_at,
                method=event.method,
                address=recorded.metadata.address,
            )
        case SessionRefreshed() if row is not None:
            return msgspec.structs.replace(row, last_used_at=recorded.recorded_at)
        case SessionSteppedUp() if row is not None:
            return msgspec.structs.replace(
                row,
                authenticated_at=event.stepped_up_at,
                method=event.method if event.method.has_two_factors else row.method,
            )
        case SessionEnded() if row is not None:
            return msgspec.structs.replace(row, ended=True)
    return row


SESSIONS = View(
    name="sessions",
    version=2,
    topic=Topic.EVENTS,
    row=SessionRow,
    key=("id",),
    changes=_session_changes,
    fold=_fold_session,
    person="user_id",
    indexes=("user_id, created_at",),
)


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """A session together with whose it is."""

    session_id: str
    user_id: str
    team_id: str
    expires_at: datetime
    ended: bool
    roles: dict[str, Role]
    """What the person is in each team."""


async def session_by_id(reader: Reader, session_id: str) -> SignedIn | None:
    """Return a session and its person's teams."""
    return await reader.row(
        SignedIn,
        "SELECT s.id AS session_id, s.user_id, u.team_id, s.expires_at, s.ended,"
        " (SELECT coalesce(jsonb_object_agg(m.team_id, m.role), '{}') FROM views.members AS m"
        "  WHERE m.user_id = s.user_id) AS roles"
        " FROM views.sessions AS s JOIN views.users AS u ON u.id = s.user_id WHERE s.id = %s",
        session_id,
    )


async def user_by_id(reader: Reader, user_id: str) -> UserRow | None:
    """Return a person."""
    return await reader.row(UserRow, "SELECT * FROM views.users WHERE id = %s", user_id)
