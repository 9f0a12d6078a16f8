"""The projection runner: keeps one view equal to the log, for ever.

It takes batches from the stream, folds them in memory, and writes rows and position in one
transaction, so a crash repeats nothing and loses nothing. An event that cannot be applied is
*parked* with its error, and so is every later event of its stream; the rest of the view goes on.
A view whose definition changed, or whose rebuild was asked for, is filled anew beside the old
table and switched over when it has caught up.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import psycopg
import structlog
from prometheus_client import Counter, Gauge
from psycopg_pool import AsyncConnectionPool

from infrastructure.ending import end, end_on
from infrastructure.event_store import EventReader, RecordedEvent
from infrastructure.stream import Batch, Progress, Stream, Topic
from projections import tables
from projections.moving import Move, Mover
from projections.tables import Connection, Fenced
from projections.upkeep import Wishes, take_parked
from projections.view import Change, Forget, Key, View, forgotten_by

BATCH_SIZE_MAX = {Topic.EVENTS: 1000, Topic.REQUESTS: 256}
"""Events per batch; a request frame unpacks to as much as a MiB, so there are fewer of them."""
REBUILD_BATCH_SIZE_MAX = {Topic.EVENTS: 5000, Topic.REQUESTS: 256}
TICK_SECONDS = 1.0
PAUSE_SECONDS_MAX = 5.0

REFUSED = (psycopg.DataError, psycopg.IntegrityError)
"""It is the value's fault: a NUL in a text, a unique name that is in use."""

APPLIED = Counter("tallyport_view_events_total", "Events applied to the view", ["view"])
PARKED = Gauge("tallyport_view_parked_events", "Events that could not be applied", ["view"])
FAILURES = Counter(
    "tallyport_view_failures_total", "Batches that failed and were retried", ["view"]
)
LAST_SUCCESS = Gauge("tallyport_view_last_success_seconds", "Unix time of the last batch", ["view"])
LAG_SECONDS = Gauge("tallyport_view_lag_seconds", "Age of the newest event when applied", ["view"])

log = structlog.get_logger()


class Decoder(Protocol):
    """Decodes a page of events; one that cannot be read comes back as the error."""

    async def decode_all(self, events: Sequence[RecordedEvent]) -> list[object]:
        """Return an event or an exception for each."""
        ...


class Step(msgspec.Struct, frozen=True):
    """Events to apply to a generation, and how its position moves with them."""

    generation: int
    events: Sequence[RecordedEvent]
    decoded: Sequence[object]
    before: Mapping[int, Progress] = {}
    after: Mapping[int, Progress] = {}
    live: bool = False
    """Readers are told."""


Parked = list[tuple[RecordedEvent, str]]


class Folded(msgspec.Struct, frozen=True):
    """What a step does to a view."""

    rows: dict[Key, Any]
    """Row after the batch, None where it is gone."""
    parked: Parked
    forgotten: set[str]
    """People whose rows go, before the others are written."""


