"""The lines of one replica that wait to be stored: bounded, and fair to its neighbours."""

import asyncio
import time
from collections import deque

import msgspec

from infrastructure.containers import ActualReplica, LogLine, LogPosition
from workers.provisioner import CollectedLine
from workers.provisioner.log_levels import level_and_message


class LogLimits(msgspec.Struct, frozen=True, kw_only=True):
    """All limits of log collection."""

    lines_per_second: int = 1_000
    """What one replica may write for long; more is dropped and counted."""
    burst_lines: int = 10_000
    """What it may write at once."""
    buffer_lines: int = 5_000
    """How many lines of one replica wait in memory."""
    batch_lines: int = 5_000
    """How many lines are handed over at once, of all replicas."""
    flush_seconds: float = 0.25


class LogBuffer:
    """Takes lines as they are read, gives them away as they are stored."""

    def __init__(self, replica: ActualReplica, start: LogPosition, limits: LogLimits) -> None:
        self.replica_id = replica.replica_id
        self.read_up_to = start
        self._replica = replica
        self._limits = limits
        self._lines: deque[CollectedLine] = deque()
        self._taken = 0
        self._room = asyncio.Event()
        self._allowance = float(limits.burst_lines)
        self._allowed_at = time.monotonic()
        self._dropped = 0
        self._dropped_last: LogLine | None = None

    @property
    def is_empty(self) -> bool:
        """Whether all that was read is stored."""
        return not (self._lines or self._taken or self._dropped)

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to store."""
        return bool(self._lines or self._dropped)

    async def add(self, line: LogLine) -> None:
        """Take a line in; waits while the buffer is full."""
        self.read_up_to = line.position
        if not self._is_allowed():
            self._dropped += 1
            self._dropped_last = line
            return
        while len(self._lines) >= self._limits.buffer_lines:
            self._room.clear()
            await self._room.wait()
        self._say_dropped()
        level, message = level_and_message(line.text, line.source)
        self._lines.append(self._collected(line, level, message))

    def take(self, count: int) -> list[CollectedLine]:
        """Return the next lines; they count as not stored until `stored` is called."""
        if len(self._lines) < count:
            self._say_dropped()
        taken = [self._lines.popleft() for _ in range(min(count, len(self._lines)))]
        self._taken += len(taken)
        self._room.set()
        return taken

    def stored(self) -> None:
        """Note that all that was taken is stored."""
        self._taken = 0

    def _say_dropped(self) -> None:
        """Say how many lines are missing here, under the identity of the last of them."""
        if self._dropped_last is None:
            return
        rate = self._limits.lines_per_second
        message = f"{self._dropped} lines were dropped: more than {rate} lines a second"
        self._lines.append(self._collected(self._dropped_last, "warning", message))
        self._dropped, self._dropped_last = 0, None

    def _collected(self, line: LogLine, level: str, message: str) -> CollectedLine:
        return CollectedLine(
            deployment_id=self._replica.deployment_id,
            team_id=self._replica.team_id,
            replica_id=self._replica.replica_id,
            timestamp_ns=line.timestamp_ns,
            ordinal=line.ordinal,
            source=line.source,
            level=level,
            message=message,
        )

    def _is_allowed(self) -> bool:
        now = time.monotonic()
        earned = (now - self._allowed_at) * self._limits.lines_per_second
        self._allowance = min(self._allowance + earned, float(self._limits.burst_lines))
        self._allowed_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True
