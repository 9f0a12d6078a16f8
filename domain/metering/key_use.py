"""One note of which keys were used. There is nothing to decide: it is made and never changes."""

from datetime import datetime

import msgspec

from domain.kernel.aggregates import Aggregate
from domain.kernel.events import Event
from domain.metering.events import ApiKeysUsed


class KeyUse(msgspec.Struct, frozen=True, kw_only=True):
    """The note."""

    at: datetime


def evolve(state: KeyUse | None, event: Event) -> KeyUse | None:
    """Remember when it was."""
    return KeyUse(at=event.at) if isinstance(event, ApiKeysUsed) else state


KEY_USE = Aggregate(name="key_use", state=KeyUse, evolve=evolve)
