"""Passwords: turned into something from which they cannot be read back."""

from contextlib import AbstractContextManager
from typing import Protocol


class Passwords(Protocol):
    """Hashes and verifies; slow on purpose, so bounded and off the event loop."""

    def place(self) -> AbstractContextManager[None]:
        """Hold a place in the queue before anything else is done; raises `Busy`."""
        ...

    async def hash(self, password: str) -> str:
        """Return the hash to keep; raises `Busy` when too many wait already."""
        ...

    async def verify(self, password: str, kept: str | None) -> bool:
        """Tell whether it is the right one. With `kept` None it takes as long, and is False."""
        ...

    def is_outdated(self, kept: str) -> bool:
        """Tell whether hashes are made in another way today than this one was."""
        ...
