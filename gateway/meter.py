"""The meter: moves request lines from the request logs into the event store, each exactly once.

The store is its only memory. It reads where the last stored frame of a log ended and goes on there,
so a crash at any moment can neither lose a line nor store it twice; a second meter is refused by
the store, reads again, and goes on. What the store has, the file gives back to the disk.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Protocol

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from domain.metering.events import RequestsServed
from domain.metering.values import stream_of
from gateway.framing import cut_frame
from gateway.request_logs import RequestLog, request_logs
from gateway.sparse_files import punch_hole
from infrastructure.event_store import Conflict

log = structlog.get_logger()


class FrameStore(Protocol):
    """The event store, as the meter sees it."""

    async def last_frame(self, stream_id: str) -> tuple[int, RequestsServed] | None:
        """Return the newest frame of a log and its version, None when it has none."""
        ...

    async def append(self, stream_id: str, version: int, frame: RequestsServed) -> None:
        """Store a frame; `Conflict` when that version is there already."""
        ...


class MeterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where the request logs are, and how they are cut."""

    gateway_id: str
    requests_folder: Path
    interval_seconds: float = 1.0
    """How long a line waits for others before its frame is stored."""
    frame_bytes_max: int = 1024**2
    frames_per_turn_max: int = 32
    """How many frames one log may store before the next log has its turn."""
    retry_seconds: float = 1.0
    """How long to wait when the store is away."""


