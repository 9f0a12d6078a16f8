"""Counters shared by several processes: rate limits."""

from typing import Protocol

import msgspec


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody stands in a window after a request was counted."""

    limit: int
    used: int
    reset_seconds: float
    """Until the window ends."""
    shared: bool = True
    """False when the shared counters are away and only this process counted."""

    @property
    def allowed(self) -> bool:
        """Whether the request that was counted is within the limit."""
        return self.used <= self.limit

    @property
    def remaining(self) -> int:
        """How many more requests the window has."""
        return max(0, self.limit - self.used)


class Counters(Protocol):
    """Counts per name in fixed windows. Never fails: without the server it counts by itself."""

    async def count(self, name: str, *, limit: int, window_seconds: int, cost: int) -> Standing:
        """Add `cost` to the window of `name` and return where it stands.

        0 only looks; a negative cost gives back what was counted before.

        A window begins with its first request. What is refused is not counted.
        """
        ...
