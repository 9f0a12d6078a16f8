"""Performs the plan, again and again, each deployment in a task of its own."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import msgspec
import structlog

from infrastructure.containers import (
    ActualReplica,
    ContainerDriver,
    ContainerError,
    EngineUnavailable,
    ReplicaSpec,
    ReplicaState,
)
from infrastructure.ending import end
from workers.provisioner import (
    DeploymentObservation,
    DesiredDeployment,
    DesiredState,
    ProvisionerOptions,
    Reports,
)
from workers.provisioner.health import HealthMonitor
from workers.provisioner.logs import LogCollector
from workers.provisioner.plan import Action, Drain, Memory, Remove, Restart, Start, plan
from workers.provisioner.record import Record
from workers.provisioner.traffic import Gateways, Traffic

log = structlog.get_logger()

LOOK_SECONDS_MIN = 0.05
"""Shortest time from one look to the next, however much changes."""
LOOK_SHARE_MAX = 0.25
"""Of the time while much changes: the engine has better to do than to say what it does."""
MEANWHILE_SECONDS = 1.0
"""How often it is looked how the others do, while a deployment's actions last."""
SILENT_PHASES = frozenset({"stopped", "deleted"})


class OutOfDate(Exception):
    """Too much time went by since it was decided: somebody else may have taken over."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How the provisioner itself does, for health checks and metrics."""

    last_success_at: datetime | None = None
    looks: int = 0
    failures: int = 0
    actions: int = 0
    deployments: int = 0
    replicas: int = 0
    problem: str | None = None


