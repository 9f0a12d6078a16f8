"""Collects what replicas write: every line at least once, and once wherever that can be known.

Each replica has a follower and a bounded buffer of its own, and one writer takes from all of them
in turn, so a flood of one delays nobody else. A replica that writes faster than it may loses lines,
which are counted and said. A sink that is away loses nothing until the engine's own files turn
over, because the followers stop reading. How far each log was stored is kept in a small file.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from infrastructure.containers import (
    ActualReplica,
    ContainerDriver,
    ContainerError,
    LogPosition,
    ReplicaState,
)
from workers.provisioner import CollectedLine, LogSink
from workers.provisioner.log_buffer import LogBuffer, LogLimits

log = structlog.get_logger()

RETRY_SECONDS_MAX = 10.0
FORGET_SECONDS = 3600.0
POLL_SECONDS = 0.02


class LogCollector:
    """All followers of one provisioner, and the one writer."""

    def __init__(
        self,
        driver: ContainerDriver,
        sink: LogSink,
        state_file: Path,
        *,
        limits: LogLimits | None = None,
    ) -> None:
        self._driver = driver
        self._sink = sink
        self._state_file = state_file
        self._limits = limits or LogLimits()
        self._stored = _load(state_file)
        self._writing = asyncio.Lock()
        self._buffers: dict[str, LogBuffer] = {}
        self._follows: dict[str, _Follow] = {}
        self._last_seen: dict[str, float] = {}

    def follow(self, replicas: Sequence[ActualReplica]) -> None:
        """Follow these; the follower of a replica that is gone ends by itself."""
        present = {replica.engine_id for replica in replicas}
        for replica in replicas:
            if replica.state is not ReplicaState.CREATED:
                self._ensure_follow(replica)
        for engine_id in self._follows.keys() - present:
            if self._follows[engine_id].task.done():
                del self._follows[engine_id]
        self._forget_long_gone()

    async def finish(self, replica: ActualReplica, *, wait_seconds: float) -> None:
        """Wait until the last line of an ended replica is stored, or as long as is allowed."""
        ended = msgspec.structs.replace(replica, state=ReplicaState.EXITED)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                while not self._is_stored(ended):  # noqa: ASYNC110 - waits for two tasks at once
                    await asyncio.sleep(POLL_SECONDS)

    async def run(self) -> None:
        """Store lines until cancelled. The provisioner runs it; a second run would only wait."""
        try:
            async with self._writing:
                while True:
                    if not await self._store_batch():
                        await asyncio.sleep(self._limits.flush_seconds)
        finally:
            tasks = [follow.task for follow in self._follows.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _ensure_follow(self, replica: ActualReplica) -> "_Follow":
        self._last_seen[replica.replica_id] = time.monotonic()
        buffer = self._buffers.get(replica.replica_id)
        if buffer is None:
            start = self._stored.get(replica.replica_id, LogPosition())
            buffer = LogBuffer(replica, start, self._limits)
            self._buffers[replica.replica_id] = buffer
        known = self._follows.get(replica.engine_id)
        if known is None or (known.task.done() and not known.is_complete):
            known = _Follow(self._driver, replica, buffer)
            self._follows[replica.engine_id] = known
        return known

    def _is_stored(self, ended: ActualReplica) -> bool:
        complete = self._ensure_follow(ended).is_complete
        return complete and self._buffers[ended.replica_id].is_empty

    async def _store_batch(self) -> bool:
        """Store one batch, a fair share of each replica; False when there was nothing."""
        waiting = [buffer for buffer in self._buffers.values() if buffer.is_waiting]
        if not waiting:
            return False
        share = max(1, self._limits.batch_lines // len(waiting))
        taken = {buffer.replica_id: buffer.take(share) for buffer in waiting}
        await self._write([line for lines in taken.values() for line in lines])
        for buffer in waiting:
            buffer.stored()
        for replica_id, lines in taken.items():
            if lines:
                last = lines[-1]
                self._stored[replica_id] = LogPosition(last.timestamp_ns, last.ordinal + 1)
        _save(self._state_file, self._stored)
        return True

    async def _write(self, lines: Sequence[CollectedLine]) -> None:
        wait = self._limits.flush_seconds
        while True:
            try:
                await self._sink.write(lines)
            except Exception:
                log.exception("collected lines could not be stored", lines=len(lines))
                await asyncio.sleep(wait)
                wait = min(wait * 2, RETRY_SECONDS_MAX)
            else:
                return

    def _forget_long_gone(self) -> None:
        now = time.monotonic()
        for replica_id, seen in list(self._last_seen.items()):
            if now - seen > FORGET_SECONDS and self._buffers[replica_id].is_empty:
                del self._last_seen[replica_id]
                del self._buffers[replica_id]
                self._stored.pop(replica_id, None)


class _Follow:
    """Reads the log of one start of one replica into its buffer."""

    def __init__(self, driver: ContainerDriver, replica: ActualReplica, buffer: LogBuffer) -> None:
        self._had_ended = replica.state is ReplicaState.EXITED
        self._failed = False
        self.task = asyncio.create_task(self._read(driver, replica, buffer))

    @property
    def is_complete(self) -> bool:
        """Whether all was read: of a replica that had ended before we began to read."""
        return self.task.done() and self._had_ended and not self._failed

    async def _read(
        self, driver: ContainerDriver, replica: ActualReplica, buffer: LogBuffer
    ) -> None:
        try:
            async for lines in driver.logs(replica, buffer.read_up_to):
                for line in lines:
                    await buffer.add(line)
        except ContainerError as error:
            self._failed = True
            log.info("log not followed", replica_id=replica.replica_id, reason=str(error))
            await asyncio.sleep(1)


def _load(path: Path) -> dict[str, LogPosition]:
    """Return the positions; without them everything is collected again, which harms nobody."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, LogPosition])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _save(path: Path, positions: Mapping[str, LogPosition]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(msgspec.json.encode(positions))
    new.replace(path)
