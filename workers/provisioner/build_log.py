"""Takes the lines of builds to where the lines of replicas go, with the source `build`.

Builds write in threads of their own. A bounded number of lines waits; what comes on top of that is
dropped and counted, so that no build fills the memory.
"""

import asyncio
import threading
import time
from collections import deque

import structlog

from infrastructure.containers import LINE_BYTES_MAX, ReplicaSpec
from workers.provisioner import CollectedLine, LogSink
from workers.provisioner.log_levels import level_and_message

log = structlog.get_logger()

WAITING_LINES_MAX = 10_000
FLUSH_SECONDS = 0.25
RETRY_SECONDS = 2.0


class BuildLog:
    """The lines of all builds of one provisioner."""

    def __init__(self, sink: LogSink) -> None:
        self._sink = sink
        self._lines: deque[CollectedLine] = deque()
        self._lock = threading.Lock()
        self._ordinal = 0
        self._dropped = 0

    def tell(self, spec: ReplicaSpec, text: str) -> None:
        """Take a line, from any thread."""
        with self._lock:
            if len(self._lines) >= WAITING_LINES_MAX:
                self._dropped += 1
                return
            self._ordinal += 1
            level, message = level_and_message(text[:LINE_BYTES_MAX], "build")
            self._lines.append(
                CollectedLine(
                    deployment_id=spec.deployment_id,
                    team_id=spec.team_id,
                    replica_id=f"{spec.deployment_id}-{spec.revision}-build",
                    timestamp_ns=time.time_ns(),
                    ordinal=self._ordinal,
                    source="build",
                    level=level,
                    message=message,
                )
            )

    async def run(self) -> None:
        """Store lines until cancelled; what waits then is stored at last."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self._flush()
        finally:
            await self._flush()

    async def _flush(self) -> None:
        with self._lock:
            lines, dropped = list(self._lines), self._dropped
        if not lines:
            return
        try:
            await self._sink.write(lines)
        except Exception:
            log.exception("the lines of builds could not be stored", lines=len(lines))
            await asyncio.sleep(RETRY_SECONDS)
            return
        with self._lock:
            for _ in lines:
                self._lines.popleft()
            self._dropped -= dropped
        if dropped:
            log.warning("lines of builds were dropped", count=dropped)
