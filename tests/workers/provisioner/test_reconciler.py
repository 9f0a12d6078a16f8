"""The whole provisioner on real containers and real processes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from domain.deployments.values import HealthCheck, ReplicaPhase
from infrastructure.containers import (
    ActualReplica,
    ContainerDriver,
    EngineUnavailable,
    ReplicaSpec,
)
from infrastructure.containers.process import ProcessDriver
from tests.images.programs import CRASHES, IGNORES_SIGTERM, NEVER_OPENS, WRITES_MUCH, catalogue
from tests.workers.provisioner.scene import Doormen, Ear, Wishes, until, wanted
from workers.provisioner import ProvisionerOptions
from workers.provisioner.log_buffer import LogLimits
from workers.provisioner.logs import LogCollector
from workers.provisioner.reconciler import Provisioner

OPTIONS = ProvisionerOptions(
    interval_seconds=0.2,
    drain_seconds=0.5,
    stop_grace_seconds=2,
    startup_seconds=2,
    unhealthy_seconds=1,
    orphan_seconds=0.6,
    engine_problem_seconds=0.3,
)


on_processes = pytest.mark.parametrize("driver", ["process"], indirect=True)
"""For what no engine has a part in."""


class Stage:
    """A provisioner at work, its wishes and its ear."""

    def __init__(self, driver: ContainerDriver, folder: Path) -> None:
        self.driver = driver
        self.wishes = Wishes()
        self.doormen = Doormen()
        self.ear = Ear()
        self.folder = folder
        self.limits = LogLimits(flush_seconds=0.05)
        self.options = OPTIONS
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        collector = LogCollector(
            self.driver, self.ear, self.folder / "positions.json", limits=self.limits
        )
        self.provisioner = Provisioner(
            self.driver, self.wishes, self.doormen, self.ear, collector, options=self.options
        )
        self._task = asyncio.create_task(self.provisioner.run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def replicas(self) -> dict[str, ActualReplica]:
        return {each.replica_id: each for each in await self.driver.list_replicas()}

    async def until_replicas(self, *ids: str) -> None:
        async with asyncio.timeout(60):
            while set(await self.replicas()) != set(ids):  # noqa: ASYNC110 - the engine is asked
                await asyncio.sleep(0.05)

    async def until_ready(self, count: int, deployment_id: str = "dpl-1") -> None:
        await until(lambda: len(self.ear.ready(deployment_id)) == count)


@pytest.fixture
async def stage(driver: ContainerDriver, tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(driver, tmp_path)
    made.start()
    yield made
    await made.stop()


async def test_a_life_from_two_replicas_to_three_to_one_to_none(stage: Stage) -> None:
    check = HealthCheck(path="/health", period_seconds=1)
    stage.wishes.want(wanted(replicas=2, health_check=check))
    await stage.until_ready(2)
    for each in stage.ear.ready():
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://{each.address}:{each.port}/hello")
        assert answer.json()["replica"] == each.replica_id
        assert each.started_at is not None
    assert stage.ear.last().problem is None

    stage.wishes.change(replicas=3)
    await stage.until_ready(3)

    stage.wishes.change(replicas=1)
    await stage.until_replicas("dpl-1-1-1")
    phases = [
        {each.replica_id: each.phase for each in report.replicas} for _, report in stage.ear.reports
    ]
    drained = phases.index(
        {
            "dpl-1-1-1": ReplicaPhase.READY,
            "dpl-1-1-2": ReplicaPhase.DRAINING,
            "dpl-1-1-3": ReplicaPhase.DRAINING,
        }
    )
    assert drained > 0
    assert not any(ReplicaPhase.FAILED in each.values() for each in phases)

    stage.wishes.change(replicas=0)
    await stage.until_replicas()
    await until(lambda: stage.ear.last().replicas == ())
    assert any("stopping" in message for message in stage.ear.messages())


@on_processes
async def test_nothing_is_reported_twice_while_nothing_changes(stage: Stage) -> None:
    stage.wishes.want(wanted(replicas=1))
    await stage.until_ready(1)
    said = len(stage.ear.reports)
    looks = stage.provisioner.status.looks
    await until(lambda: stage.provisioner.status.looks > looks + 5)
    assert len(stage.ear.reports) == said


async def test_a_replica_killed_by_hand_is_replaced(stage: Stage) -> None:
    stage.wishes.want(wanted(replicas=2))
    await stage.until_ready(2)
    victim = (await stage.replicas())["dpl-1-1-2"]
    await stage.driver.stop(victim, grace_seconds=0)
    await until(lambda: any(each.restarts == 1 for each in stage.ear.ready()))
    assert len(stage.ear.ready()) == 2
    await stage.driver.remove((await stage.replicas())["dpl-1-1-1"])
    await until(lambda: sum(each.restarts for each in stage.ear.ready()) == 2)
    assert set(await stage.replicas()) == {"dpl-1-1-1", "dpl-1-1-2"}


async def test_a_crash_loop_is_named_with_its_last_lines_and_delays_nobody(stage: Stage) -> None:
    stage.wishes.want(wanted("dpl-bad", image=CRASHES, replicas=1))
    await until(lambda: stage.ear.last("dpl-bad").problem)
    stage.wishes.want(wanted("dpl-good", replicas=1))
    await stage.until_ready(1, "dpl-good")
    await until(lambda: any(r.restarts >= 2 for r in stage.ear.last("dpl-bad").replicas))
    problem = str(stage.ear.last("dpl-bad").problem)
    assert "exit code" in problem
    assert "cannot find the database" in problem
    assert stage.ear.last("dpl-good").problem is None
    # Each crash was collected, once.
    messages = stage.ear.messages("dpl-bad")
    assert len(messages) == len(
        {(line.timestamp_ns, line.ordinal) for line in stage.ear.lines}
        - {
            (line.timestamp_ns, line.ordinal)
            for line in stage.ear.lines
            if line.deployment_id != "dpl-bad"
        }
    )
    assert messages.count("cannot find the database") >= 2


async def test_an_image_that_cannot_be_had_is_named_and_tried_again_later(stage: Stage) -> None:
    stage.wishes.want(wanted(image="registry.invalid/no/such:1", replicas=3))
    await until(lambda: stage.ear.last().problem)
    assert "registry.invalid/no/such:1" in str(stage.ear.last().problem)
    assert stage.ear.last().replicas == ()
    stage.wishes.change(image="tallyport/echo", revision=2)
    await stage.until_ready(3)
    assert stage.ear.last().problem is None


async def test_a_port_that_is_never_opened_is_named_and_the_replica_started_again(
    stage: Stage,
) -> None:
    stage.wishes.want(wanted(image=NEVER_OPENS, replicas=1))
    await until(lambda: any(each.restarts for each in stage.ear.last().replicas))
    started_again = (await stage.replicas())["dpl-1-1-1"]
    assert started_again.reason == "it never became ready within 2 s: port 8080 is not open" or (
        stage.driver.name == "process"
    )
    assert "is not open" in str(started_again.reason)


async def test_an_update_serves_throughout_and_a_failed_one_leaves_the_old_serving(
    stage: Stage,
) -> None:
    stage.wishes.want(wanted(replicas=2))
    await stage.until_ready(2)
    stage.wishes.change(revision=2, env={"NEW": "yes"})
    await stage.until_replicas("dpl-1-2-1", "dpl-1-2-2")
    await until(lambda: {each.revision for each in stage.ear.ready()} == {2})
    first = next(i for i, (_, said) in enumerate(stage.ear.reports) if _ready(said) == 2)
    assert min(_ready(said) for _, said in stage.ear.reports[first:]) >= 2
    stage.wishes.change(revision=3, image=CRASHES)
    await until(lambda: any(each.restarts for each in stage.ear.last().replicas))
    assert {each.revision for each in stage.ear.ready()} == {2}
    assert len(stage.ear.ready()) == 2
    # For as long as it is being tried again there is no problem, and then there is.
    await until(lambda: "exit code" in str(stage.ear.last().problem))
    stage.wishes.change(revision=4, image="tallyport/echo")
    await stage.until_replicas("dpl-1-4-1", "dpl-1-4-2")


async def test_replicas_of_an_unknown_deployment_go_after_a_while(stage: Stage) -> None:
    stage.wishes.want(wanted(replicas=1))
    stage.wishes.want(wanted("dpl-2", replicas=1))
    await stage.until_ready(1)
    await stage.until_ready(1, "dpl-2")
    stage.wishes.forget("dpl-2")
    await stage.until_replicas("dpl-1-1-1")


@on_processes
async def test_while_the_wishes_cannot_be_read_nothing_is_touched(stage: Stage) -> None:
    stage.wishes.want(wanted(replicas=2))
    await stage.until_ready(2)
    before = await stage.replicas()
    stage.wishes.broken = ConnectionError("the view is being rebuilt")
    failures = stage.provisioner.status.failures
    await until(lambda: stage.provisioner.status.failures > failures + 5)
    assert await stage.replicas() == before
    assert "rebuilt" in str(stage.provisioner.status.problem)
    stage.wishes.broken = None
    await until(lambda: stage.provisioner.status.problem is None)


@on_processes
async def test_while_the_engine_is_away_nothing_is_touched_and_replicas_count_as_before(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.wishes.want(wanted(replicas=2))
    await stage.until_ready(2)
    before = await stage.replicas()

    async def away(*_args: object, **_kwargs: object) -> list[ActualReplica]:
        raise EngineUnavailable("the engine does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(stage.driver, "list_replicas", away)
        await until(lambda: stage.ear.last().problem == "the engine does not answer")
        assert len(stage.ear.ready()) == 2
    await until(lambda: stage.ear.last().problem is None)
    assert await stage.replicas() == before


class HalfFailing(ProcessDriver):
    """Cannot start the second replica at first, and takes its time with the third."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.second_may_start = False
        self.third_may_start = asyncio.Event()
        self.starting = 0
        self.starting_max = 0

    async def start(self, spec: ReplicaSpec) -> None:
        if spec.replica_id == "dpl-1-1-2" and not self.second_may_start:
            self.second_may_start = True
            raise EngineUnavailable("the engine did not answer")
        if spec.replica_id == "dpl-1-1-3":
            self.starting += 1
            self.starting_max = max(self.starting, self.starting_max)
            await self.third_may_start.wait()
            self.starting -= 1
        await super().start(spec)


