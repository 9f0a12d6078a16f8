"""Brings request frames from the log into ClickHouse, each line exactly once.

ClickHouse takes no part in our transactions, so an insert whose answer is lost may have happened.
The projector therefore never believes its own memory: after a start and after every failure it
asks which lines of the frames at hand are stored, and inserts exactly the others. One insert is a
run of whole frames in one partition of the table, so it is stored whole or not at all. Tokens that
promise to drop repeated inserts are not used: they have dropped good ones.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
import structlog

from infrastructure.clickhouse import ClickHouse, ClickHouseAway
from infrastructure.event_store import Codec, RecordedEvent, UnreadableEvent
from infrastructure.stream import Cursor, Progress, Stream, Topic, partitions_of
from projections.analytics.frames import rows_of
from projections.analytics.metrics import AnalyticsMetrics
from projections.analytics.schema import PROGRESS, REQUESTS, ProgressRow, RequestRow, create_tables

WRITER = "tallyport analytics"

Result = TypeVar("Result")

Park = Callable[[RecordedEvent, str], Awaitable[None]]
"""Puts an event that nobody can read aside, with the reason, for a person to look at."""

Tell = Callable[[Cursor], Awaitable[None]]
"""Tells everybody who waits for analytics how far they are now."""

_log = structlog.get_logger()


class AnalyticsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of the projector."""

    frames_per_batch_max: int = 64
    rows_per_insert_max: int = 100_000
    progress_interval_seconds: float = 15.0
    """How often the place is noted from which a restart has to look."""
    retry_delay_seconds: float = 0.2
    retry_delay_seconds_max: float = 5.0
    log_retention_days: int = 7
    sample_retention_days: int = 30


class _Newest(msgspec.Struct, frozen=True):
    position: int


class _StoredFrame(msgspec.Struct, frozen=True):
    position: int
    lines: int


class _StoredLine(msgspec.Struct, frozen=True):
    line: int