class ProjectionRunner:
    """Runs one view."""

    def __init__(
        self,
        view: View[Any],
        *,
        stream: Stream,
        rebuild_stream: Stream,
        reader: EventReader,
        decoder: Decoder,
        pool: AsyncConnectionPool[Connection],
        mover: Mover,
        wishes: Wishes,
    ) -> None:
        self._view = view
        self._stream = stream
        self._rebuild_stream = rebuild_stream
        self._reader = reader
        self._decoder = decoder
        self._pool = pool
        self._mover = mover
        self._wishes = wishes
        self._parked_streams: dict[int, set[str]] = {}
        self._following: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        """Held while rows are read, folded and written: a retry must not overtake a batch."""

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the view up to date until told to stop. Trouble is logged and tried again."""
        pause = 0.1
        while not stop.is_set():
            try:
                await end_on(stop, self._run_once())
                pause = 0.1
            except (psycopg.Error, OSError, Fenced) as error:
                FAILURES.labels(self._view.name).inc()
                log.warning("view interrupted", view=self._view.name, error=str(error))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await stop.wait()
                pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def _run_once(self) -> None:
        generation, outdated = await self._prepare()
        following = self._following = asyncio.create_task(self._follow(generation))
        rebuilding: asyncio.Task[int] | None = None
        try:
            while True:
                if outdated and rebuilding is None:
                    rebuilding = asyncio.create_task(self._rebuild(generation + 1))
                running = {task for task in (following, rebuilding) if task and not task.done()}
                if running:  # both may have ended while it was asked what is wanted
                    await asyncio.wait(
                        running, timeout=TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                if rebuilding is not None and rebuilding.done():
                    rebuilding.result()
                    return
                if following.done() and not following.cancelled():
                    following.result()
                    return
                outdated = outdated or await self._tick(generation)
        finally:
            await end(*(task for task in (following, rebuilding) if task is not None))

    async def _prepare(self) -> tuple[int, bool]:
        """Return the generation shown, and whether it has to be replaced."""
        async with self._pool.connection() as connection:
            live = await tables.live_generation(connection, self._view)
        if live is None or live[1] != self._view.fingerprint:
            # Never shown half-filled. A table of older columns stays readable until then.
            generation = await self._rebuild(1 if live is None else live[0] + 1)
            return generation, False
        generation, _, rebuild_wanted = live
        async with self._pool.connection() as connection:
            await self._load_parked(connection, generation)
        return generation, rebuild_wanted

    async def _follow(self, generation: int) -> None:
        async with self._pool.connection() as connection:
            progress = await tables.progress_of(connection, self._view, generation)
        async for batch in self._stream.follow(
            self._view.topic, progress, batch_size_max=BATCH_SIZE_MAX[self._view.topic]
        ):
            await self._apply(generation, batch, progress, live=True)
            progress.update(batch.progress)

    async def _rebuild(self, generation: int) -> int:
        """Fill a new generation from the beginning of the log and show it when it has caught up."""
        started = time.monotonic()
        async with self._pool.connection() as connection:
            await tables.create_generation(connection, self._view, generation)
        self._parked_streams[generation] = set()
        target = await self._reader.last_position()
        size = REBUILD_BATCH_SIZE_MAX[self._view.topic]
        progress: dict[int, Progress] = {}
        if target > 0 or not await self._show(generation, progress):
            async for batch in self._rebuild_stream.follow(
                self._view.topic, {}, batch_size_max=size
            ):
                await self._apply(generation, batch, progress, live=False)
                progress.update(batch.progress)
                reached = min(p.position for p in progress.values())
                if reached < target:
                    continue
                target = await self._reader.last_position()
                if target - reached < size and await self._show(generation, progress):
                    break
        log.info(
            "view rebuilt",
            view=self._view.name,
            generation=generation,
            position=target,
            seconds=round(time.monotonic() - started, 2),
        )
        return generation

    async def _show(self, generation: int, progress: Mapping[int, Progress]) -> bool:
        """Show the generation, unless it lacks something that people can see already.

        The one shown now stops here, or it might always be a little ahead.
        """
        if self._following is not None:
            await end(self._following)
        async with self._turn, self._pool.connection() as connection:
            shown = await tables.live_generation(connection, self._view)
            if shown is not None:
                seen = await tables.progress_of(connection, self._view, shown[0])
                if any(progress.get(n, Progress()).position < p.position for n, p in seen.items()):
                    return False
            await tables.switch_to(connection, self._view, generation)
            return True

    async def _apply(
        self, generation: int, batch: Batch, before: Mapping[int, Progress], *, live: bool
    ) -> None:
        decoded = await self._decode(batch.events)
        step = Step(generation, batch.events, decoded, before, batch.progress, live)
        async with self._turn:
            stopped = self._parked_streams.setdefault(generation, set())
            if self._goes_by(step, stopped):
                await self._mover.move(self._past(step))
            else:
                async with self._pool.connection() as connection:
                    parked = await self._take(connection, step, stopped)
                stopped.update(event.stream_id for event, _ in parked)
        if batch.events:
            name = self._view.name
            APPLIED.labels(name).inc(len(batch.events))
            LAST_SUCCESS.labels(name).set(time.time())
            LAG_SECONDS.labels(name).set(
                max(0.0, time.time() - batch.events[-1].recorded_at.timestamp())
            )

    async def _decode(self, events: Sequence[RecordedEvent]) -> Sequence[object]:
        if self._view.reads_raw:
            return [None] * len(events)
        return await self._decoder.decode_all(events)

    async def _take(self, connection: Connection, step: Step, stopped: set[str]) -> Parked:
        """Store what the step does; return the events parked. All or nothing."""
        try:
            return await self._fold_and_save(connection, step, stopped)
        except REFUSED:
            # A value that PostgreSQL refuses: find the one event it is in.
            return await self._one_by_one(connection, step, stopped)

    async def _one_by_one(self, connection: Connection, step: Step, stopped: set[str]) -> Parked:
        parked: Parked = []
        stopped = {*stopped}
        async with connection.transaction():
            for event, content in zip(step.events, step.decoded, strict=True):
                alone = Step(step.generation, [event], [content], live=step.live)
                try:
                    found = await self._fold_and_save(connection, alone, stopped)
                except REFUSED as error:
                    # The rest of the error may repeat a value, and so tell about a person.
                    found = [(event, error.diag.message_primary or type(error).__name__)]
                    await self._park(connection, step.generation, found)
                parked += found
                stopped.update(event.stream_id for event, _ in found)
            moved = Step(step.generation, [], [], step.before, step.after, step.live)
            await self._fold_and_save(connection, moved, stopped)
        return parked

    async def _fold_and_save(self, connection: Connection, step: Step, stopped: set[str]) -> Parked:
        meanings = [
            self._changes(event, content)
            for event, content in zip(step.events, step.decoded, strict=True)
        ]
        async with connection.transaction():
            folded = await self._fold(connection, step, meanings, stopped)
            await self._park(connection, step.generation, folded.parked)
            await tables.forget(connection, self._view, step.generation, folded.forgotten)
            await tables.save(
                connection,
                self._view,
                step.generation,
                rows=[row for row in folded.rows.values() if row is not None],
                gone=[key for key, row in folded.rows.items() if row is None],
                before=step.before,
                after=step.after,
                live=step.live,
            )
        return folded.parked

    def _goes_by(self, step: Step, stopped: set[str]) -> bool:
        """Return whether nothing of it is about this view, as of most events."""
        return len(step.after) == 1 and not any(
            event.stream_id in stopped or self._changes(event, content)
            for event, content in zip(step.events, step.decoded, strict=True)
        )

    def _past(self, step: Step) -> Move:
        [(partition, after)] = step.after.items()
        before = step.before.get(partition)
        return Move(
            view=self._view.name,
            generation=step.generation,
            partition=partition,
            before=None if before is None else before.position,
            position=after.position,
            sequence=after.sequence,
            live=step.live,
        )

    async def _fold(
        self,
        connection: Connection,
        step: Step,
        meanings: Sequence[Sequence[Change] | Forget | Exception],
        stopped: set[str],
    ) -> Folded:
        keys = {key for meaning in meanings if isinstance(meaning, Sequence) for key, _ in meaning}
        rows: dict[Key, Any] = {
            **await tables.load_rows(connection, self._view, step.generation, list(keys))
        }
        touched: dict[Key, Any] = {}
        parked: Parked = []
        forgotten: set[str] = set()
        stopped = {*stopped}
        for event, meaning in zip(step.events, meanings, strict=True):
            if isinstance(meaning, Forget):
                forgotten.add(meaning.user_id)
                gone = dict.fromkeys(self._rows_about(meaning.user_id, rows))
                rows.update(gone)
                touched.update(gone)
            if event.stream_id in stopped:
                parked.append((event, "an earlier event of this stream is parked"))
                continue
            if isinstance(meaning, Forget):
                continue
            try:
                if isinstance(meaning, Exception):
                    raise meaning  # noqa: TRY301 - it is parked like an error of the fold
                after = {
                    key: self._view.fold(rows.get(key), change, event) for key, change in meaning
                }
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this event's fault
                parked.append((event, f"{type(error).__name__}: {error}"))
                stopped.add(event.stream_id)
                continue
            rows.update(after)
            touched.update(after)
        return Folded(touched, parked, forgotten)

    def _rows_about(self, user_id: str, rows: Mapping[Key, Any]) -> list[Key]:
        person = self._view.person or ""
        return [key for key, row in rows.items() if getattr(row, person, None) == user_id]

    def _changes(
        self, event: RecordedEvent, content: object
    ) -> Sequence[Change] | Forget | Exception:
        if isinstance(content, Exception):
            return content
        try:
            return forgotten_by(self._view, content) or self._view.changes(content, event)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this event's fault
            return error

    async def _park(self, connection: Connection, generation: int, parked: Parked) -> None:
        for event, error in parked:
            log.error(
                "event parked", view=self._view.name, position=event.position, error=error[:500]
            )
            await connection.execute(
                "INSERT INTO parked_events (view, generation, position, stream_id, topic, error)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (
                    self._view.name,
                    generation,
                    event.position,
                    event.stream_id,
                    event.topic,
                    error[:2000].replace("\0", ""),
                ),
            )
        if parked:
            PARKED.labels(self._view.name).inc(len(parked))

    async def _load_parked(self, connection: Connection, generation: int) -> None:
        cursor = await connection.execute(
            "SELECT stream_id FROM parked_events WHERE view = %s AND generation = %s",
            (self._view.name, generation),
        )
        streams = [row[0] for row in await cursor.fetchall()]
        self._parked_streams[generation] = set(streams)
        PARKED.labels(self._view.name).set(len(streams))

    async def _tick(self, generation: int) -> bool:
        """Look for what people asked for; tell whether a rebuild is among it."""
        wish = await self._wishes.of(self._view.name)
        if wish is None:
            return False
        if wish.generation != generation:
            raise Fenced(f"{self._view.name} was switched to generation {wish.generation}")
        for stream_id in wish.streams:
            async with self._pool.connection() as connection:
                await self._retry(connection, generation, stream_id)
        return wish.rebuild

    async def _retry(self, connection: Connection, generation: int, stream_id: str) -> None:
        """Apply the parked events of one stream in order, as far as it goes now.

        Without those that somebody discarded.
        """
        async with self._turn, connection.transaction():
            positions = await take_parked(connection, self._view.name, generation, stream_id)
            events = [
                event
                for position in positions
                for event in await self._reader.read_all(
                    after=position - 1, up_to=position, limit=1
                )
            ]
            decoded = await self._decode(events)
            others = self._parked_streams[generation] - {stream_id}
            await self._take(connection, Step(generation, events, decoded, live=True), others)
        await self._load_parked(connection, generation)
        log.info("parked events retried", view=self._view.name, stream_id=stream_id)
