"""Join: an account, its names, its keys."""

from datetime import datetime

import msgspec

from commands.bus import Command, Handlers
from commands.work import Work
from domain.identity.events import UserRegistered
from domain.identity.user import USER
from domain.identity.values import email_identity, username
from domain.kernel.errors import AlreadyTaken


class UsernameTaken(AlreadyTaken):
    """This username belongs to somebody else."""


class EmailTaken(AlreadyTaken):
    """There is an account with this e-mail address already."""


class RegisterUser(Command, frozen=True, kw_only=True):
    """Let a person join."""

    username: str
    email: str
    password: str


class Registered(msgspec.Struct, frozen=True):
    """The new account."""

    user_id: str
    team_id: str
    username: str
    email: str
    created_at: datetime


async def register_user(command: RegisterUser, work: Work) -> Registered:
    """Make the account, its key and its personal team's; own the username and the address."""
    name = username(command.username)
    user_id = work.new_id("usr")
    team_id = f"org-{user_id.removeprefix('usr-')}"
    await work.claim("username", name, owner_id=user_id, taken=UsernameTaken())
    await work.claim("email", email_identity(command.email), owner_id=user_id, taken=EmailTaken())
    password_hash = await work.passwords.hash(command.password)
    await work.vault.create(user_id)
    await work.vault.create(team_id)
    user = work.create(USER, user_id)
    work.record(
        user,
        [
            UserRegistered(
                user_id=user_id,
                team_id=team_id,
                username=name,
                email=command.email.strip(),
                password_hash=password_hash,
            )
        ],
    )
    return Registered(user_id, team_id, name, command.email.strip(), work.now)


HANDLERS: Handlers = {RegisterUser: register_user}