class AnalyticsProjector:
    """One loop. A second one at the same time wastes work but makes nothing wrong."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        stream: Stream,
        codec: Codec,
        park: Park,
        tell: Tell,
        metrics: AnalyticsMetrics,
        options: AnalyticsOptions | None = None,
    ) -> None:
        self._clickhouse = clickhouse
        self._stream = stream
        self._codec = codec
        self._park = park
        self._tell = tell
        self._metrics = metrics
        self._options = options or AnalyticsOptions()
        self._noted: dict[int, int] = {}
        self._noted_at = time.monotonic()
        self._unsure_up_to = 0
        """Frames up to this position may be stored already; beyond it, surely not."""

    async def run(self) -> None:
        """Follow the frames until cancelled. ClickHouse may come and go."""
        start = await self._until_answered(self._open)
        _log.info("analytics start", cursor={part: at.position for part, at in start.items()})
        batches = self._stream.follow(
            Topic.REQUESTS, start, batch_size_max=self._options.frames_per_batch_max
        )
        async for batch in batches:
            if batch.events:
                await self._store(batch.events)
            await self._tell(batch.progress)
            await self._note(batch.progress)

    async def _open(self) -> Cursor:
        """Make the tables, end what a predecessor still inserts, and find where to go on."""
        await create_tables(
            self._clickhouse,
            log_retention_days=self._options.log_retention_days,
            sample_retention_days=self._options.sample_retention_days,
        )
        await self._clickhouse.stop_inserts(WRITER)
        noted = await noted_positions(self._clickhouse)
        [newest] = await self._clickhouse.query(
            _Newest, "SELECT max(position) AS position FROM requests"
        )
        self._noted = dict(noted)
        self._unsure_up_to = newest.position
        return {part: Progress(noted.get(part, 0)) for part in range(partitions_of(Topic.REQUESTS))}

    async def _store(self, events: Sequence[RecordedEvent]) -> None:
        frames = await asyncio.to_thread(self._decoded, events)
        for event, rows in frames:
            if isinstance(rows, UnreadableEvent):
                self._metrics.failures.labels(kind="unreadable frame").inc()
                await self._park(event, str(rows))
        readable = {e.position: rows for e, rows in frames if not isinstance(rows, UnreadableEvent)}
        for run in _runs(readable, self._options.rows_per_insert_max):
            await self._store_run(run)
        self._metrics.frames.inc(len(readable))
        self._metrics.lag.set(max(0.0, time.time() - events[-1].recorded_at.timestamp()))

    def _decoded(
        self, events: Sequence[RecordedEvent]
    ) -> list[tuple[RecordedEvent, list[RequestRow] | UnreadableEvent]]:
        """Decode frames, in a thread: a frame may have thousands of lines."""
        frames: list[tuple[RecordedEvent, list[RequestRow] | UnreadableEvent]] = []
        for event in events:
            try:
                frames.append((event, rows_of(event, self._codec)))
            except UnreadableEvent as error:
                frames.append((event, error))
        return frames

    async def _store_run(self, frames: Mapping[int, Sequence[RequestRow]]) -> None:
        """Store whole frames, by position; returns when every line is there once."""
        sure = min(frames) > self._unsure_up_to

        async def attempt() -> None:
            nonlocal sure
            missing = frames if sure else await self._missing(frames)
            sure = False  # until every insert below was acknowledged
            for month in _by_month(missing.values()):
                await self._clickhouse.insert(REQUESTS, month, writer=WRITER)
                self._metrics.rows.inc(len(month))

        await self._until_answered(attempt)

    async def _missing(
        self, frames: Mapping[int, Sequence[RequestRow]]
    ) -> Mapping[int, Sequence[RequestRow]]:
        """Return the lines of these frames that ClickHouse does not have."""
        # An insert of ours may still be running there although its connection is gone.
        await self._clickhouse.stop_inserts(WRITER)
        positions = {"positions": list(frames)}
        stored = await self._clickhouse.query(
            _StoredFrame,
            "SELECT position, uniqExact(line) AS lines FROM requests"
            " WHERE position IN {positions:Array(UInt64)} GROUP BY position",
            positions,
        )
        counts = {frame.position: frame.lines for frame in stored}
        missing = {}
        for position, rows in frames.items():
            count = counts.get(position, 0)
            if count == 0:
                missing[position] = rows
            elif count < len(rows):
                missing[position] = await self._missing_lines(position, rows)
        _log.info("analytics verified", frames=len(frames), frames_missing=len(missing))
        return missing

    async def _missing_lines(self, position: int, rows: Sequence[RequestRow]) -> list[RequestRow]:
        """Return what is missing of one frame: it spans two months and one of them was stored."""
        stored = await self._clickhouse.query(
            _StoredLine,
            "SELECT DISTINCT line FROM requests WHERE position = {position:UInt64}",
            {"position": position},
        )
        lines = {one.line for one in stored}
        return [row for row in rows if row.line not in lines]

    async def _note(self, progress: Cursor) -> None:
        """Note now and then how far everything is stored, so that a restart has little to ask."""
        for part, at in progress.items():
            self._metrics.position.labels(partition=str(part)).set(at.position)
        if time.monotonic() - self._noted_at < self._options.progress_interval_seconds:
            return
        self._noted_at = time.monotonic()
        rows = [
            ProgressRow(part, at.position)
            for part, at in progress.items()
            if at.position > self._noted.get(part, 0)
        ]
        if rows:
            await self._until_answered(
                lambda: self._clickhouse.insert(PROGRESS, rows, writer=WRITER)
            )
            self._noted |= {row.log_partition: row.position for row in rows}

    async def _until_answered(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """Try again for ever while ClickHouse is away: the log keeps what was not taken."""
        delay = self._options.retry_delay_seconds
        while True:
            try:
                return await attempt()
            except ClickHouseAway as error:
                self._metrics.failures.labels(kind="clickhouse away").inc()
                _log.warning("clickhouse is away, analytics wait", error=str(error))
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._options.retry_delay_seconds_max)


async def noted_positions(clickhouse: ClickHouse) -> dict[int, int]:
    """Return per partition the position up to which every frame is known to be stored."""
    rows = await clickhouse.query(
        ProgressRow,
        "SELECT log_partition, max(position) AS position FROM request_progress"
        " GROUP BY log_partition",
    )
    return {row.log_partition: row.position for row in rows}


def _runs(
    frames: Mapping[int, Sequence[RequestRow]], rows_max: int
) -> Iterator[Mapping[int, Sequence[RequestRow]]]:
    """Cut frames into runs of whole frames with at most `rows_max` rows, or one larger frame."""
    run: dict[int, Sequence[RequestRow]] = {}
    size = 0
    for position, rows in frames.items():
        if run and size + len(rows) > rows_max:
            yield run
            run, size = {}, 0
        run[position] = rows
        size += len(rows)
    if run:
        yield run


def _by_month(frames: Iterable[Sequence[RequestRow]]) -> Iterable[list[RequestRow]]:
    """Split rows by the table's partitions: only within one is an insert all or nothing."""
    months: dict[str, list[RequestRow]] = {}
    for rows in frames:
        for row in rows:
            months.setdefault(row.time[:7], []).append(row)
    return months.values()
