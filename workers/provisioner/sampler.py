"""Notes what each replica uses: processor, memory, network, once per round.

A round is a place on the clock that all replicas share, so what a deployment uses at one time is
the sum of its replicas at that time, also while one of them takes another's place. It is a task of
its own with an end to each round: an engine that answers slowly costs samples and delays nothing.
What cannot be stored waits, to a limit, for the next round.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from infrastructure.containers import (
    ActualReplica,
    ContainerDriver,
    ContainerError,
    ReplicaState,
    ReplicaStats,
)

log = structlog.get_logger()

ROUND_SHARE = 0.8
"""Of the time between two rounds, what a round may take."""


class SamplerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All limits of the sampler."""

    interval_seconds: int = 10
    concurrency: int = 16
    """How many replicas the engine is asked about at the same time."""
    waiting_max: int = 50_000
    """How many samples wait for a sink that is away; the oldest go first."""


class ReplicaSample(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica used until `at` (Unix seconds), since its sample before."""

    at: int
    team_id: str
    deployment_id: str
    replica_id: str
    cpu_millis: float
    memory_bytes: int
    network_in_bytes: int | None
    network_out_bytes: int | None


class SampleSink(Protocol):
    """Where samples go."""

    async def write(self, samples: Sequence[ReplicaSample]) -> None:
        """Store the samples; the same ones may come again."""
        ...


class Sampler:
    """The rounds, and the one writer."""

    def __init__(
        self,
        driver: ContainerDriver,
        replicas: Callable[[], Sequence[ActualReplica]],
        sink: SampleSink,
        *,
        options: SamplerOptions | None = None,
    ) -> None:
        self._driver = driver
        self._replicas = replicas
        self._sink = sink
        self._options = options or SamplerOptions()
        self._slots = asyncio.Semaphore(self._options.concurrency)
        self._taken: asyncio.Queue[list[ReplicaSample]] = asyncio.Queue()
        self._before: dict[str, ReplicaStats] = {}
        self._last_round_ns: int | None = None

    async def run(self) -> None:
        """Sample and store until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sample_for_ever())
            group.create_task(self._store_for_ever())

    async def sample(self, at: int) -> list[ReplicaSample]:
        """Return what each running replica has used since the round before."""
        running = [each for each in self._replicas() if each.state is ReplicaState.RUNNING]
        began_ns = time.time_ns()
        stats = await self._read_all(running)
        samples = [
            _sample(replica, at, before, stats[replica.engine_id])
            for replica in running
            if replica.engine_id in stats and (before := self._base(replica)) is not None
        ]
        # A replica that was not read this time is compared with the last time that it was.
        present = {replica.engine_id for replica in running}
        self._before = {key: kept for key, kept in self._before.items() if key in present} | stats
        self._last_round_ns = began_ns
        return [each for each in samples if each is not None]

    async def _sample_for_ever(self) -> None:
        every, last = self._options.interval_seconds, 0
        while True:
            await asyncio.sleep(every - time.time() % every)
            at = int(time.time() // every) * every
            if at == last:
                continue  # woken a moment early
            last = at
            samples = await self.sample(at)
            if samples:
                self._taken.put_nowait(samples)

    async def _store_for_ever(self) -> None:
        waiting: list[ReplicaSample] = []
        while True:
            waiting = [*waiting, *await self._taken.get()][-self._options.waiting_max :]
            try:
                await self._sink.write(waiting)
            except Exception:
                log.exception("samples could not be stored", samples=len(waiting))
            else:
                waiting = []

    async def _read_all(self, replicas: Sequence[ActualReplica]) -> dict[str, ReplicaStats]:
        """Return, by engine id, what could be read in time."""
        stats: dict[str, ReplicaStats] = {}
        problems: Counter[str] = Counter()

        async def read(replica: ActualReplica) -> None:
            try:
                async with self._slots:
                    found = await self._driver.stats(replica)
            except ContainerError as error:
                problems[str(error)] += 1
            else:
                if found is not None:
                    stats[replica.engine_id] = found

        try:
            async with asyncio.timeout(self._options.interval_seconds * ROUND_SHARE):
                await asyncio.gather(*(read(replica) for replica in replicas))
        except TimeoutError:
            problems["the engine did not answer in time"] += 1
        if problems:
            missing = len(replicas) - len(stats)
            log.warning("replicas not sampled", missing=missing, reason=min(problems))
        return stats

    def _base(self, replica: ActualReplica) -> ReplicaStats | None:
        """Return what the replica had used before; nothing, if it started since the last round.

        None when we do not know: of one that ran before we began, the first look is the base.
        """
        known = self._before.get(replica.engine_id)
        if known is not None or replica.started_at is None or self._last_round_ns is None:
            return known
        started_ns = int(replica.started_at.timestamp() * 1_000_000) * 1_000
        if started_ns < self._last_round_ns:
            return None
        return ReplicaStats(
            read_at_ns=started_ns,
            cpu_ns=0,
            memory_bytes=0,
            network_in_bytes=0,
            network_out_bytes=0,
        )


def _sample(
    replica: ActualReplica, at: int, before: ReplicaStats, now: ReplicaStats
) -> ReplicaSample | None:
    """Return what was used between two readings; None when the engine's clock went back."""
    passed_ns = now.read_at_ns - before.read_at_ns
    if passed_ns <= 0:
        return None
    return ReplicaSample(
        at=at,
        team_id=replica.team_id,
        deployment_id=replica.deployment_id,
        replica_id=replica.replica_id,
        cpu_millis=round(max(0, now.cpu_ns - before.cpu_ns) * 1000 / passed_ns, 1),
        memory_bytes=now.memory_bytes,
        network_in_bytes=_growth(before.network_in_bytes, now.network_in_bytes),
        network_out_bytes=_growth(before.network_out_bytes, now.network_out_bytes),
    )


def _growth(before: int | None, now: int | None) -> int | None:
    return None if before is None or now is None else max(0, now - before)
