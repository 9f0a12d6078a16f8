"""The relay: publishes the log to Kafka, in log order, every event at least once.

One relay leads, under an advisory lock of PostgreSQL; the others stand by. Its position is saved
on the very connection that holds the lock, and only after Kafka has confirmed: so whoever leads
next begins where everything before is in Kafka, and a relay that lost its lock can save nothing.
An event that is sent again has the same number as before (the count of its partition's events),
so followers skip it. A Kafka that is not the one we wrote to, or ends before what it confirmed,
is filled again from the beginning.
"""

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import psycopg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from psycopg.rows import TupleRow

from infrastructure.event_store import EventReader, RecordedEvent
from infrastructure.stream import (
    Outgoing,
    Place,
    PublishedLog,
    Publisher,
    PublishFailed,
    Span,
    all_places,
    place_of,
)

RELAY_SCHEMA = """
CREATE TABLE IF NOT EXISTS relay_positions (
    relay text PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0,
    sequences jsonb NOT NULL DEFAULT '{}',
    ends jsonb NOT NULL DEFAULT '{}',
    epoch bigint NOT NULL DEFAULT 0,
    cluster_id text,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""

_LOCK_CLASS = 7405602

_STORE_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, OSError)

_log = structlog.get_logger()
_Connection = psycopg.AsyncConnection[TupleRow]


class RelayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much at once, and how often."""

    page_size: int = 200
    watermark_seconds: float = 1.0
    standby_seconds: float = 1.0
    """How often a relay that stands by tries to lead."""
    cluster_check_seconds: float = 5.0
    """How often an idle relay asks whether Kafka is still the same."""
    backoff_seconds_max: float = 5.0


class RelayMetrics:
    """What the relay shows of itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag_positions = Gauge(
            "tallyport_relay_lag_positions",
            "Positions between the log's end and what is in Kafka.",
            registry=registry,
        )
        self.lag_seconds = Gauge(
            "tallyport_relay_lag_seconds",
            "Age of the oldest event that is not in Kafka; 0 if there is none.",
            registry=registry,
        )
        self.lag_seconds.set_function(self._oldest_age)
        self.published = Counter(
            "tallyport_relay_published", "Events published.", ["topic"], registry=registry
        )
        self.failures = Counter(
            "tallyport_relay_failures", "Times the relay had to begin anew.", registry=registry
        )
        self.refills = Counter(
            "tallyport_relay_refills",
            "Times a Kafka without our data was filled from the beginning.",
            registry=registry,
        )
        self.last_success = Gauge(
            "tallyport_relay_last_success_timestamp_seconds",
            "When the relay last had everything confirmed.",
            registry=registry,
        )
        self.leading = Gauge("tallyport_relay_leading", "1 while it leads.", registry=registry)
        self.oldest_unsent: datetime | None = None

    def stand_by(self) -> None:
        """Claim no lag: it is the leader's to tell."""
        self.leading.set(0)
        self.lag_positions.set(0)
        self.oldest_unsent = None

    def _oldest_age(self) -> float:
        if self.oldest_unsent is None:
            return 0.0
        return max(0.0, (datetime.now(UTC) - self.oldest_unsent).total_seconds())


class Deposed(Exception):
    """Another relay leads: this one may save nothing."""


