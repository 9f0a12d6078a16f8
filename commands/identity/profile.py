"""Go by another name, be reached at another address."""

from datetime import datetime

import msgspec

from commands.bus import Command, Handlers
from commands.identity.registration import (
    claim_username,
    move_email,
    send_verification,
)
from commands.work import Loaded, Work
from domain.identity.user import USER, User
from domain.identity.values import email_identity, username, username_claims


class ChangeProfile(Command, frozen=True, kw_only=True):
    """Change what is told; None leaves it as it is."""

    username: str | None = None
    email: str | None = None
    verify: bool = False
    """Take another address only after it was shown to be the person's."""


class Changed(msgspec.Struct, frozen=True):
    """The account as it is now."""

    user_id: str
    username: str
    email: str
    pending_email: str | None
    changed_at: datetime


async def change_profile(command: ChangeProfile, work: Work) -> Changed:
    """Change name and address, each of which still belongs to one person at a time."""
    user = await work.load(USER, work.actor.id)
    if command.username is not None:
        await _rename(work, user, username(command.username))
    if command.email is not None:
        await _change_email(work, user, command.email.strip(), verify=command.verify)
    link = user.present.verification
    return Changed(
        user.present.user_id,
        user.present.username,
        user.present.email,
        link.email if link is not None else None,
        work.now,
    )


async def _rename(work: Work, user: Loaded[User], name: str) -> None:
    before = user.present
    if name == before.username:
        return
    await claim_username(work, name, user_id=before.user_id)
    for claimed in set(username_claims(before.username)) - set(username_claims(name)):
        await work.release("username", claimed, owner_id=before.user_id)
    work.record(user, before.rename(name))


async def _change_email(work: Work, user: Loaded[User], email: str, *, verify: bool) -> None:
    before = user.present
    same = email_identity(email) == email_identity(before.email)
    if same or not verify:
        await move_email(work, before, email)
        work.record(user, before.change_email(email))
        return
    owner_id = await work.owner_of("email", email_identity(email))
    # As at registration: whether there is an account, only its owner is told.
    await send_verification(work, user, email, owner_id=owner_id)


HANDLERS: Handlers = {ChangeProfile: change_profile}
