"""The rules of one person's account."""

import msgspec

from domain.identity.events import UserRegistered
from domain.kernel.aggregates import Aggregate
from domain.kernel.events import Event


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A registered person."""

    user_id: str
    team_id: str
    username: str
    email: str
    password_hash: str


def evolve(state: User | None, event: Event) -> User | None:
    """Remember what happened to the account."""
    match event:
        case UserRegistered():
            return User(
                user_id=event.user_id,
                team_id=event.team_id,
                username=event.username,
                email=event.email,
                password_hash=event.password_hash,
            )
    return state


USER = Aggregate(name="user", state=User, evolve=evolve)
