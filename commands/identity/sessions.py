"""Sign in, stay signed in, sign out.

A refresh token is `<session>.<generation>.<tag>`. The tag is computed from the installation's
secret, so a forged token is told from a used one, nothing secret stands in the log, and whoever
lost the answer to a refresh is given the very same successor again.
"""

from datetime import timedelta

import msgspec

from commands.bus import Command, Handlers
from commands.identity.proofs import WrongCredentials, check_second_factor
from commands.mail import request_mail
from commands.work import Work
from domain.identity.events import ImpersonationEnded, PasswordRehashed, SessionStarted
from domain.identity.second_factors import OtpWrong
from domain.identity.session import SESSION
from domain.identity.user import USER, User
from domain.identity.values import SignInMethod, email_identity
from domain.kernel.errors import LimitReached, NotFound
from domain.mail.values import Template

REFRESH = "refresh"
"""What a refresh token is good for, among the tokens made with the same secret."""
NOBODY_ID = "usr-nobody"


class TooManyGuesses(LimitReached):
    """Too many wrong passwords for this account; wait, or reset the password."""


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
    network: str = ""
    """From where, as one stranger is told from another."""
    user_agent: str | None = None
    strangers_wait_seconds: int = 0
    """Not 0 while somebody guesses at this account: then only networks it knows may try."""


class RefreshSession(Command, frozen=True, kw_only=True):
    """Exchange a refresh token for the next one."""

    refresh_token: str


class EndSession(Command, frozen=True, kw_only=True):
    """Sign out, here or elsewhere."""

    session_id: str
    reason: str = "signed out"


class EndOtherSessions(Command, frozen=True, kw_only=True):
    """Sign out everywhere else."""

    kept_session_id: str


class SignedIn(msgspec.Struct, frozen=True):
    """A session and the only sight of its refresh token."""

    session_id: str
    refresh_token: str
    user_id: str
    username: str
    email: str


async def sign_in(command: SignIn, work: Work) -> SignedIn | OtpWrong:
    """Start a session; an unknown address and a wrong password get the same answer as slowly."""
    with work.passwords.place():
        return await _sign_in(command, work)


async def _sign_in(command: SignIn, work: Work) -> SignedIn | OtpWrong:
    user_id = await work.owner_of("email", email_identity(command.email))
    loaded = await work.load(USER, user_id or NOBODY_ID, fresh=True)
    user = loaded.state
    known = user is not None and command.network in user.networks
    if command.strangers_wait_seconds and not known:
        raise TooManyGuesses(retry_after_seconds=command.strangers_wait_seconds)
    kept = user.password_hash if user is not None else None
    if not await work.passwords.verify(command.password, kept) or user is None:
        raise WrongCredentials
    if not user.may_sign_in:
        raise WrongCredentials
    if work.passwords.is_outdated(user.password_hash):
        rehashed = await work.passwords.hash(command.password)
        work.record(loaded, [PasswordRehashed(user_id=user.user_id, password_hash=rehashed)])
    method = await check_second_factor(work, user.user_id, command.otp)
    if isinstance(method, OtpWrong):
        return method
    return await start_session(
        work,
        user,
        method=method,
        lifetime=command.lifetime,
        idle_lifetime=command.idle_lifetime,
        network=command.network,
        user_agent=command.user_agent,
    )


async def start_session(
    work: Work,
    user: User,
    *,
    method: SignInMethod,
    lifetime: timedelta,
    idle_lifetime: timedelta,
    network: str = "",
    user_agent: str | None = None,
    session_id: str | None = None,
) -> SignedIn:
    """Start a session for somebody who proved who they are."""
    session_id = session_id or work.new_id("ses")
    session = work.create(SESSION, session_id)
    work.record(
        session,
        [
            SessionStarted(
                session_id=session_id,
                user_id=user.user_id,
                started_at=work.now,
                expires_at=work.now + lifetime,
                idle_seconds=int(idle_lifetime.total_seconds()),
                method=method,
                epoch=user.epoch,
                user_agent=user_agent,
            )
        ],
    )
    await _see_network(work, user, network, user_agent)
    return _signed_in(work, user, session_id, generation=1)


async def refresh_session(command: RefreshSession, work: Work) -> SignedIn:
    """Give the next refresh token. A used one that comes back ends the session."""
    token = work.links.read(REFRESH, command.refresh_token)
    if token is None:
        raise WrongCredentials
    session = await work.load(SESSION, token.subject)
    if session.state is None:
        raise WrongCredentials
    user = (await work.load(USER, session.state.user_id, fresh=True)).present
    session.state.must_last(epoch=user.epoch, kept_session_id=user.kept_session_id, now=work.now)
    events = session.state.refresh(generation=int(token.nonce), now=work.now)
    work.record(session, events)
    if session.present.ended:
        await request_mail(work, template=Template.SESSION_REUSE, user_id=user.user_id)
        return SignedIn(token.subject, "", user.user_id, user.username, user.email)
    return _signed_in(work, user, token.subject, generation=session.present.generation)


async def end_session(command: EndSession, work: Work) -> None:
    """End one of one's own sessions. Ending it twice changes nothing."""
    session = await work.load(SESSION, command.session_id)
    if session.present.user_id != work.actor.user_id:
        raise NotFound
    admin_id = session.present.impersonated_by
    if admin_id is not None and not session.present.ended:
        user = await work.load(USER, session.present.user_id)
        ended = ImpersonationEnded(
            user_id=user.present.user_id, session_id=command.session_id, admin_id=admin_id
        )
        work.record(user, [ended])
    work.record(session, session.present.end(reason=command.reason))


async def end_other_sessions(command: EndOtherSessions, work: Work) -> None:
    """End all of one's own sessions but one."""
    user = await work.load(USER, work.actor.id)
    events = user.present.revoke_sessions(
        reason="signed out elsewhere", kept_session_id=command.kept_session_id
    )
    work.record(user, events)


HANDLERS: Handlers = {
    SignIn: sign_in,
    RefreshSession: refresh_session,
    EndSession: end_session,
    EndOtherSessions: end_other_sessions,
}


async def _see_network(work: Work, user: User, network: str, user_agent: str | None) -> None:
    """Remember the network; tell the person about every one but the first."""
    events = user.see_network(network)
    work.record(await work.load(USER, user.user_id), events)
    if events and user.networks:
        await request_mail(
            work,
            template=Template.NEW_SIGN_IN,
            user_id=user.user_id,
            parameters={"device": user_agent or "unknown", "address": network},
        )


def _signed_in(work: Work, user: User, session_id: str, *, generation: int) -> SignedIn:
    token = work.links.issue(REFRESH, session_id, str(generation))
    return SignedIn(session_id, token, user.user_id, user.username, user.email)
