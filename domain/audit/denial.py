"""One note of what somebody was denied: it is made and never changes, so nothing is decided."""

import msgspec

from domain.audit.events import AccessDenied
from domain.kernel.aggregates import Aggregate
from domain.kernel.events import Event


class Denial(msgspec.Struct, frozen=True, kw_only=True):
    """The note, which belongs to the team it was refused in."""

    team_id: str


def evolve(state: Denial | None, event: Event) -> Denial | None:
    """Remember whose it is."""
    return Denial(team_id=event.team_id) if isinstance(event, AccessDenied) else state


DENIAL = Aggregate(name="denial", state=Denial, evolve=evolve)
