"""Change a password, or replace a forgotten one."""

from commands.bus import Command, Handlers
from commands.identity.proofs import check_password
from commands.identity.sessions import NOBODY_ID
from commands.mail import request_mail
from commands.work import Loaded, Work
from domain.identity.links import LinkNotValid
from domain.identity.passwords import check_new_password
from domain.identity.user import RESET_LIFETIME, USER, User
from domain.identity.values import email_identity
from domain.mail.values import Link, LinkPurpose, Template


class ChangePassword(Command, frozen=True, kw_only=True):
    """Set another password, knowing the present one. Every other session ends."""

    current_password: str
    new_password: str
    session_id: str
    """The session that asks, and goes on."""
    password_length_min: int = 8


class RequestPasswordReset(Command, frozen=True, kw_only=True):
    """Send a link to whoever has this address. For an unknown one, do nothing."""

    email: str


class ResetPassword(Command, frozen=True, kw_only=True):
    """Set another password by the link. Every session ends, and none begins."""

    token: str
    new_password: str
    network: str = ""
    """From where; it counts as known from now on."""
    password_length_min: int = 8


async def change_password(command: ChangePassword, work: Work) -> None:
    """Set another password; tell the person, in case it was not them."""
    user = await check_password(work, command.current_password)
    loaded = await work.load(USER, user.user_id)
    _check(command.new_password, user, command.password_length_min)
    password_hash = await work.passwords.hash(command.new_password)
    events = user.change_password(password_hash=password_hash, kept_session_id=command.session_id)
    work.record(loaded, events)
    await request_mail(work, template=Template.PASSWORD_CHANGED, user_id=user.user_id)


async def request_password_reset(command: RequestPasswordReset, work: Work) -> None:
    """Send a link that lasts half an hour; the one before is void."""
    user_id = await work.owner_of("email", email_identity(command.email))
    loaded = await work.load(USER, user_id or NOBODY_ID, fresh=True)
    user = loaded.state
    if user is None or user.suspended:
        return
    await send_reset_link(loaded, work)


async def send_reset_link(loaded: Loaded[User], work: Work) -> None:
    """Send a person a link by which the password is replaced; the one before is void."""
    user = loaded.present
    nonce = work.new_nonce()
    work.record(loaded, user.request_reset(nonce=nonce, now=work.now))
    await request_mail(
        work,
        template=Template.RESET_PASSWORD,
        user_id=user.user_id,
        link=Link(
            purpose=LinkPurpose.RESET_PASSWORD,
            subject=user.user_id,
            nonce=nonce,
            expires_at=work.now + RESET_LIFETIME,
        ),
    )


async def reset_password(command: ResetPassword, work: Work) -> None:
    """Set another password for whoever has the link."""
    link = work.links.read(LinkPurpose.RESET_PASSWORD, command.token)
    loaded = await work.load(USER, link.subject, fresh=True) if link is not None else None
    if link is None or loaded is None or loaded.state is None:
        raise LinkNotValid
    user = loaded.state
    user.check_reset(nonce=link.nonce, now=work.now)
    _check(command.new_password, user, command.password_length_min)
    password_hash = await work.passwords.hash(command.new_password)
    work.record(loaded, user.reset_password(password_hash=password_hash))
    # Who reads the mail is the person: a stranger who guesses must not keep them out.
    work.record(loaded, user.see_network(command.network))
    await request_mail(work, template=Template.PASSWORD_CHANGED, user_id=user.user_id)


def _check(password: str, user: User, length_min: int) -> None:
    check_new_password(password, length_min=length_min, about={user.username, user.email})


HANDLERS: Handlers = {
    ChangePassword: change_password,
    RequestPasswordReset: request_password_reset,
    ResetPassword: reset_password,
}
