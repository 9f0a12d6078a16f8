"""The append-only log, as everybody above sees it.

A *stream* is the history of one aggregate; its events carry versions 1, 2, 3, ... A *position* is
an event's place in the one total order of the whole log: it grows, with gaps, and a reader who has
seen position N will never meet a smaller one later.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from domain.kernel.errors import DomainError

ADDRESS_PURPOSE = "metadata.address"


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who did it, from where, and because of what. Never a secret, nothing personal in clear."""

    actor: str = "system"
    """Id of the person, key or worker that caused the event."""
    team_id: str | None = None
    address: str | None = None
    """Network address the command came from, sealed for `ADDRESS_PURPOSE` with the key of the
    person it tells about; with the team's for an API key; only the network where it is nobody's."""
    correlation_id: str | None = None
    """Shared by everything that follows from one request; the request id."""
    causation_id: str | None = None
    """Id of the event that caused this one, when a process or worker reacted to it."""


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event, encoded, not yet stored."""

    stream_id: str
    version: int
    topic: str
    """Stable name and schema version: ``deployments.DeploymentScaled@1``."""
    data: bytes
    """The event as JSON, personal fields sealed."""
    event_id: UUID
    metadata: Metadata = Metadata()


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event as the log has it: immutable, the same bytes everywhere."""

    position: int
    stream_id: str
    version: int
    topic: str
    data: bytes
    event_id: UUID
    metadata: Metadata
    recorded_at: datetime


class Conflict(DomainError):
    """Somebody else appended to the stream first; load again and decide again."""

    def __init__(self, *, stream_id: str | None = None) -> None:
        super().__init__()
        self.stream_id = stream_id

    @classmethod
    def in_detail(cls, detail: str | None) -> "Conflict":
        """Read the stream out of `Key (originator_id, originator_version)=(dpl-…, 3) ...`."""
        found = re.search(r"\)=\((.+), \d+\)", detail or "")
        return cls(stream_id=found and found[1])


class Repeated(DomainError):
    """This idempotency key was used already: its command took effect then."""


class StoreUnavailable(DomainError):
    """The event store cannot be reached. Nothing may be assumed about the last append."""


class Idempotency(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered, in the append's own transaction, so that a repeat has one effect."""

    key: bytes
    """Keyed hash of caller, route and the client's key."""
    fingerprint: bytes
    """Hash of the request's body."""
    answer: bytes
    """The answer to give again, sealed."""


class EventReader(Protocol):
    """Reads the log in order."""

    async def read_stream(self, stream_id: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        """Return one stream's events with a version greater than `after`, in order."""
        ...

    async def read_all(
        self, *, after: int, up_to: int | None = None, limit: int, without_data_of: str = ""
    ) -> Sequence[RecordedEvent]:
        """Return at most `limit` events with `after` < position <= `up_to`, in log order.

        Events whose topic begins with `without_data_of` come with empty data: for a reader who
        only has to know that they went by.
        """
        ...

    async def last_position(self) -> int:
        """Return the position of the newest event, 0 for an empty log."""
        ...


class Codec(Protocol):
    """Turns stored bytes into today's event objects (upcasting on the way) and back."""

    def encode(self, event: object) -> tuple[str, bytes]:
        """Return the topic and the JSON bytes of an event."""
        ...

    def decode(self, topic: str, data: bytes) -> object:
        """Return the event; raises `UnreadableEvent` for a topic or content nobody knows."""
        ...


class UnreadableEvent(DomainError):
    """The stored event's type is unknown, or its content does not fit its type."""
