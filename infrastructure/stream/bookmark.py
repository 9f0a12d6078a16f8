"""Where a follower is in a topic, partition by partition, and what may come next.

This is the whole argument why a follower of Kafka sees every event once and in order, whatever
Kafka does: an event is taken from Kafka only if it is the direct successor of what was applied
(same epoch, next sequence). Everything else is either passed already, or a hole, and a hole is
read from the store.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Protocol

import msgspec
import psycopg

from infrastructure.event_store import RecordedEvent
from infrastructure.stream import (
    FRAME_TOPIC_PREFIX,
    Batch,
    Cursor,
    Progress,
    Topic,
    partitions_of,
    place_of,
)

STORE_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, OSError)
"""What a reader raises when PostgreSQL is away: wait and try again."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What a record in Kafka claims about its place in the log."""

    partition: int
    position: int
    sequence: int
    epoch: int
    is_event: bool


class Verdict(Enum):
    """What to do with a record."""

    PASSED = auto()
    """Applied already: skip it."""
    NEXT = auto()
    """The direct successor: take it."""
    HOLE = auto()
    """Something may be missing before it: read the store up to it."""


class Bookmark:
    """The state of one follower of one topic."""

    def __init__(self, topic: Topic, start: Cursor) -> None:
        self.topic = topic
        known = [start.get(n, Progress()) for n in range(partitions_of(topic))]
        self._positions = [progress.position for progress in known]
        # Nothing lies before the beginning, so there the count is known.
        self._sequences = [0 if progress.position == 0 else progress.sequence for progress in known]
        self._epochs: list[int | None] = [None] * len(known)

    @property
    def lowest(self) -> int:
        """The position up to which every partition is complete."""
        return min(self._positions)

    def progress(self) -> Cursor:
        """Return the progress to store with what has been taken so far."""
        pairs = zip(self._positions, self._sequences, strict=True)
        return {n: Progress(position, sequence) for n, (position, sequence) in enumerate(pairs)}

    def take_page(self, page: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        """Pass a page of the store, which begins at or before `lowest`; return what is new."""
        new = []
        for event in page:
            topic, partition = place_of(event)
            if topic is self.topic and event.position > self._positions[partition]:
                new.append(event)
                sequence = self._sequences[partition]
                self._sequences[partition] = None if sequence is None else sequence + 1
        if page:
            # The store shows everything up to its last row, so every partition has passed it.
            self._positions = [max(position, page[-1].position) for position in self._positions]
        return new

    def judge(self, mark: Mark) -> Verdict:
        """Say what to do with a record."""
        n = mark.partition
        if mark.position <= self._positions[n]:
            return Verdict.PASSED
        sequence = self._sequences[n]
        if (
            sequence is not None
            and self._epochs[n] == mark.epoch
            and mark.sequence == sequence + mark.is_event
        ):
            return Verdict.NEXT
        return Verdict.HOLE

    def step(self, mark: Mark) -> None:
        """Pass a record that was judged to be the next."""
        self._positions[mark.partition] = mark.position
        self._sequences[mark.partition] = mark.sequence

    def settle(self, mark: Mark) -> bool:
        """Join the numbering of a record after its hole was filled; False if the count differs.

        A record that claims a position which the store does not have is believed in nothing.
        """
        n = mark.partition
        if self._positions[n] != mark.position:
            return True
        agrees = self._sequences[n] in (None, mark.sequence)
        self._sequences[n] = mark.sequence
        self._epochs[n] = mark.epoch
        return agrees


class PageReader(Protocol):
    """Reads pages of the log, as `EventReader` does."""

    async def read_all(
        self, *, after: int, up_to: int | None = None, limit: int, without_data_of: str = ""
    ) -> Sequence[RecordedEvent]:
        """Return at most `limit` events with `after` < position <= `up_to`, in log order."""
        ...


async def next_page(
    reader: PageReader, bookmark: Bookmark, *, up_to: int | None, limit: int
) -> tuple[Batch | None, bool]:
    """Read a page of the store; return the batch, and whether there may be more.

    No batch when nothing lies between the bookmark and `up_to`.
    """
    page = await reader.read_all(
        after=bookmark.lowest,
        up_to=up_to,
        limit=limit,
        without_data_of=FRAME_TOPIC_PREFIX if bookmark.topic is Topic.EVENTS else "",
    )
    if not page:
        return None, False
    new = bookmark.take_page(page)
    return Batch(new, bookmark.progress()), len(page) >= limit
