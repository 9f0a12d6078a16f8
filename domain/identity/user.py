"""The rules of one person's account."""

import msgspec

from domain.identity.events import UserErased, UserRegistered
from domain.kernel.aggregates import Aggregate
from domain.kernel.events import Event


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A registered person."""

    user_id: str
    team_id: str
    username: str
    email: str
    password_hash: str

    def erase(self) -> list[Event]:
        """Make the person unknown."""
        return [UserErased(user_id=self.user_id, team_id=self.team_id)]


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
        case UserErased():
            return None
    return state


USER = Aggregate(name="user", state=User, evolve=evolve)
