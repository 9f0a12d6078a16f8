"""One follower of the log for all watchers of this process."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

import structlog

from api.live.queues import Waiting
from api.services import EventDecoder, Log
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Progress, Stream, Topic
from projections.deployments import DeploymentRow, as_of
from projections.live import WATCHED, LiveEvent, Narrator

BATCH_SIZE = 500
RETRY_SECONDS = 0.5
REMEMBERED_MAX = 5_000
"""Messages kept for watchers who come back after a moment; older ones are read from the log."""
WAITING_MAX = 1_000
"""Messages that may wait for one slow watcher before it is let go."""

Place = tuple[int, int]
"""A position of the log and the number of a message of that event."""
LAST = 1_000_000
"""No event makes so many messages."""

log = structlog.get_logger()


class Watcher(Waiting[LiveEvent]):
    """Somebody's queue, and what belongs into it."""

    def __init__(self, wants: Callable[[LiveEvent], bool]) -> None:
        super().__init__(WAITING_MAX)
        self.wants = wants


class Hub:
    """Follows the log and tells everybody what is theirs."""

    def __init__(self, stream: Stream, store: Log, decoder: EventDecoder) -> None:
        self._stream = stream
        self._store = store
        self._decoder = decoder
        self._watchers: set[Watcher] = set()
        self._remembered: deque[LiveEvent] = deque(maxlen=REMEMBERED_MAX)
        self._floor = 0
        """Everything told after this position is remembered, or was told before we began."""
        self._reached: int | None = None
        self._begun = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until told to stop; go on where it was after an error."""
        while not stop.is_set():
            try:
                await self._follow(stop)
            except Exception as error:  # noqa: BLE001 - whatever it was, watchers go on
                log.warning("watchers wait", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, stop: asyncio.Event) -> None:
        start = self._reached
        if start is None:
            start = self._floor = await self._store.last_position()
            self._reached = start
            self._begun.set()
        narrator = Narrator(self._past_of)
        following = self._stream.follow(
            Topic.EVENTS, {0: Progress(position=start)}, batch_size_max=BATCH_SIZE
        )
        async with contextlib.aclosing(following):  # type: ignore[type-var] # a generator
            async for batch in following:
                for event in await self._told(narrator, batch.events):
                    self._broadcast(event)
                self._reached = batch.progress[0].position
                if stop.is_set():
                    return

    async def watch(
        self, wants: Callable[[LiveEvent], bool], *, since: Place | None
    ) -> AsyncGenerator[LiveEvent, None]:
        """Yield what happens from now on, or since then, each once and in order."""
        # Before we follow, nobody knows where the past ends and what is to come begins.
        await self._begun.wait()
        if since is not None:
            # A place beyond the log's end is of one that was longer, before a backup was restored.
            since = min(since, (await self._store.last_position(), LAST))
            wants = _after(since, wants)
        watcher = Watcher(wants)
        async for event in self._before(watcher, since):
            if wants(event):
                yield event
        try:
            while True:
                yield await watcher.next()
        finally:
            self._watchers.discard(watcher)

    async def _before(self, watcher: Watcher, since: Place | None) -> AsyncIterator[LiveEvent]:
        """Yield the past; when it ends, the watcher hears of everything after it."""
        if since is None:
            self._watchers.add(watcher)
            return
        narrator = Narrator(self._past_of)
        after = max(since[0] - 1, 0)
        while after < self._floor:
            page = await self._store.read_all(after=after, up_to=self._floor, limit=BATCH_SIZE)
            for event in await self._told(narrator, page):
                if place_of(event.cursor) > since:
                    yield event
            after = page[-1].position if page else self._floor
        # From here on nothing is awaited until the watcher is one of us.
        recent = [
            event
            for event in self._remembered
            if place_of(event.cursor) > since and place_of(event.cursor)[0] > after
        ]
        self._watchers.add(watcher)
        for event in recent:
            yield event

    async def _told(
        self, narrator: Narrator, events: Sequence[RecordedEvent]
    ) -> Sequence[LiveEvent]:
        watched = [event for event in events if event.topic.startswith(WATCHED)]
        told: list[LiveEvent] = []
        for event, recorded in zip(await self._decoder.decode_all(watched), watched, strict=True):
            if isinstance(event, Exception):
                log.warning("event not told", position=recorded.position, error=str(event))
                continue
            told += await narrator.tell(event, recorded)
        return told

    def _broadcast(self, event: LiveEvent) -> None:
        if len(self._remembered) == REMEMBERED_MAX:
            self._floor = place_of(self._remembered[0].cursor)[0]
        self._remembered.append(event)
        for watcher in self._watchers:
            if watcher.wants(event):
                watcher.put(event)

    async def _past_of(self, deployment_id: str, position: int) -> DeploymentRow | None:
        recorded = [
            event
            for event in await self._store.read_stream(deployment_id)
            if event.position < position
        ]
        events = await self._decoder.decode_all(recorded)
        return as_of(zip(events, recorded, strict=True))


def _after(since: Place, wants: Callable[[LiveEvent], bool]) -> Callable[[LiveEvent], bool]:
    """Want nothing again: whoever comes from another process may know more than this one."""
    return lambda event: place_of(event.cursor) > since and wants(event)


def place_of(cursor: str) -> Place:
    """Return the place that a cursor names; raises `ValueError`. A bare position is its end."""
    position, _, number = cursor.partition(".")
    if not (position.isascii() and position.isdecimal() and len(position) <= 18):  # noqa: PLR2004
        raise ValueError(cursor)
    if number and not (number.isascii() and number.isdecimal() and len(number) <= 6):  # noqa: PLR2004
        raise ValueError(cursor)
    return int(position), int(number) if number else LAST