class _Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far the relay is: everything up to `position` is in Kafka."""

    position: int
    sequences: Mapping[Place, int]
    """Events per partition up to `position`."""
    ends: Mapping[Place, int]
    """Where each partition of Kafka ended then."""
    epoch: int
    cluster_id: str | None


class Relay:
    """One relay. Run as many as you like: one leads."""

    def __init__(
        self,
        *,
        reader: EventReader,
        publisher: Publisher,
        conninfo: str,
        metrics: RelayMetrics,
        limits: RelayLimits | None = None,
        name: str = "kafka",
        channel: str = "tallyport_events",
    ) -> None:
        self._reader = reader
        self._publisher = publisher
        self._conninfo = conninfo
        self._metrics = metrics
        self._limits = limits or RelayLimits()
        self._name = name
        self._channel = channel
        self._position: int | None = None  # what is in Kafka; None while it stands by

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until told to stop. Waits for PostgreSQL and Kafka for as long as it takes."""
        backoff_seconds = 0.1
        while not stop.is_set():
            try:
                async with self._leadership(stop) as connection:
                    if connection is None:
                        return
                    at = await self._take_over(connection)
                    log = await self._publisher.open()
                    backoff_seconds = 0.1
                    await self._lead(stop, connection, await self._recognise(connection, at, log))
            except (PublishFailed, Deposed, *_STORE_AWAY) as error:
                self._metrics.failures.inc()
                _log.warning("relay begins anew", error=repr(error))
                await self._observe_lag()
                await _pause(stop, backoff_seconds)
                backoff_seconds = min(2 * backoff_seconds, self._limits.backoff_seconds_max)
            finally:
                await self._publisher.close()

    @asynccontextmanager
    async def _leadership(self, stop: asyncio.Event) -> AsyncIterator[_Connection | None]:
        """Wait for the lock; yield the connection that holds it, None if told to stop."""
        connection = await psycopg.AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=5,
            keepalives_idle=10,
            application_name="tallyport relay",
        )
        self._position = None
        try:
            await connection.execute(f'LISTEN "{self._channel}"')
            lock = (_LOCK_CLASS, zlib.crc32(self._name.encode()) & 0x7FFFFFFF)
            while not stop.is_set():
                cursor = await connection.execute("SELECT pg_try_advisory_lock(%s, %s)", lock)
                row = await cursor.fetchone()
                if row is not None and row[0]:
                    break
                self._metrics.stand_by()
                await _pause(stop, self._limits.standby_seconds)
            self._metrics.leading.set(0 if stop.is_set() else 1)
            yield None if stop.is_set() else connection
        finally:
            self._metrics.leading.set(0)
            await connection.close()

    async def _lead(self, stop: asyncio.Event, connection: _Connection, at: _Position) -> None:
        """Publish page after page, and watermarks between them."""
        told: dict[Place, int] = {}
        clock = asyncio.get_running_loop().time
        watermarks_due = clock() + self._limits.watermark_seconds
        check_due = clock() + self._limits.cluster_check_seconds
        while not stop.is_set():
            page = await self._reader.read_all(after=at.position, limit=self._limits.page_size)
            self._metrics.oldest_unsent = page[0].recorded_at if page else None
            sequences = dict(at.sequences)
            records = _numbered(page, sequences, at.epoch)
            position = page[-1].position if page else at.position
            told.update((record.place, record.position) for record in records)
            if clock() >= watermarks_due:
                watermarks_due = clock() + self._limits.watermark_seconds
                records += _watermarks(told, position, sequences, at.epoch)
                told = dict.fromkeys(all_places(), position)
                await self._observe_lag()
            if records:
                spans = await self._publisher.publish(records)
                forgotten = [p for p, span in spans.items() if span.first < at.ends.get(p, 0)]
                if forgotten:
                    at, told = await self._begin_log(connection, at, at.cluster_id, forgotten), {}
                    continue
                at = await self._confirmed(connection, at, position, sequences, spans)
                self._count(page)
            if len(page) < self._limits.page_size:
                if clock() >= check_due:
                    check_due = clock() + self._limits.cluster_check_seconds
                    if await self._publisher.cluster_id() != at.cluster_id:
                        raise PublishFailed("another kafka answers")
                await self._news(stop, connection, beyond=at.position, deadline=watermarks_due)

    async def _take_over(self, connection: _Connection) -> _Position:
        """Begin an epoch: from here on, no relay before this one can save."""
        cursor = await connection.execute(
            "INSERT INTO relay_positions AS r (relay, epoch) VALUES (%s, 1)"
            " ON CONFLICT (relay) DO UPDATE SET epoch = r.epoch + 1"
            " RETURNING position, sequences::text, ends::text, epoch, cluster_id",
            (self._name,),
        )
        row = await cursor.fetchone()
        if row is None:
            raise Deposed
        self._position = row[0]
        return _Position(
            position=row[0],
            sequences=_by_place(row[1]),
            ends=_by_place(row[2]),
            epoch=row[3],
            cluster_id=row[4],
        )

    async def _recognise(
        self, connection: _Connection, at: _Position, log: PublishedLog
    ) -> _Position:
        """Go on where Kafka is what we left; else begin a new log in it."""
        lost = [place for place, end in at.ends.items() if log.ends.get(place, 0) < end]
        if at.cluster_id == log.cluster_id and not lost:
            _log.info("relay leads", position=at.position, epoch=at.epoch)
            return at
        return await self._begin_log(connection, at, log.cluster_id, lost)

    async def _begin_log(
        self,
        connection: _Connection,
        at: _Position,
        cluster_id: str | None,
        lost: Sequence[Place],
    ) -> _Position:
        """Fill Kafka from the beginning of the log, in a new epoch."""
        if at.cluster_id is not None:
            self._metrics.refills.inc()
            _log.warning("kafka is not what it was, filling it again", lost=[*map(_name, lost)])
        begun = _Position(
            position=0, sequences={}, ends={}, epoch=at.epoch + 1, cluster_id=cluster_id
        )
        await self._save(connection, begun, epoch_before=at.epoch)
        return begun

    async def _confirmed(
        self,
        connection: _Connection,
        at: _Position,
        position: int,
        sequences: Mapping[Place, int],
        spans: Mapping[Place, Span],
    ) -> _Position:
        """Save how far Kafka has it; watermarks alone are not worth a save."""
        ends = {**at.ends, **{place: span.end for place, span in spans.items()}}
        now = msgspec.structs.replace(at, position=position, sequences=sequences, ends=ends)
        if position > at.position:
            await self._save(connection, now, epoch_before=at.epoch)
        return now

    async def _save(self, connection: _Connection, at: _Position, *, epoch_before: int) -> None:
        cursor = await connection.execute(
            "UPDATE relay_positions SET position = %s, sequences = %s::jsonb, ends = %s::jsonb,"
            " epoch = %s, cluster_id = %s, saved_at = clock_timestamp()"
            " WHERE relay = %s AND epoch = %s",
            (
                at.position,
                _as_json(at.sequences),
                _as_json(at.ends),
                at.epoch,
                at.cluster_id,
                self._name,
                epoch_before,
            ),
        )
        if cursor.rowcount != 1:
            raise Deposed
        self._position = at.position
        self._metrics.last_success.set_to_current_time()

    async def _news(
        self, stop: asyncio.Event, connection: _Connection, *, beyond: int, deadline: float
    ) -> None:
        """Return when the log has more, at the deadline, or soon after the call to stop."""
        clock = asyncio.get_running_loop().time
        while not stop.is_set() and (left := deadline - clock()) > 0:
            async for news in connection.notifies(timeout=min(left, 0.25)):
                if not news.payload.isdigit() or int(news.payload) > beyond:
                    return

    def _count(self, page: Sequence[RecordedEvent]) -> None:
        for event in page:
            self._metrics.published.labels(place_of(event)[0]).inc()
        self._metrics.oldest_unsent = None

    async def _observe_lag(self) -> None:
        """Show how far Kafka is behind, above all while it is away."""
        if self._position is None:
            return
        with contextlib.suppress(*_STORE_AWAY):
            last = await self._reader.last_position()
            unsent = await self._reader.read_all(after=self._position, limit=1)
            self._metrics.lag_positions.set(max(0, last - self._position))
            self._metrics.oldest_unsent = unsent[0].recorded_at if unsent else None