async def test_what_is_under_way_is_not_begun_again_because_something_beside_it_failed(
    tmp_path: Path,
) -> None:
    driver = HalfFailing(tmp_path / "replicas", catalogue())
    stage = Stage(driver, tmp_path)
    stage.start()
    try:
        stage.wishes.want(wanted(replicas=3))
        await until(lambda: driver.starting and driver.second_may_start)
        looks = stage.provisioner.status.looks
        await until(lambda: stage.provisioner.status.looks >= looks + 3)
        assert driver.starting_max == 1
        driver.third_may_start.set()
        await stage.until_ready(3)
        assert driver.starting_max == 1
    finally:
        await stage.stop()
        await driver.clear()
        await driver.close()


class Hesitating(ProcessDriver):
    """A driver to which the image of a second revision takes long."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waits = False
        self.may_start = asyncio.Event()

    async def start(self, spec: ReplicaSpec) -> None:
        if spec.revision == 2:
            self.waits = True
            await self.may_start.wait()
        await super().start(spec)


async def test_what_falls_ill_while_another_image_is_fetched_is_told_and_that_it_is_well_again(
    tmp_path: Path,
) -> None:
    driver = Hesitating(tmp_path / "replicas", catalogue())
    stage = Stage(driver, tmp_path)
    stage.start()
    ill = tmp_path / "ill"
    check = HealthCheck(
        kind="command",
        command=("sh", "-c", f"test ! -e {ill}"),
        period_seconds=1,
        failure_threshold=1,
    )
    try:
        stage.wishes.want(wanted(replicas=1, health_check=check))
        await stage.until_ready(1)
        stage.wishes.change(revision=2)
        await until(lambda: driver.waits)
        ill.touch()
        await until(lambda: stage.ear.ready() == [])
        assert stage.ear.last().replicas[0].phase is ReplicaPhase.UNHEALTHY
        ill.unlink()
        await stage.until_ready(1)
        driver.may_start.set()
        await stage.until_replicas("dpl-1-2-1")
    finally:
        await stage.stop()
        await driver.clear()
        await driver.close()


async def test_what_ends_does_not_wait_for_an_image(tmp_path: Path) -> None:
    driver = Hesitating(tmp_path / "replicas", catalogue())
    stage = Stage(driver, tmp_path)
    stage.options = msgspec.structs.replace(OPTIONS, concurrency=1)
    stage.start()
    try:
        stage.wishes.want(wanted("dpl-2", replicas=1))
        await stage.until_ready(1, "dpl-2")
        stage.wishes.want(wanted(replicas=1, revision=2))
        await until(lambda: driver.waits)
        stage.wishes.want(wanted("dpl-2", replicas=0))
        await stage.until_replicas()
        assert not driver.may_start.is_set()
    finally:
        await stage.stop()
        await driver.clear()
        await driver.close()


@on_processes
async def test_a_report_that_nobody_took_is_made_again_and_nothing_is_drained_before(
    stage: Stage,
) -> None:
    stage.wishes.want(wanted(replicas=2))
    await stage.until_ready(2)
    stage.ear.deaf = True
    stage.wishes.change(replicas=1)
    failures = stage.provisioner.status.failures
    await until(lambda: stage.provisioner.status.failures > failures + 5)
    assert len(await stage.replicas()) == 2
    stage.ear.deaf = False
    await stage.until_replicas("dpl-1-1-1")


async def test_a_new_provisioner_finds_everything_and_reports_once_without_a_dip(
    stage: Stage,
) -> None:
    stage.wishes.want(wanted(replicas=2))
    await stage.until_ready(2)
    before = await stage.replicas()
    await until(lambda: len(stage.ear.lines) == 2)
    await stage.stop()
    stage.ear.reports.clear()
    stage.start()
    await stage.until_ready(2)
    looks = stage.provisioner.status.looks
    await until(lambda: stage.provisioner.status.looks > looks + 3)
    assert len(stage.ear.reports) == 1
    assert await stage.replicas() == before
    assert len(stage.ear.lines) == 2


async def test_a_deaf_replica_is_stopped_with_force_and_its_neighbours_do_not_wait(
    stage: Stage,
) -> None:
    stage.wishes.want(wanted("dpl-deaf", image=IGNORES_SIGTERM, replicas=1))
    await until(lambda: "deaf" in stage.ear.messages("dpl-deaf"))
    stage.wishes.change("dpl-deaf", replicas=0)
    stage.wishes.want(wanted(replicas=1))
    await stage.until_ready(1)
    await stage.until_replicas("dpl-1-1-1")


async def test_a_flood_of_lines_is_counted_and_loses_no_line_of_a_neighbour(stage: Stage) -> None:
    await stage.stop()
    stage.limits = LogLimits(
        lines_per_second=500, burst_lines=1000, buffer_lines=200, flush_seconds=0.05
    )
    stage.options = msgspec.structs.replace(OPTIONS, startup_seconds=600)
    stage.start()
    stage.wishes.want(wanted(replicas=1, health_check=HealthCheck(path="/health")))
    await stage.until_ready(1)
    [neighbour] = stage.ear.ready()
    stage.wishes.want(wanted("dpl-flood", image=WRITES_MUCH, replicas=1))

    def counted() -> int:
        messages = stage.ear.messages("dpl-flood")
        dropped = [int(each.split()[0]) for each in messages if "were dropped" in each]
        return sum(dropped) + sum(each.startswith("line ") for each in messages)

    asked = 0
    base = f"http://{neighbour.address}:{neighbour.port}"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as client, asyncio.timeout(60):
        while counted() < 30_000 or asked < 100:
            await client.get(f"/asked/{asked}")
            asked += 1
            await asyncio.sleep(0.01)
    assert counted() == 30_000
    assert any("were dropped" in each for each in stage.ear.messages("dpl-flood"))

    def heard() -> list[str]:
        return [each for each in stage.ear.messages() if "/asked/" in each]

    await until(lambda: len(heard()) >= asked)
    told = [msgspec.json.decode(each)["message"] for each in heard()]
    assert told == [f"GET /asked/{number} 200" for number in range(asked)]


async def test_two_provisioners_at_once_make_no_replica_twice(stage: Stage, tmp_path: Path) -> None:
    twin = Stage(stage.driver, tmp_path / "twin")
    twin.wishes = stage.wishes
    twin.start()
    try:
        for count in (3, 1, 4, 2):
            if "dpl-1" in stage.wishes.deployments:
                stage.wishes.change(replicas=count)
            else:
                stage.wishes.want(wanted(replicas=count))
            await stage.until_replicas(*(f"dpl-1-1-{n}" for n in range(1, count + 1)))
    finally:
        await twin.stop()


def _ready(observation: object) -> int:
    replicas = getattr(observation, "replicas", ())
    return sum(each.phase is ReplicaPhase.READY for each in replicas)


class LooksLong(ProcessDriver):
    """Takes three seconds to be looked at the first time, in which other wishes come."""

    def __init__(self, place: Path, wishes: Wishes) -> None:
        super().__init__(place, catalogue())
        self._wishes = wishes
        self._looked = False
        self.started: set[str] = set()

    async def list_replicas(self) -> Sequence[ActualReplica]:
        found = await super().list_replicas()
        if not self._looked:
            self._looked = True
            self._wishes.change(revision=2)
            await asyncio.sleep(3)
        return found

    async def start(self, spec: ReplicaSpec) -> None:
        self.started.add(spec.replica_id)
        await super().start(spec)


async def test_what_was_seen_too_long_ago_is_looked_at_anew_before_anything_is_done(
    tmp_path: Path,
) -> None:
    wishes = Wishes()
    wishes.want(wanted(replicas=1, revision=1))
    driver = LooksLong(tmp_path / "replicas", wishes)
    stage = Stage(driver, tmp_path)
    stage.wishes = wishes
    stage.options = msgspec.structs.replace(OPTIONS, decision_seconds_max=2)
    stage.start()
    try:
        await stage.until_ready(1)
        assert driver.started == {"dpl-1-2-1"}
    finally:
        await stage.stop()
        await driver.clear()
        await driver.close()
