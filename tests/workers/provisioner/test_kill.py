"""`kill -9` of the provisioner at every step it takes, then another one: nothing is left undone.

The wishes of the second run ask for a new revision, fewer replicas of one deployment and none of
another, so that the kills fall into starts, restarts, drains and removals.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from infrastructure.containers import ContainerDriver, ReplicaState
from infrastructure.containers.docker import DockerDriver
from infrastructure.containers.process import ProcessDriver
from tests.images.programs import catalogue
from tests.workers.provisioner.doomed import OPTIONS
from tests.workers.provisioner.scene import wanted
from workers.provisioner import DesiredDeployment

DOOMED = "tests.workers.provisioner.doomed"
RECONCILER_STEPS = (
    "before_start",
    "after_start",
    "before_report",
    "after_report",
    "before_stop",
    "after_stop",
    "after_remove",
)
DOCKER_STEPS = (
    "docker.image",
    "docker.network",
    "docker.created",
    "docker.started",
    "docker.stopped",
    "docker.removed",
)
PROCESS_STEPS = (
    "process.folder",
    "process.launched",
    "process.stopped",
    "process.removed",
)
FIRST = [wanted("dpl-1", replicas=2), wanted("dpl-2", replicas=1)]
SECOND = [wanted("dpl-1", replicas=2, revision=2), wanted("dpl-2", replicas=0)]
THIRD = [wanted("dpl-1", replicas=1, revision=3), wanted("dpl-2", replicas=1)]
FROZEN_STEPS = ("before_start", "process.launched", "before_report", "before_stop", "after_stop")
AT_ONCE = 4
EXPECTED = {"dpl-1-2-1", "dpl-1-2-2"}


def run(kind: str, place: str, file: Path, *, step: str = "") -> int:
    ended = subprocess.run(
        [sys.executable, "-m", DOOMED, kind, place, str(file), step, "KILL"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode in {0, -signal.SIGKILL}, ended.stderr
    return ended.returncode


def write(file: Path, wishes: list[DesiredDeployment]) -> None:
    file.write_bytes(msgspec.json.encode(wishes))


async def kill_at(step: str, kind: str, place: str, file: Path, driver: ContainerDriver) -> None:
    """Kill one provisioner at the step (where its work has it), and let another one finish."""
    codes = []
    for wishes in (FIRST, SECOND):
        write(file, wishes)
        codes.append(await asyncio.to_thread(run, kind, place, file, step=step))
    assert -signal.SIGKILL in codes, f"{step} was never passed"
    await asyncio.to_thread(run, kind, place, file)
    replicas = await driver.list_replicas()
    assert {each.replica_id for each in replicas} == EXPECTED, step
    assert all(each.state is ReplicaState.RUNNING for each in replicas), step
    await driver.clear()


async def test_docker_converges_after_a_kill_at_every_step(
    new_docker_driver: Callable[..., DockerDriver], docker_engine: str, tmp_path: Path
) -> None:
    async def one(step: str) -> None:
        file = tmp_path / f"k{uuid.uuid4().hex[:8]}.json"
        driver = new_docker_driver(installation=file.stem)
        try:
            async with slots:
                await kill_at(step, "docker", docker_engine, file, driver)
            label = f"tallyport.installation={file.stem}"
            assert driver._api().networks(filters={"label": label}) == []
        finally:
            await driver.clear()
            await driver.close()

    slots = asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(one(step) for step in DOCKER_STEPS))


async def test_processes_converge_after_a_kill_at_every_step(tmp_path: Path) -> None:
    async def one(step: str) -> None:
        place = tmp_path / step
        driver = ProcessDriver(place / "replicas", catalogue())
        place.mkdir()
        try:
            async with slots:
                await kill_at(
                    step, "process", str(place / "replicas"), place / "wishes.json", driver
                )
        finally:
            await driver.clear()
        assert list((place / "replicas").iterdir()) == []
        assert _processes_below(place) == []

    slots = asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(one(step) for step in RECONCILER_STEPS + PROCESS_STEPS))


async def test_a_provisioner_that_was_frozen_undoes_nothing_when_it_thaws(tmp_path: Path) -> None:
    async def one(step: str) -> None:
        place, file = tmp_path / step / "replicas", tmp_path / step / "wishes.json"
        place.mkdir(parents=True)
        driver = ProcessDriver(place, catalogue())
        write(file, FIRST)
        await asyncio.to_thread(run, "process", str(place), file)
        write(file, SECOND)
        frozen = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", DOOMED, "process", place, file, step, "STOP"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(60):
                await asyncio.to_thread(_until_stopped, frozen.pid)
            stopped_at = time.monotonic()
            write(file, THIRD)
            await asyncio.to_thread(run, "process", str(place), file)
            before = {each.replica_id: each.engine_id for each in await driver.list_replicas()}
            assert set(before) == {"dpl-1-3-1", "dpl-2-1-1"}, step
            out_of_date_at = stopped_at + OPTIONS.decision_seconds_max
            await asyncio.sleep(out_of_date_at - time.monotonic())
            frozen.send_signal(signal.SIGCONT)
            async with asyncio.timeout(60):
                assert await frozen.wait() == 0
            after = await driver.list_replicas()
            assert {each.replica_id: each.engine_id for each in after} == before, step
            assert {each.state for each in after} == {ReplicaState.RUNNING}, step
        finally:
            if frozen.returncode is None:
                frozen.kill()
            await driver.clear()

    await asyncio.gather(*(one(step) for step in FROZEN_STEPS))


def _until_stopped(pid: int) -> None:
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.02)


async def test_a_killed_keeper_takes_its_replica_with_it_and_the_folder_can_be_used_again(
    tmp_path: Path,
) -> None:
    place = tmp_path / "replicas"
    driver = ProcessDriver(place, catalogue())
    await driver.start(wanted().replica(1))
    [keeper, *_] = _processes_below(place)
    os.kill(keeper, signal.SIGKILL)
    while _processes_below(place):
        pass
    [ended] = await driver.list_replicas()
    assert (ended.state, ended.exit_code) == (ReplicaState.EXITED, 137)
    await driver.start(wanted().replica(1))
    [again] = await driver.list_replicas()
    assert again.state is ReplicaState.RUNNING
    await driver.clear()
    assert _processes_below(place) == []


@pytest.fixture(autouse=True)
def linux_only() -> None:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")


def _processes_below(place: Path) -> list[int]:
    """Return the keepers of that folder's replicas, and the replicas themselves."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            where = str((entry / "cwd").readlink())
        except OSError:
            continue
        if str(place) in command or where.startswith(str(place)):
            found.append(int(entry.name))
    return sorted(found)