def _numbered(
    page: Sequence[RecordedEvent], sequences: dict[Place, int], epoch: int
) -> list[Outgoing]:
    """Return the page's records, counting on in `sequences`."""
    records = []
    for event in page:
        place = place_of(event)
        sequences[place] = sequences.get(place, 0) + 1
        records.append(
            Outgoing(
                place=place,
                position=event.position,
                sequence=sequences[place],
                epoch=epoch,
                event=event,
            )
        )
    return records


def _watermarks(
    told: Mapping[Place, int], position: int, sequences: Mapping[Place, int], epoch: int
) -> list[Outgoing]:
    """Return a watermark for each partition that has not been told of `position`."""
    return [
        Outgoing(place=place, position=position, sequence=sequences.get(place, 0), epoch=epoch)
        for place in all_places()
        if told.get(place, 0) < position
    ]


def _name(place: Place) -> str:
    topic, partition = place
    return f"{topic}/{partition}"


def _as_json(numbers: Mapping[Place, int]) -> str:
    return msgspec.json.encode({_name(place): n for place, n in numbers.items()}).decode()


def _by_place(text: str) -> Mapping[Place, int]:
    numbers = msgspec.json.decode(text, type=dict[str, int])
    return {place: numbers[_name(place)] for place in all_places() if _name(place) in numbers}


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but not past the call to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
