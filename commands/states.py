"""What the bus remembers between commands: the states of the aggregates used last."""

import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

PERSONAL_SECONDS_MAX = 60.0
"""What is personal stays in memory for so long at most: its person may have been erased."""


class StateCache:
    """The states used last. Immutable, so they are shared without copying."""

    def __init__(self, size_max: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size_max = size_max
        self._clock = clock
        self._states: OrderedDict[str, tuple[msgspec.Struct, int]] = OrderedDict()
        self._personal: OrderedDict[str, float] = OrderedDict()
        """Since when a state is kept that tells of a person, the oldest in front."""

    def get(self, stream_id: str) -> tuple[msgspec.Struct, int] | None:
        """Return state and version."""
        self._forget_people()
        found = self._states.get(stream_id)
        if found is not None:
            self._states.move_to_end(stream_id)
        return found

    def is_personal(self, stream_id: str) -> bool:
        """Tell whether a state is kept that tells of a person."""
        return stream_id in self._personal

    def put(
        self, stream_id: str, state: msgspec.Struct, version: int, *, personal: bool = False
    ) -> None:
        """Keep a state unless a newer one is there."""
        self._forget_people()
        found = self._states.get(stream_id)
        if found is not None and found[1] > version:
            return
        if personal:
            self._personal.setdefault(stream_id, self._clock())
        self._states[stream_id] = (state, version)
        self._states.move_to_end(stream_id)
        while len(self._states) > self._size_max:
            gone, _ = self._states.popitem(last=False)
            self._personal.pop(gone, None)

    def drop(self, stream_id: str) -> None:
        """Forget a state that turned out to be old, or whose subject is gone."""
        self._states.pop(stream_id, None)
        self._personal.pop(stream_id, None)

    def _forget_people(self) -> None:
        too_old = self._clock() - PERSONAL_SECONDS_MAX
        while self._personal:
            stream_id, since = next(iter(self._personal.items()))
            if since > too_old:
                break
            self.drop(stream_id)
