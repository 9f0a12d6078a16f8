"""An aggregate: the states a thing goes through, rebuilt from its events.

The state is immutable. Its methods decide (check the rules, return events, or raise a
`DomainError`); `evolve` remembers: it never raises and never decides.
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from domain.kernel.events import Event, ValueClaimed, ValueReleased

State = TypeVar("State", bound=msgspec.Struct)


class Aggregate(msgspec.Struct, Generic[State], frozen=True, kw_only=True):
    """A kind of thing: what its state looks like and how an event changes it."""

    name: str
    state: type[State]
    evolve: Callable[[State | None, Event], State | None]
    snapshot_every: int | None = None
    """Keep a snapshot each so many events, for aggregates whose streams grow long."""

    def replay(self, events: Iterable[Event], start: State | None = None) -> State | None:
        """Return the state after the events."""
        state = start
        for event in events:
            state = self.evolve(state, event)
        return state


class Claim(msgspec.Struct, frozen=True):
    """The ownership of one unique value, as its own stream remembers it."""

    owner_id: str | None


def evolve_claim(state: Claim | None, event: Event) -> Claim | None:
    """Remember who owns the value."""
    match event:
        case ValueClaimed():
            return Claim(owner_id=event.owner_id)
        case ValueReleased():
            return Claim(owner_id=None)
    return state


CLAIM = Aggregate(name="claim", state=Claim, evolve=evolve_claim)
