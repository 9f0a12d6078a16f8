"""Join: an account, its names, its keys; and show that the address is one's own."""

from datetime import datetime

import msgspec

from commands.bus import Command, Handlers
from commands.mail import request_mail
from commands.work import Loaded, Work
from domain.identity.events import UserRegistered
from domain.identity.links import LinkNotValid
from domain.identity.passwords import check_new_password
from domain.identity.user import (
    USER,
    VERIFICATION_LIFETIME,
    User,
)
from domain.identity.values import email_identity, username, username_claims
from domain.kernel.errors import AlreadyTaken
from domain.mail.values import Link, LinkPurpose, Template


class UsernameTaken(AlreadyTaken):
    """This username, or one that looks like it, belongs to somebody else."""


class EmailTaken(AlreadyTaken):
    """There is an account with this e-mail address already."""


class RegisterUser(Command, frozen=True, kw_only=True):
    """Let a person join."""

    username: str
    email: str
    password: str
    password_length_min: int = 8
    verify: bool = False
    """Let the person sign in only after the address was shown to be theirs."""


class VerifyEmail(Command, frozen=True, kw_only=True):
    """Follow the link that went to an address."""

    token: str


class ResendVerification(Command, frozen=True, kw_only=True):
    """Send the link once more to somebody who has joined and not followed it."""

    email: str


class Registered(msgspec.Struct, frozen=True):
    """The new account."""

    user_id: str
    team_id: str
    username: str
    email: str
    created_at: datetime
    pending: bool = False


async def register_user(command: RegisterUser, work: Work) -> Registered:
    """Make the account, its key and its personal team's; own the username and the address."""
    name, email = username(command.username), command.email.strip()
    check_new_password(
        command.password,
        length_min=command.password_length_min,
        about={name, email_identity(email)},
    )
    user_id = work.new_id("usr")
    team_id = f"org-{user_id.removeprefix('usr-')}"
    await claim_username(work, name, user_id=user_id)
    owner_id = await work.owner_of("email", email_identity(email))
    if owner_id is not None and not command.verify:
        raise EmailTaken
    password_hash = await work.passwords.hash(command.password)
    await work.vault.create(user_id)
    await work.vault.create(team_id)
    registered = Registered(user_id, team_id, name, email, work.now, command.verify)
    if owner_id is not None:
        # Whether an address has an account is told to its owner only: the answer, and the name
        # that is taken from now on, are those of an account that was made.
        await request_mail(work, template=Template.ACCOUNT_EXISTS, user_id=owner_id)
        return registered
    await work.claim("email", email_identity(email), owner_id=user_id, taken=EmailTaken())
    user = work.create(USER, user_id)
    work.record(
        user,
        [
            UserRegistered(
                user_id=user_id,
                team_id=team_id,
                username=name,
                email=email,
                password_hash=password_hash,
                pending=command.verify,
            )
        ],
    )
    if command.verify:
        await send_verification(work, user, email)
    return registered


async def verify_email(command: VerifyEmail, work: Work) -> None:
    """Take the address as the person's; one that replaces another is claimed only now."""
    link = work.links.read(LinkPurpose.VERIFY_EMAIL, command.token)
    user = await work.load(USER, link.subject) if link is not None else None
    if link is None or user is None or user.state is None:
        raise LinkNotValid
    before = user.state
    events = before.verify_email(nonce=link.nonce, now=work.now)
    work.record(user, events)
    await move_email(work, before, user.present.email)


async def resend_verification(command: ResendVerification, work: Work) -> None:
    """Send another link; for an address that waits for none, do nothing."""
    user_id = await work.owner_of("email", email_identity(command.email))
    user = await work.load(USER, user_id or "usr-nobody", fresh=True)
    if user.state is not None and user.state.pending:
        await send_verification(work, user, user.state.email)


async def send_verification(
    work: Work, user: Loaded[User], email: str, *, owner_id: str | None = None
) -> None:
    """Send a link to an address that may become the person's, unless it is somebody's already."""
    nonce = work.new_nonce()
    work.record(user, user.present.request_verification(email=email, nonce=nonce, now=work.now))
    if owner_id is not None:
        await request_mail(work, template=Template.ACCOUNT_EXISTS, user_id=owner_id)
        return
    await request_mail(
        work,
        template=Template.VERIFY_EMAIL,
        user_id=user.present.user_id,
        address=email,
        link=Link(
            purpose=LinkPurpose.VERIFY_EMAIL,
            subject=user.present.user_id,
            nonce=nonce,
            expires_at=work.now + VERIFICATION_LIFETIME,
        ),
    )


async def claim_username(work: Work, name: str, *, user_id: str) -> None:
    """Own a name, and with it every name that looks like it."""
    for claimed in username_claims(name):
        await work.claim("username", claimed, owner_id=user_id, taken=UsernameTaken())


async def move_email(work: Work, before: User, email: str) -> None:
    """Own the address instead of the one before, and tell the one before."""
    old, new = email_identity(before.email), email_identity(email)
    if old == new:
        return
    await work.claim("email", new, owner_id=before.user_id, taken=EmailTaken())
    await work.release("email", old, owner_id=before.user_id)
    await request_mail(
        work, template=Template.EMAIL_CHANGED, user_id=before.user_id, address=before.email
    )


HANDLERS: Handlers = {
    RegisterUser: register_user,
    VerifyEmail: verify_email,
    ResendVerification: resend_verification,
}
