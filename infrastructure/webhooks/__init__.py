"""What is to be told to the servers of teams, and how it is told: the two ports of the worker.

The *ledger* has a row per endpoint, as the log had it at the ledger's position, and a row per
message and endpoint, however often the log is read. Rows and position are written in one
transaction, so nothing is told twice for one event, and nothing is left out. Its URLs and secrets
are sealed, as in the log.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

Status = Literal["pending", "delivered", "failed"]
ANSWER_BYTES_MAX = 64 * 1024
"""So much of an answer is read and kept."""


class Fenced(Exception):
    """Somebody else moved the ledger: there are two of us, and the other one is ahead."""


class Unreachable(Exception):
    """No answer came. The reason is in words for the team that the endpoint belongs to."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a webhook leads and what it wants."""

    webhook_id: str
    team_id: str
    url: str
    """Sealed, as both secrets."""
    event_types: tuple[str, ...]
    secret: str
    previous_secret: str | None = None
    previous_until: datetime | None = None
    enabled: bool = True
    failing_since: datetime | None = None
    """Since when it takes nothing."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Something that one endpoint is to be told."""

    delivery_id: str
    webhook_id: str
    cursor: str
    """Which message of the log it is: an endpoint has one delivery of each."""
    position: int
    event_type: str
    body: str


class PutEndpoint(msgspec.Struct, frozen=True):
    """An endpoint is so from now on."""

    endpoint: Endpoint


class RemoveEndpoint(msgspec.Struct, frozen=True):
    """An endpoint is gone, with all its messages."""

    webhook_id: str


class RemoveTeam(msgspec.Struct, frozen=True):
    """All endpoints of a team are gone."""

    team_id: str


class Enqueue(msgspec.Struct, frozen=True):
    """A message is to be sent, unless it is known already."""

    message: Message
    first: bool = False
    """Before all that waits, and at once: somebody looks at what becomes of it."""


class SendAgain(msgspec.Struct, frozen=True):
    """A message is to be sent before all that waits, whatever became of it."""

    webhook_id: str
    delivery_id: str


class GiveUp(msgspec.Struct, frozen=True):
    """What was still to be sent to an endpoint is not sent any more."""

    webhook_id: str
    why: str


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in a time is to be sent, from the log."""

    position: int
    """Of the wish in the log: what came after it was never missed."""
    webhook_id: str
    since: datetime
    until: datetime
    missed_only: bool
    reached: int | None = None
    """How far the log was read for it; None: not begun."""


Change = PutEndpoint | RemoveEndpoint | RemoveTeam | Enqueue | SendAgain | GiveUp | Replay


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A message whose time has come, and where to."""

    message: Message
    endpoint: Endpoint
    tries: int
    """How often it was tried since it was last asked for."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to send a message."""

    at: datetime
    duration_ms: int
    status: int | None = None
    """What it was answered with; None: nothing came."""
    answer: str | None = None
    problem: str | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from an attempt."""

    status: Status
    due_at: datetime | None = None
    """When it is tried again, of a pending one."""
    rests_until: datetime | None = None
    """Until when its endpoint is left alone."""


class Ledger(Protocol):
    """Remembers what is to be sent and what became of it. See the module for what it promises."""

    async def position(self) -> int:
        """Return how far the log is in it."""
        ...

    async def endpoints(self) -> Sequence[Endpoint]:
        """Return all endpoints as they are at that position."""
        ...

    async def advance(self, changes: Sequence[Change], *, before: int, after: int) -> None:
        """Write what a part of the log means; raises `Fenced` unless it stands at `before`."""
        ...

    async def due(
        self,
        *,
        now: datetime,
        limit: int,
        per_endpoint: int,
        under_way: Collection[str],
        busy: Mapping[str, int],
        failing: bool,
    ) -> Sequence[Due]:
        """Return messages whose time has come, to endpoints that take nothing or to all others.

        With those under way, which `busy` counts by endpoint, at most so many are of one endpoint;
        and its second one comes after the first one of all others.
        """
        ...

    async def next_due(self, *, after: datetime) -> datetime | None:
        """Return when the first that is not due yet, or whose endpoint rests, will be."""
        ...

    async def record(self, due: Due, attempt: Attempt, verdict: Verdict) -> datetime | None:
        """Remember an attempt; return since when the endpoint takes nothing, if so."""
        ...

    async def replays(self) -> Sequence[Replay]:
        """Return the replays that are not done."""
        ...

    async def replay(
        self, replay: Replay, messages: Sequence[Message], *, reached: int, done: bool
    ) -> None:
        """Enqueue a part of a replay, those again that are known; remember how far it got."""
        ...

    async def prune(self, *, before: datetime, limit: int) -> int:
        """Forget messages that were done with before a time; return how many."""
        ...


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint said."""

    status: int
    body: str
    """The beginning of it."""
    retry_after: str | None = None


class Poster(Protocol):
    """Sends a message out."""

    async def post(self, url: str, *, headers: dict[str, str], body: bytes) -> Answer:
        """Return the answer; raises `Unreachable` when none came in time."""
        ...