class MeterMetrics:
    """What the meter says about itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"tallyport_meter_{name}", text, registry=registry)

        self.frames = counter("frames", "Frames stored.")
        self.lines = counter("lines", "Request lines stored.")
        self.missing = counter("missing_lines", "Requests that were served and never metered.")
        self.malformed = counter("malformed_lines", "Lines parked because they are unreadable.")
        self.conflicts = counter("conflicts", "Frames that somebody else had stored first.")
        self.failures = counter("store_failures", "Times the store did not take a frame.")
        self.lag_bytes = Gauge(
            "tallyport_meter_lag_bytes", "Bytes written and not yet stored.", registry=registry
        )
        self.lag_seconds = Gauge(
            "tallyport_meter_lag_seconds",
            "How long the oldest unstored line has been waiting.",
            registry=registry,
        )


class _Place(msgspec.Struct):
    """How far one log is stored."""

    version: int
    frame: RequestsServed | None
    waiting_since: float | None = None

    @property
    def offset(self) -> int:
        return 0 if self.frame is None else self.frame.end_offset


class Meter:
    """Follows every request log of one gateway."""

    def __init__(self, store: FrameStore, options: MeterOptions, metrics: MeterMetrics) -> None:
        self._store = store
        self._options = options
        self._metrics = metrics
        self._places: dict[Path, _Place] = {}

    async def run(self) -> None:
        """Never returns. The store may come and go; the logs grow meanwhile."""
        while True:
            try:
                more = await self.turn()
            except Exception as error:  # noqa: BLE001 - whatever keeps the store away, the logs are safe
                # The outcome of the last append is unknown, so where we are is asked again.
                self._places.clear()
                self._metrics.failures.inc()
                log.warning("store does not take frames", reason=repr(error))
                await asyncio.sleep(self._options.retry_seconds)
            else:
                await asyncio.sleep(0 if more else self._options.interval_seconds)

    async def turn(self) -> bool:
        """Store what is there now; return whether a log has more than its turn allowed."""
        logs = request_logs(self._options.requests_folder, self._options.gateway_id)
        more = False
        for request_log in logs:
            try:
                more |= await self._store_new_frames(request_log)
            except FileNotFoundError:
                self._places.pop(request_log.path, None)  # another meter was done with it
        self._publish_lag(logs)
        return more

    async def _store_new_frames(self, request_log: RequestLog) -> bool:
        # Asked before reading: what is finished now has nothing written to it after this.
        finished = request_log.is_finished()
        for _ in range(self._options.frames_per_turn_max):
            place = await self._place(request_log)
            frame, malformed = await asyncio.to_thread(
                self._next_frame, request_log, place, finished=finished
            )
            if frame is None:
                await self._end_turn(request_log, place, finished=finished)
                return False
            if malformed and not await self._is_current(request_log, place):
                continue
            self._park(request_log, malformed)
            await self._append(request_log, place, frame)
        return True

    async def _end_turn(self, request_log: RequestLog, place: _Place, *, finished: bool) -> None:
        if not finished and _size(request_log.path) <= place.offset:
            return
        # Either a log that can be deleted, or bytes that are no line yet, or that another meter
        # has stored and given back meanwhile: only the store knows which.
        if await self._is_current(request_log, place) and finished:
            self._forget_if_stored(request_log, place)

    async def _is_current(self, request_log: RequestLog, place: _Place) -> bool:
        """Tell whether the store still has no more than we think; if it has, ask again later."""
        last = await self._store.last_frame(_stream(request_log))
        if (0 if last is None else last[0]) == place.version:
            return True
        self._places.pop(request_log.path, None)
        return False

    async def _place(self, request_log: RequestLog) -> _Place:
        place = self._places.get(request_log.path)
        if place is None:
            last = await self._store.last_frame(_stream(request_log))
            place = _Place(0, None) if last is None else _Place(*last)
            self._places[request_log.path] = place
            self._give_back(request_log, place)
        return place

    def _next_frame(
        self, request_log: RequestLog, place: _Place, *, finished: bool
    ) -> tuple[RequestsServed | None, list[tuple[int, bytes]]]:
        with request_log.path.open("rb") as file:
            text = os.pread(file.fileno(), self._options.frame_bytes_max, place.offset)
        is_full = len(text) == self._options.frame_bytes_max
        return cut_frame(
            text,
            gateway_id=request_log.gateway_id,
            log=request_log.path.name,
            before=place.frame,
            # A line without an end is still being written, unless nobody is left to write it.
            keep_open_line=not (finished and not is_full),
        )

    async def _append(self, request_log: RequestLog, place: _Place, frame: RequestsServed) -> None:
        try:
            await self._store.append(_stream(request_log), place.version + 1, frame)
        except Conflict:
            # Somebody else stored that frame, perhaps cut elsewhere: theirs counts.
            self._metrics.conflicts.inc()
            self._places.pop(request_log.path)
            return
        self._places[request_log.path] = _Place(place.version + 1, frame)
        self._metrics.frames.inc()
        self._metrics.lines.inc(frame.count)
        self._metrics.malformed.inc(frame.malformed)
        self._metrics.missing.inc(frame.missing)
        if frame.missing or frame.malformed:
            log.error(
                "request lines lost",
                log=frame.log,
                missing=frame.missing,
                malformed=frame.malformed,
                version=place.version + 1,
            )
        self._give_back(request_log, self._places[request_log.path])

    def _give_back(self, request_log: RequestLog, place: _Place) -> None:
        """Return the disk space of what the store has."""
        punch_hole(request_log.path, place.offset)

    def _forget_if_stored(self, request_log: RequestLog, place: _Place) -> None:
        """Delete the log of a generation that ended, once the store has its last byte."""
        if _size(request_log.path) <= place.offset:
            request_log.path.unlink(missing_ok=True)
            self._places.pop(request_log.path, None)

    def _park(self, request_log: RequestLog, malformed: list[tuple[int, bytes]]) -> None:
        """Keep unreadable lines for a person to look at. Parked before they are passed over."""
        if not malformed:
            return
        with request_log.path.with_suffix(".malformed").open("ab") as parked:
            for offset, line in malformed:
                parked.write(b"%d\t%s\n" % (offset, line))
            parked.flush()
            os.fsync(parked.fileno())

    def _publish_lag(self, logs: list[RequestLog]) -> None:
        now = time.monotonic()
        behind, oldest = 0, now
        for request_log in logs:
            place = self._places.get(request_log.path)
            if place is None:
                continue
            size = _size(request_log.path)
            place.waiting_since = (place.waiting_since or now) if size > place.offset else None
            behind += max(0, size - place.offset)
            oldest = min(oldest, place.waiting_since or now)
        self._metrics.lag_bytes.set(behind)
        self._metrics.lag_seconds.set(now - oldest)


def _stream(request_log: RequestLog) -> str:
    return stream_of(request_log.gateway_id, request_log.generation)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
