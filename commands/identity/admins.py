"""Look after the platform: become its admin, shut people out, let them in again."""

from datetime import datetime, timedelta

import msgspec

from commands.bus import Command, Handlers
from commands.identity.passwords import send_reset_link
from commands.identity.registration import Registered, RegisterUser, register_user
from commands.work import Work
from domain.identity.events import ImpersonationBegan, SessionStarted
from domain.identity.links import LinkNotValid
from domain.identity.platform import PLATFORM, PLATFORM_ID, Platform
from domain.identity.session import SESSION
from domain.identity.user import USER
from domain.kernel.errors import NotAllowed, RuleViolated

IMPERSONATION_LIFETIME = timedelta(minutes=15)
SETUP = "setup"
"""What a link that makes an admin is good for."""


class YourselfSuspended(RuleViolated):
    """You cannot suspend yourself."""


class UserIsSuspended(RuleViolated):
    """This person is suspended, or has not shown yet that the address is theirs."""


class NotToBeImpersonated(RuleViolated):
    """Nobody acts as themselves, or as another admin of the platform."""


class IssueAdminLink(Command, frozen=True, kw_only=True):
    """Make a link: who follows it first looks after the platform. Only on the server itself."""

    only_first: bool = False
    """Make none once there is an admin."""


class FollowAdminLink(Command, frozen=True, kw_only=True):
    """Become an admin of the platform by the link."""

    token: str


class CreateAdmin(Command, frozen=True, kw_only=True):
    """Let an admin of the platform join. Only on the server itself."""

    registration: RegisterUser


class SuspendUser(Command, frozen=True, kw_only=True):
    """Shut a person out: sessions end, and none begins."""

    user_id: str
    reason: str = ""


class ReinstateUser(Command, frozen=True, kw_only=True):
    """Let a person in again."""

    user_id: str


class SendPasswordReset(Command, frozen=True, kw_only=True):
    """Send a person the link by which a password is replaced."""

    user_id: str


class BeginImpersonation(Command, frozen=True, kw_only=True):
    """Act as another person for a short while."""

    user_id: str
    reason: str


class Impersonation(msgspec.Struct, frozen=True, kw_only=True):
    """An admin acting as somebody."""

    session_id: str
    user_id: str
    username: str
    email: str
    ends_at: datetime


async def issue_admin_link(command: IssueAdminLink, work: Work) -> str | None:
    """Return the token of a new link; the link before is void."""
    loaded = await work.load(PLATFORM, PLATFORM_ID, fresh=True)
    platform = loaded.state or Platform()
    if command.only_first and platform.admins:
        return None
    nonce = work.new_nonce()
    work.record(loaded, platform.issue_link(nonce=nonce, now=work.now))
    return work.links.issue(SETUP, PLATFORM_ID, nonce)


async def follow_admin_link(command: FollowAdminLink, work: Work) -> None:
    """Make the person who is signed in an admin. The link works once."""
    if work.actor.user_id is None:
        raise NotAllowed
    link = work.links.read(SETUP, command.token)
    loaded = await work.load(PLATFORM, PLATFORM_ID, fresh=True)
    if link is None or loaded.state is None:
        raise LinkNotValid
    events = loaded.state.follow_link(user_id=work.actor.user_id, nonce=link.nonce, now=work.now)
    work.record(loaded, events)


async def create_admin(command: CreateAdmin, work: Work) -> Registered:
    """Make an account whose person looks after the platform."""
    registered = await register_user(command.registration, work)
    loaded = await work.load(PLATFORM, PLATFORM_ID, fresh=True)
    work.record(loaded, (loaded.state or Platform()).grant(registered.user_id))
    return registered


async def suspend_user(command: SuspendUser, work: Work) -> None:
    """Shut a person out. Twice changes nothing."""
    work.must_be_platform_admin()
    if command.user_id == work.actor.user_id:
        raise YourselfSuspended
    user = await work.load(USER, command.user_id)
    work.record(user, user.present.suspend(reason=command.reason))


async def reinstate_user(command: ReinstateUser, work: Work) -> None:
    """Let a person in again. Twice changes nothing."""
    work.must_be_platform_admin()
    user = await work.load(USER, command.user_id)
    work.record(user, user.present.reinstate())


async def send_password_reset(command: SendPasswordReset, work: Work) -> None:
    """Send the link. The password stays as it is until it is followed."""
    work.must_be_platform_admin()
    user = await work.load(USER, command.user_id)
    if user.present.suspended:
        raise UserIsSuspended
    await send_reset_link(user, work)


async def begin_impersonation(command: BeginImpersonation, work: Work) -> Impersonation:
    """Start a session of the person that is really the admin's, and say so in their history."""
    work.must_be_platform_admin()
    platform = (await work.load(PLATFORM, PLATFORM_ID)).state or Platform()
    if command.user_id in {work.actor.id, *platform.admins}:
        raise NotToBeImpersonated
    loaded = await work.load(USER, command.user_id)
    user = loaded.present
    if not user.may_sign_in:
        raise UserIsSuspended
    session_id, ends_at = work.new_id("ses"), work.now + IMPERSONATION_LIFETIME
    started = SessionStarted(
        session_id=session_id,
        user_id=user.user_id,
        started_at=work.now,
        expires_at=ends_at,
        idle_seconds=int(IMPERSONATION_LIFETIME.total_seconds()),
        epoch=user.epoch,
        impersonated_by=work.actor.id,
    )
    began = ImpersonationBegan(
        user_id=user.user_id,
        session_id=session_id,
        admin_id=work.actor.id,
        reason=command.reason,
        ends_at=ends_at,
    )
    work.record(work.create(SESSION, session_id), [started])
    work.record(loaded, [began])
    return Impersonation(
        session_id=session_id,
        user_id=user.user_id,
        username=user.username,
        email=user.email,
        ends_at=ends_at,
    )


HANDLERS: Handlers = {
    SendPasswordReset: send_password_reset,
    BeginImpersonation: begin_impersonation,
    IssueAdminLink: issue_admin_link,
    FollowAdminLink: follow_admin_link,
    CreateAdmin: create_admin,
    SuspendUser: suspend_user,
    ReinstateUser: reinstate_user,
}
