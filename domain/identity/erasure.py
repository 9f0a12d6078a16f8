"""What is left of an erased user, in the same stream: how far the erasure got."""

import msgspec

from domain.identity.events import ErasureFinished, UserErased, UserKeyDestroyed
from domain.kernel.aggregates import Aggregate
from domain.kernel.events import Event


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure under way, or done."""

    user_id: str
    team_id: str
    key_destroyed: bool = False
    finished: bool = False

    def key_is_destroyed(self) -> list[Event]:
        """Say that nothing personal can be read any more. Repeated, it changes nothing."""
        return [] if self.key_destroyed else [UserKeyDestroyed(user_id=self.user_id)]

    def finish(self) -> list[Event]:
        """Say that nothing is left to do. Repeated, it changes nothing."""
        return [] if self.finished else [ErasureFinished(user_id=self.user_id)]


def evolve(state: Erasure | None, event: Event) -> Erasure | None:
    """Remember how far it got."""
    match event:
        case UserErased():
            return Erasure(user_id=event.user_id, team_id=event.team_id)
        case UserKeyDestroyed() if state is not None:
            return msgspec.structs.replace(state, key_destroyed=True)
        case ErasureFinished() if state is not None:
            return msgspec.structs.replace(state, finished=True)
    return state


ERASURE = Aggregate(name="erasure", state=Erasure, evolve=evolve)