class Provisioner:
    """The loop. Two of them at once do no harm; only one is useful."""

    def __init__(
        self,
        driver: ContainerDriver,
        desired: DesiredState,
        gateways: Gateways,
        reports: Reports,
        collector: LogCollector,
        *,
        options: ProvisionerOptions | None = None,
        passed: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """Tell `passed` each step that was taken: a fault test ends the process there."""
        self.status = Status()
        self.replicas: Sequence[ActualReplica] = ()
        """All there were at the last look that the engine answered."""
        self.deployments: AbstractSet[str] | None = None
        """All that were wanted then."""
        self._driver = driver
        self._desired = desired
        self._gateways = gateways
        self._reports = reports
        self._collector = collector
        self._options = options or ProvisionerOptions()
        self._passed = passed
        self._wake = asyncio.Event()
        self._monitor = HealthMonitor(driver, self._wake.set)
        self._record = Record(self._options)
        self._settling: dict[str, asyncio.Task[None]] = {}
        self._passed_over: set[str] = set()
        """Those that a look found busy: what it saw of them is looked at again."""
        # What ends waits for no pull.
        self._starts = asyncio.Semaphore(self._options.concurrency)
        self._ends = asyncio.Semaphore(self._options.concurrency)
        self._silent_since: float | None = None

    @property
    def health_looks(self) -> Mapping[str, datetime]:
        """When it was last looked how a deployment does, by its id: well or not."""
        return self._monitor.looks

    async def run(self) -> None:
        """Work until cancelled. Replicas run on."""
        tasks = (self._look_for_ever(), self._watch_for_changes(), self._collector.run())
        try:
            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    group.create_task(task)
        finally:
            for settling in self._settling.values():
                settling.cancel()
            await asyncio.gather(*self._settling.values(), return_exceptions=True)
            await self._monitor.close()

    async def _look_for_ever(self) -> None:
        while True:
            self._wake.clear()
            began = time.monotonic()
            await self._look()
            took = time.monotonic() - began
            # Not `wait_for`: before Python 3.12 it can swallow a cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.interval_seconds):
                    await self._wake.wait()
            apart = max(LOOK_SECONDS_MIN, took / LOOK_SHARE_MAX)
            apart = min(apart, self._options.interval_seconds)
            await asyncio.sleep(began + apart - time.monotonic())

    async def _watch_for_changes(self) -> None:
        while True:
            try:
                await self._desired.wait_for_change(self._options.interval_seconds)
            except Exception:
                log.exception("waiting for a change failed")
                await asyncio.sleep(self._options.interval_seconds)
            self._wake.set()

    async def _look(self) -> None:
        """Compare once, and set each deployment's task going."""
        seen_at = time.monotonic()  # from here on it may be old, however long we are frozen
        # What is being changed while we look would be seen half done.
        busy = {name for name, task in self._settling.items() if not task.done()}
        self._passed_over |= busy
        try:
            wanted = {each.deployment_id: each for each in await self._desired.read()}
            traffic = await self._gateways.read()
        except Exception as error:
            log.exception("the wanted state cannot be read")
            self._failed(f"the wanted state cannot be read: {error or type(error).__name__}")
            return
        try:
            replicas = await self._driver.list_replicas()
        except EngineUnavailable as error:
            self._failed(str(error))
            self._report_silence(wanted.keys() - busy, str(error))
            return
        self._silent_since = None
        self.replicas = replicas
        self.deployments = wanted.keys()
        actual = _by_deployment(replicas)
        self._succeeded(deployments=len(wanted), replicas=len(replicas))
        self._monitor.watch(
            [
                (replica, wanted[replica.deployment_id].health_check)
                for replica in replicas
                if replica.deployment_id in wanted
            ]
        )
        self._collector.follow(replicas)
        for name in wanted.keys() - busy:
            self._record.known(name)
            settling = self._settle(wanted[name], actual.get(name, []), traffic, seen_at)
            self._settle_soon(name, settling)
        for name in actual.keys() - wanted.keys() - busy:
            if self._record.is_orphaned(name):
                self._settle_soon(name, self._remove_orphans(actual[name], seen_at))
        self._record.forget_all_but(wanted.keys() | actual.keys())

    def _settle_soon(self, name: str, work: Coroutine[object, object, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except EngineUnavailable as error:
                self._failed(str(error))
            except OutOfDate:
                log.warning("decided too long ago, so decided anew", deployment_id=name)
                self._wake.set()
            except Exception as error:
                log.exception("a deployment could not be settled", deployment_id=name)
                self._failed(f"{name}: {error or type(error).__name__}")
            if name in self._passed_over:
                self._passed_over.discard(name)
                self._wake.set()

        self._settling[name] = asyncio.create_task(guarded())
        self._settling = {each: task for each, task in self._settling.items() if not task.done()}

    async def _settle(
        self,
        desired: DesiredDeployment,
        actual: Sequence[ActualReplica],
        traffic: Traffic,
        seen_at: float,
    ) -> None:
        """Bring one deployment one step nearer to what is wanted, and report what is seen."""
        record = self._record
        if not actual and desired.replicas == 0 and desired.phase in SILENT_PHASES:
            return
        await self._monitor.first_answers([replica.engine_id for replica in actual])
        await self._ask_last_words(desired, actual)
        memory = record.memory(self._monitor.health, traffic)
        actions = plan(desired, actual, memory, now=datetime.now(UTC), options=self._options)
        record.note(desired, actual, actions, memory)
        if not actual:
            # There is nothing that gateways would have to leave before it may be ended.
            reporting = self._report(desired, actual, memory)
            await _all(reporting, self._perform(actions, seen_at))
        else:
            await self._report(desired, actual, memory)
            untouched = [each for each in actual if not _is_touched(each, actions)]
            meanwhile = asyncio.create_task(
                self._report_health(desired, actual, untouched, traffic)
            )
            try:
                await self._perform(actions, seen_at)
            finally:
                await end(meanwhile)
        if actions:
            self._wake.set()

    async def _report_health(
        self,
        desired: DesiredDeployment,
        actual: Sequence[ActualReplica],
        untouched: Sequence[ActualReplica],
        traffic: Traffic,
    ) -> None:
        """Report how those do of which nothing is wanted, while others take long to start.

        A pull may take minutes: nobody should send to what falls ill in them. All else is told as
        it was, because what is under way would be seen half done.
        """
        before = dict(self._monitor.health)
        while True:
            await asyncio.sleep(MEANWHILE_SECONDS)
            now = self._monitor.health
            known = {each.engine_id for each in untouched} & now.keys()
            health = before | {engine_id: now[engine_id] for engine_id in known}
            try:
                await self._report(desired, actual, self._record.memory(health, traffic))
            except Exception as error:  # noqa: BLE001 - the next look reports it
                log.warning("health not reported", reason=str(error) or type(error).__name__)

    async def _report(
        self, desired: DesiredDeployment, actual: Sequence[ActualReplica], memory: Memory
    ) -> None:
        observation = self._record.observation(desired, actual, memory)
        if not self._record.is_news(desired.deployment_id, observation):
            return
        self._passed("before_report")
        await self._reports.report(desired.deployment_id, observation)
        self._record.reported(desired.deployment_id, observation, actual)
        self._passed("after_report")
        if observation.problem is not None:
            log.warning(
                "deployment has a problem",
                deployment_id=desired.deployment_id,
                team_id=desired.team_id,
                problem=observation.problem,
            )

    def _report_silence(self, names: AbstractSet[str], problem: str) -> None:
        """Say of every deployment that the engine is away, if it is for long: all else as it was.

        The replicas probably run on, so nobody should stop sending to them.
        """
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since < self._options.engine_problem_seconds:
            return
        for name in names & self._record.last_reported.keys():
            last = self._record.last_reported[name]
            silent = msgspec.structs.replace(last, problem=problem)
            if self._record.is_news(name, silent):
                self._settle_soon(name, self._report_silent(name, silent))

    async def _report_silent(self, name: str, silent: DeploymentObservation) -> None:
        await self._reports.report(name, silent)
        self._record.reported(name, silent, ())

    async def _ask_last_words(
        self, desired: DesiredDeployment, actual: Sequence[ActualReplica]
    ) -> None:
        for replica in actual:
            if self._record.wants_last_words(replica):
                tail = await self._driver.tail(replica, lines=self._options.tail_lines)
                memory_bytes = desired.resources.memory_bytes
                self._record.note_end(replica, tail, memory_bytes=memory_bytes)

    async def _perform(self, actions: Sequence[Action], seen_at: float) -> None:
        starts = [action.spec for action in actions if isinstance(action, Start)]
        others = [action for action in actions if not isinstance(action, Start | Drain)]
        await _all(
            self._start_all(starts, seen_at),
            *(self._perform_other(action, seen_at) for action in others),
        )

    async def _perform_other(self, action: Action, seen_at: float) -> None:
        match action:
            case Remove(replica):
                await self._remove(replica, seen_at)
            case Restart(replica, spec):
                await self._end(replica, seen_at)
                await self._start(spec, seen_at)
            case Start() | Drain():
                return

    @asynccontextmanager
    async def _slot(self, slots: asyncio.Semaphore, seen_at: float) -> AsyncIterator[None]:
        """Wait for a place to do one thing in; raises `OutOfDate` when that took too long."""
        async with slots:
            if time.monotonic() - seen_at > self._options.decision_seconds_max:
                raise OutOfDate
            yield

    async def _start_all(self, specs: Sequence[ReplicaSpec], seen_at: float) -> None:
        """Start the first alone: what is wrong with the image is wrong for all of them."""
        for at, spec in enumerate(specs):
            if await self._start(spec, seen_at):
                await _all(*(self._start(other, seen_at) for other in specs[at + 1 :]))
                return

    async def _start(self, spec: ReplicaSpec, seen_at: float) -> bool:
        self._passed("before_start")
        try:
            async with self._slot(self._starts, seen_at):
                await self._driver.start(spec)
        except EngineUnavailable:
            raise
        except ContainerError as error:
            self._record.note_start_failure(spec, str(error))
            log.warning("replica not started", replica_id=spec.replica_id, reason=str(error))
            return False
        self._passed("after_start")
        self._record.note_start(spec)
        self._count_action()
        log.info("replica started", replica_id=spec.replica_id, team_id=spec.team_id)
        return True

    async def _remove(self, replica: ActualReplica, seen_at: float) -> None:
        await self._end(replica, seen_at)
        async with self._slot(self._ends, seen_at):
            await self._driver.remove(replica)
        self._passed("after_remove")
        self._count_action()
        log.info("replica removed", replica_id=replica.replica_id, team_id=replica.team_id)

    async def _end(self, replica: ActualReplica, seen_at: float) -> None:
        """Stop the replica and take in its last lines."""
        self._passed("before_stop")
        if replica.state is ReplicaState.RUNNING:
            async with self._slot(self._ends, seen_at):
                await self._driver.stop(replica, grace_seconds=self._options.stop_grace_seconds)
            self._passed("after_stop")
        if replica.state is not ReplicaState.CREATED:
            await self._collector.finish(replica, wait_seconds=self._options.log_wait_seconds)

    async def _remove_orphans(self, replicas: Sequence[ActualReplica], seen_at: float) -> None:
        log.warning("removing replicas of an unknown deployment", count=len(replicas))
        await _all(*(self._remove(replica, seen_at) for replica in replicas))

    def _succeeded(self, *, deployments: int, replicas: int) -> None:
        self.status = msgspec.structs.replace(
            self.status,
            last_success_at=datetime.now(UTC),
            looks=self.status.looks + 1,
            deployments=deployments,
            replicas=replicas,
            problem=None,
        )

    def _failed(self, problem: str) -> None:
        log.warning("the provisioner cannot work", problem=problem)
        self.status = msgspec.structs.replace(
            self.status, failures=self.status.failures + 1, problem=problem
        )

    def _count_action(self) -> None:
        self.status = msgspec.structs.replace(self.status, actions=self.status.actions + 1)


def _is_touched(replica: ActualReplica, actions: Sequence[Action]) -> bool:
    return any(
        action.replica.engine_id == replica.engine_id
        for action in actions
        if not isinstance(action, Start)
    )


async def _all(*work: Coroutine[object, object, object]) -> None:
    """Wait for all of it, also when some fails; then raise the first failure.

    What went on unwatched would meet the next decision's actions.
    """
    ends = await asyncio.gather(*work, return_exceptions=True)
    failures = [end for end in ends if isinstance(end, BaseException)]
    for failure in failures[1:]:
        log.warning("another action failed too", reason=str(failure) or type(failure).__name__)
    if failures:
        raise failures[0]


def _by_deployment(replicas: Sequence[ActualReplica]) -> dict[str, list[ActualReplica]]:
    grouped: defaultdict[str, list[ActualReplica]] = defaultdict(list)
    for replica in replicas:
        grouped[replica.deployment_id].append(replica)
    return grouped
