"""Who there is, and who is signed in."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.identity.events import (
    SessionEnded,
    SessionRefreshed,
    SessionStarted,
    UserRegistered,
)
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
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
    address: str | None = None
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
)


def _session_changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, SessionStarted | SessionRefreshed | SessionEnded):
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
                address=recorded.metadata.address,
            )
        case SessionRefreshed() if row is not None:
            return msgspec.structs.replace(row, last_used_at=recorded.recorded_at)
        case SessionEnded() if row is not None:
            return msgspec.structs.replace(row, ended=True)
    return row


SESSIONS = View(
    name="sessions",
    version=1,
    topic=Topic.EVENTS,
    row=SessionRow,
    key=("id",),
    changes=_session_changes,
    fold=_fold_session,
    indexes=("user_id, created_at",),
)
