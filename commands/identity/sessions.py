"""Sign in, stay signed in, sign out."""

import hashlib
import secrets
from datetime import timedelta

import msgspec

from commands.bus import Command, Handlers
from commands.identity.proofs import WrongCredentials, check_second_factor
from commands.work import Work
from domain.identity.events import SessionStarted
from domain.identity.second_factors import OtpWrong
from domain.identity.session import SESSION, SessionOver
from domain.identity.user import USER, User
from domain.identity.values import SignInMethod, email_identity


class SignIn(Command, frozen=True, kw_only=True):
    """Start a session for whoever knows the password."""

    email: str
    password: str
    otp: str | None = None
    """A code of the person's app, or a recovery code."""
    lifetime: timedelta = timedelta(days=30)
    """Used or not, the session ends after this."""
    idle_lifetime: timedelta = timedelta(days=7)
    """Not used for so long, it ends too."""


class RefreshSession(Command, frozen=True, kw_only=True):
    """Exchange a refresh token for the next one."""

    refresh_token: str


class EndSession(Command, frozen=True, kw_only=True):
    """Sign out."""

    session_id: str
    reason: str = "signed out"


class SignedIn(msgspec.Struct, frozen=True):
    """A session and the only sight of its refresh token."""

    session_id: str
    refresh_token: str
    user_id: str
    username: str
    email: str


async def sign_in(command: SignIn, work: Work) -> SignedIn | OtpWrong:
    """Start a session; an unknown address and a wrong password get the same answer as slowly."""
    user_id = await work.owner_of("email", email_identity(command.email))
    user = (await work.load(USER, user_id)).state if user_id is not None else None
    kept = user.password_hash if user is not None else None
    if not await work.passwords.verify(command.password, kept) or user is None:
        raise WrongCredentials
    method = await check_second_factor(work, user.user_id, command.otp)
    if isinstance(method, OtpWrong):
        return method
    return start_session(
        work,
        user,
        method=method,
        lifetime=command.lifetime,
        idle_lifetime=command.idle_lifetime,
    )


def start_session(
    work: Work,
    user: User,
    *,
    method: SignInMethod,
    lifetime: timedelta,
    idle_lifetime: timedelta,
) -> SignedIn:
    """Start a session for somebody who proved who they are."""
    session_id = work.new_id("ses")
    token = _new_refresh_token(session_id)
    session = work.create(SESSION, session_id)
    work.record(
        session,
        [
            SessionStarted(
                session_id=session_id,
                user_id=user.user_id,
                refresh_hash=_hash(token),
                started_at=work.now,
                expires_at=work.now + lifetime,
                idle_seconds=int(idle_lifetime.total_seconds()),
                method=method,
            )
        ],
    )
    return SignedIn(session_id, token, user.user_id, user.username, user.email)


async def refresh_session(command: RefreshSession, work: Work) -> SignedIn:
    """Give the next refresh token. A used one that comes back ends the session."""
    session_id = command.refresh_token.partition(".")[0]
    session = await work.load(SESSION, session_id)
    if session.state is None or not _was_issued(command.refresh_token):
        raise WrongCredentials
    token = _new_refresh_token(session_id)
    events = session.state.refresh(
        presented_hash=_hash(command.refresh_token), next_hash=_hash(token), now=work.now
    )
    work.record(session, events)
    user = (await work.load(USER, session.state.user_id)).present
    return SignedIn(
        session_id,
        "" if session.present.ended else token,
        user.user_id,
        user.username,
        user.email,
    )


async def end_session(command: EndSession, work: Work) -> None:
    """End a session. Ending it twice changes nothing."""
    session = await work.load(SESSION, command.session_id)
    if session.present.user_id != work.actor.user_id:
        raise SessionOver
    work.record(session, session.present.end(reason=command.reason))


HANDLERS: Handlers = {
    SignIn: sign_in,
    RefreshSession: refresh_session,
    EndSession: end_session,
}


def _new_refresh_token(session_id: str) -> str:
    return f"{session_id}.{secrets.token_urlsafe(32)}"


def _was_issued(token: str) -> bool:
    return len(token.partition(".")[2]) >= 40  # noqa: PLR2004 - 32 bytes are 43 characters


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
