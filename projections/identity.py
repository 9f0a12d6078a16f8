"""Who there is, and who is signed in."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from psycopg import sql

from domain.identity.events import (
    EmailChanged,
    EmailVerificationRequested,
    EmailVerified,
    PlatformAdminGranted,
    SessionEnded,
    SessionRefreshed,
    SessionsRevoked,
    SessionStarted,
    SessionSteppedUp,
    UsernameChanged,
    UserRegistered,
    UserReinstated,
    UserSuspended,
)
from domain.identity.values import SignInMethod
from domain.kernel.ids import is_id
from domain.teams.values import Role
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Listing, Page, Reader, Window
from projections.view import Change, View


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    """A person."""

    id: str
    team_id: str
    username: str
    email: str
    pending_email: str | None = None
    """An address that is yet to be shown to be the person's."""
    verified: bool = True
    suspended: bool = False
    platform_admin: bool = False
    epoch: int = 0
    kept_session_id: str | None = None
    """Sessions of an earlier epoch are over, but for this one."""
    created_at: datetime
    updated_at: datetime
    last_login: datetime | None = None
    version: int

    @property
    def status(self) -> str:
        """What the person may do, in one word."""
        if self.suspended:
            return "suspended"
        return "active" if self.verified else "pending"


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
    user_agent: str | None = None
    epoch: int = 0
    idle_seconds: int
    ended: bool = False
    impersonated_by: str | None = None
    """The admin of the platform whose it really is."""


def _user_changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, SessionStarted | PlatformAdminGranted):
        return [((event.user_id,), event)]
    # Whatever else happens to a person counts for the version, which `If-Match` names.
    return [((recorded.stream_id,), event)] if is_id(recorded.stream_id, "usr") else []


def _fold_user(row: UserRow | None, event: object, recorded: RecordedEvent) -> UserRow | None:
    if isinstance(event, UserRegistered):
        return UserRow(
            id=event.user_id,
            team_id=event.team_id,
            username=event.username,
            email=event.email,
            verified=not event.pending,
            created_at=recorded.recorded_at,
            updated_at=recorded.recorded_at,
            version=recorded.version,
        )
    if row is None:
        return None
    if isinstance(event, SessionStarted):
        if event.impersonated_by is not None:
            return row
        return msgspec.structs.replace(row, last_login=recorded.recorded_at)
    own = recorded.stream_id == row.id
    return msgspec.structs.replace(
        row,
        updated_at=recorded.recorded_at,
        version=recorded.version if own else row.version,
        **_told_by(event, row),
    )


def _told_by(event: object, row: UserRow) -> dict[str, object]:
    """Return the columns that an event changes, with their new values."""
    told: dict[str, object] = {}
    match event:
        case EmailVerificationRequested():
            told = {"pending_email": event.email if row.verified else None}
        case EmailVerified():
            told = {"email": event.email, "pending_email": None, "verified": True}
        case EmailChanged():
            told = {"email": event.email, "pending_email": None}
        case UsernameChanged():
            told = {"username": event.username}
        case SessionsRevoked():
            told = {"epoch": event.epoch, "kept_session_id": event.kept_session_id}
        case PlatformAdminGranted():
            told = {"platform_admin": True}
        case UserSuspended() | UserReinstated():
            told = {"suspended": isinstance(event, UserSuspended)}
    return told


USERS = View(
    name="users",
    version=4,
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
                user_agent=event.user_agent,
                epoch=event.epoch,
                idle_seconds=event.idle_seconds,
                impersonated_by=event.impersonated_by,
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
    version=3,
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
    platform_admin: bool
    ended: bool
    impersonated_by: str | None = None
    roles: dict[str, Role]
    """What the person is in each team."""


_OVER = sql.SQL("(s.ended OR (s.epoch < u.epoch AND s.id IS DISTINCT FROM u.kept_session_id))")


async def session_by_id(reader: Reader, session_id: str) -> SignedIn | None:
    """Return a session and its person's teams."""
    return await reader.row(
        SignedIn,
        sql.SQL(
            "SELECT s.id AS session_id, s.user_id, u.team_id, s.expires_at, u.platform_admin,"
            " s.impersonated_by, {over} AS ended,"
            " (SELECT coalesce(jsonb_object_agg(m.team_id, m.role), '{{}}') FROM views.members AS m"
            "  WHERE m.user_id = s.user_id) AS roles"
            " FROM views.sessions AS s JOIN views.users AS u ON u.id = s.user_id WHERE s.id = %s"
        ).format(over=_OVER),
        session_id,
    )


SESSION_LISTING = Listing(
    sorts={"lastUsedAt": "last_used_at", "createdAt": "created_at"},
    sort_default="-lastUsedAt",
    id_column="id",
    kinds=SESSIONS.columns,
)


async def list_sessions(
    reader: Reader, window: Window, *, user_id: str, now: datetime
) -> Page[SessionRow]:
    """Return where a person is signed in."""
    return await reader.page(
        SessionRow,
        sql.SQL(
            "SELECT s.* FROM views.sessions AS s JOIN views.users AS u ON u.id = s.user_id"
            " WHERE s.user_id = %s AND NOT {over} AND s.expires_at > %s"
            " AND s.last_used_at + make_interval(secs => s.idle_seconds) > %s"
        ).format(over=_OVER),
        user_id,
        now,
        now,
        listing=SESSION_LISTING,
        window=window,
    )


async def user_by_id(reader: Reader, user_id: str) -> UserRow | None:
    """Return a person."""
    return await reader.row(UserRow, "SELECT * FROM views.users WHERE id = %s", user_id)


USER_LISTING = Listing(
    sorts={"createdAt": "created_at", "username": "username"},
    sort_default="-createdAt",
    id_column="id",
    kinds=USERS.columns,
)


async def list_users(reader: Reader, window: Window, *, search: str | None) -> Page[UserRow]:
    """Return the people there are; those whose name or address has the text in it."""
    return await reader.page(
        UserRow,
        "SELECT * FROM views.users WHERE (%s::text IS NULL"
        " OR strpos(lower(username), lower(%s)) > 0 OR strpos(lower(email), lower(%s)) > 0)",
        search,
        search,
        search,
        listing=USER_LISTING,
        window=window,
    )
