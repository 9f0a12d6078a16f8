"""A queue between one who tells many and one who may be slow."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class TooSlow(Exception):
    """The listener did not take what waited in time. Nothing is lost: it may come back."""


class Waiting(Generic[Item]):
    """What waits for one listener."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._items: deque[Item] = deque()
        self._more = asyncio.Event()
        self._overflowed = False

    def put(self, item: Item) -> None:
        """Add one; never waits."""
        if len(self._items) >= self._size_max:
            self._overflowed = True
        elif not self._overflowed:
            self._items.append(item)
        self._more.set()

    async def next(self) -> Item:
        """Return the next; raises `TooSlow` after the last one that could be kept."""
        while not self._items:
            if self._overflowed:
                raise TooSlow
            self._more.clear()
            await self._more.wait()
        return self._items.popleft()
