"""The log as a stream that projectors follow, whatever carries it (the store itself, or Kafka).

Two topics. `EVENTS` has the control plane in one partition, so in one total order. `REQUESTS` has
the gateway's request frames, spread over partitions by gateway. A *sequence* counts densely within
a topic's partition, so that a consumer sees a hole; only Kafka needs it, the store has no holes.
"""

import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from infrastructure.event_store import RecordedEvent

FRAME_TOPIC_PREFIX = "metering.RequestsServed@"
REQUEST_PARTITIONS = 4


class Topic(StrEnum):
    """What a consumer can follow."""

    EVENTS = "tallyport.events"
    REQUESTS = "tallyport.requests"


def partitions_of(topic: Topic) -> int:
    """Return how many partitions a topic has. Fixed for ever: a change is a new topic."""
    return REQUEST_PARTITIONS if topic is Topic.REQUESTS else 1


def place_of(event: RecordedEvent) -> tuple[Topic, int]:
    """Return the topic and the partition of an event: the same answer everywhere, for ever."""
    if event.topic.startswith(FRAME_TOPIC_PREFIX):
        return Topic.REQUESTS, zlib.crc32(event.stream_id.encode()) % REQUEST_PARTITIONS
    return Topic.EVENTS, 0


class Progress(msgspec.Struct, frozen=True):
    """How far a consumer is in one partition: everything up to `position` has been applied.

    `sequence` is the dense number of the last record taken from Kafka, None when it is not known
    (never read from Kafka, or filled from the store since).
    """

    position: int = 0
    sequence: int | None = None


Cursor = Mapping[int, Progress]
"""Progress per partition; a missing partition has none."""


class Batch(msgspec.Struct, frozen=True):
    """The next events of a topic in order, and the progress once they are applied.

    `events` may be empty: then only the progress moved (other topics' events went by).
    """

    events: Sequence[RecordedEvent]
    progress: Cursor


class Stream(Protocol):
    """Follows one topic for ever, from a cursor on: no event left out, none twice, in order."""

    def follow(self, topic: Topic, start: Cursor, *, batch_size_max: int) -> AsyncIterator[Batch]:
        """Yield batches as they come. Ends only by cancellation or an error."""
        ...


Place = tuple[Topic, int]
"""A topic and one of its partitions."""


def all_places() -> Sequence[Place]:
    """Return every partition of every topic."""
    return [(topic, partition) for topic in Topic for partition in range(partitions_of(topic))]


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One record on its way to Kafka: an event, or without one a watermark.

    A watermark says that every event of its partition up to `position` was sent before it. The
    `sequence` is the number of events the partition has up to `position`, so it depends on nothing
    but the log: whoever sends an event again, gives it the same number.
    """

    place: Place
    position: int
    sequence: int
    epoch: int
    """Grows with each change of leader and each new Kafka log; a change makes consumers check."""
    event: RecordedEvent | None = None


class Span(msgspec.Struct, frozen=True):
    """The offsets that one publication got in a partition."""

    first: int
    end: int
    """The offset after the last."""


class PublishedLog(msgspec.Struct, frozen=True, kw_only=True):
    """What Kafka has: which cluster it is, and where each partition ends."""

    cluster_id: str
    ends: Mapping[Place, int]


class PublishFailed(Exception):
    """Kafka did not take everything. Some of it may have arrived: send it all again."""


class Publisher(Protocol):
    """Writes to Kafka for the relay. Every call is bounded in time or raises `PublishFailed`."""

    async def open(self) -> PublishedLog:
        """Connect anew, create what topics are missing, and return what is there."""
        ...

    async def cluster_id(self) -> str:
        """Return the id of the cluster that answers now."""
        ...

    async def publish(self, records: Sequence[Outgoing]) -> Mapping[Place, Span]:
        """Send the records in order and return when all brokers have them."""
        ...

    async def close(self) -> None:
        """Let go of the connections. May be called at any time and repeatedly."""
        ...
