"""Probes replicas: by a request, by a connection to the port, or by a command inside them.

A replica is *starting* until it succeeded as often in a row as its check wants, then *ready*; after
as many failures in a row as its check allows it is *unhealthy*, until it succeeds as often again. A
starting one is probed more often, so that it serves as soon as it can.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec

from domain.deployments.values import HealthCheck, ReplicaPhase
from infrastructure.containers import (
    ActualReplica,
    ContainerDriver,
    EngineUnavailable,
    ReplicaState,
)

STARTING_PERIOD_SECONDS = 0.2
FIRST_PERIOD_SECONDS = 0.02
SHARE_OF_START = 0.1
"""How much longer than it needed a starting replica may seem to need: a look every tenth of it."""
BRIEF_START_SECONDS = 0.3
"""So long a replica that has just started is waited for, to report its start and that it is ready
as one: each report is a command, and views, gateways and watchers follow each."""
STARTING_COMMAND_PERIOD_SECONDS = 1.0
"""A command costs the engine more than a connection."""
STATUS_LINE_BYTES_MAX = 4096
PORT_CHECK = HealthCheck(kind="tcp", period_seconds=2, timeout_seconds=2, failure_threshold=3)
_HEALTHY = range(200, 300)
_STATUS_WORDS = 2


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a running replica does."""

    phase: ReplicaPhase
    since: datetime
    reason: str | None = None
    """What the last failed probe met."""


class HealthMonitor:
    """One small task per running replica."""

    def __init__(self, driver: ContainerDriver, changed: Callable[[], None]) -> None:
        """Call `changed` whenever a replica's phase changes."""
        self._driver = driver
        self._changed = changed
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._health: dict[str, Health] = {}
        self._first: dict[str, asyncio.Event] = {}
        self._looks: dict[str, datetime] = {}

    @property
    def health(self) -> Mapping[str, Health]:
        """What is known, by the engine's id of a replica's start."""
        return self._health

    @property
    def looks(self) -> Mapping[str, datetime]:
        """When the last probe ended, by the deployment that has replicas here."""
        return dict(self._looks)

    def watch(self, replicas: Sequence[tuple[ActualReplica, HealthCheck | None]]) -> None:
        """Probe exactly these from now on."""
        for name in self._looks.keys() - {replica.deployment_id for replica, _ in replicas}:
            del self._looks[name]
        wanted = {
            replica.engine_id: (replica, check)
            for replica, check in replicas
            if replica.state is ReplicaState.RUNNING and replica.address is not None
        }
        for gone in self._tasks.keys() - wanted.keys():
            self._tasks.pop(gone).cancel()
            self._health.pop(gone, None)
            self._first.pop(gone).set()  # who waits for its answer would wait for ever
        for engine_id, (replica, check) in wanted.items():
            if engine_id not in self._tasks:
                self._first[engine_id] = asyncio.Event()
                probing = self._probe_for_ever(replica, check or PORT_CHECK)
                self._tasks[engine_id] = asyncio.create_task(probing)

    async def first_answers(self, engine_ids: Sequence[str]) -> None:
        """Wait until it is known how each does, briefly: then nothing is reported blindly.

        One that starts is waited for until it is ready or has had its brief time; one that is not
        due yet, or is gone, is not.
        """
        events = [self._first[engine_id] for engine_id in engine_ids if engine_id in self._first]
        await asyncio.gather(*(event.wait() for event in events))

    async def close(self) -> None:
        """Stop probing."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    async def _probe_for_ever(self, replica: ActualReplica, check: HealthCheck) -> None:
        engine_id = replica.engine_id
        await self._wait_initially(replica, check)
        successes = failures = 0
        began = time.monotonic()
        while True:
            try:
                reason = await self._probe(replica, check)
            except EngineUnavailable:
                await asyncio.sleep(check.period_seconds)
                continue  # that says nothing about the replica
            successes, failures = (successes + 1, 0) if reason is None else (0, failures + 1)
            self._remember(
                replica,
                reason,
                succeeded=successes >= check.success_threshold,
                failed=failures >= check.failure_threshold,
            )
            starting = self._health[engine_id].phase is ReplicaPhase.STARTING
            elapsed = time.monotonic() - began
            pause = _starting_period(check, elapsed) if starting else check.period_seconds
            if not starting or elapsed + pause > BRIEF_START_SECONDS:
                self._first[engine_id].set()
            await asyncio.sleep(pause)

    async def _probe(self, replica: ActualReplica, check: HealthCheck) -> str | None:
        if check.kind in {"http", "tcp"}:
            return await probe(str(replica.address), replica.port or 0, check)
        return await self._driver.check(
            replica,
            check.command if check.kind == "command" else replica.own_check,
            timeout_seconds=check.timeout_seconds,
        )

    async def _wait_initially(self, replica: ActualReplica, check: HealthCheck) -> None:
        started = replica.started_at or datetime.now(UTC)
        due = started + timedelta(seconds=check.initial_delay_seconds)
        wait = (due - datetime.now(UTC)).total_seconds()
        if wait > 0:
            self._first[replica.engine_id].set()
            await asyncio.sleep(min(wait, check.initial_delay_seconds))

    def _remember(
        self, replica: ActualReplica, reason: str | None, *, succeeded: bool, failed: bool
    ) -> None:
        engine_id = replica.engine_id
        known = self._health.get(engine_id)
        phase = known.phase if known is not None else ReplicaPhase.STARTING
        if succeeded:
            phase = ReplicaPhase.READY
        elif phase is ReplicaPhase.READY and failed:
            phase = ReplicaPhase.UNHEALTHY
        now = self._looks[replica.deployment_id] = datetime.now(UTC)
        since = known.since if known is not None and known.phase is phase else now
        self._health[engine_id] = Health(phase=phase, since=since, reason=reason)
        if known is None or known.phase is not phase:
            self._changed()


def _starting_period(check: HealthCheck, elapsed_seconds: float) -> float:
    if check.kind in {"http", "tcp"}:
        growing = max(FIRST_PERIOD_SECONDS, SHARE_OF_START * elapsed_seconds)
        return min(growing, STARTING_PERIOD_SECONDS, check.period_seconds)
    return min(STARTING_COMMAND_PERIOD_SECONDS, check.period_seconds)


async def probe(address: str, port: int, check: HealthCheck) -> str | None:
    """Return None when the replica answers as it should, else what was wrong, in words."""
    try:
        async with asyncio.timeout(check.timeout_seconds):
            return await _ask(address, port, check.path if check.kind == "http" else "")
    except TimeoutError:
        what = f"GET {check.path}" if check.kind == "http" else f"port {port}"
        return f"{what} did not answer within {check.timeout_seconds} s"
    except OSError:
        return f"port {port} is not open"
    except ValueError:
        return f"GET {check.path} was not answered in HTTP"


async def _ask(address: str, port: int, path: str) -> str | None:
    reader, writer = await asyncio.open_connection(address, port, limit=STATUS_LINE_BYTES_MAX)
    try:
        if not path:
            return None
        if not path.isascii() or any(character <= " " for character in path):
            return "the health path has characters that no path has"
        head = f"GET {path} HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n"
        writer.write(f"{head}User-Agent: tallyport-health\r\n\r\n".encode())
        words = (await reader.readuntil(b"\r\n")).split()
        if not words or not words[0].startswith(b"HTTP/1.") or len(words) < _STATUS_WORDS:
            raise ValueError(words)
        # A redirect is no answer: only the replica itself can say that it is well.
        return None if int(words[1]) in _HEALTHY else f"GET {path} answered {int(words[1])}"
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ValueError(path) from error
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
