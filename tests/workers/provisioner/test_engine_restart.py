"""The engine dies and comes back, or has no room left: what ran runs again, once."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import msgspec
import pytest

from domain.deployments.values import HealthCheck, ReplicaPhase, ReplicaReport
from infrastructure.containers import Resources
from infrastructure.containers.docker import DockerOptions
from infrastructure.ending import end
from tests.docker.fixture import ENGINE, no_docker
from tests.docker.hardening import InspectedDocker
from tests.images.programs import SERVES, catalogue
from tests.workers.provisioner.scene import until, wanted
from tests.workers.provisioner.test_reconciler import Stage

APPLICATIONS, TEAMS = 50, 5
PATIENCE_SECONDS = 300.0
"""For a machine that is busy; how long it takes, `benchmarks/engine_restart` says."""
DISK_BYTES = 256 * 1024**2
LIVE_RESTORE = "--live-restore"
AMPLE = Resources(cpu_millis=500, memory_bytes=128 * 1024**2)


@pytest.fixture
def own_engine() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tp-mortal-"))
    try:
        start_engine(folder)
        yield folder
    finally:
        subprocess.run([ENGINE, "stop", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def small_engine() -> Iterator[Path]:
    """An engine of our own whose disk is small: a file system in memory."""
    if os.geteuid() != 0:
        no_docker("a file system in memory is mounted by root")
    folder = Path(tempfile.mkdtemp(prefix="tp-small-"))
    (folder / "data").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder / "data")]
    try:
        subprocess.run(mount, check=True)
        start_engine(folder)
        yield folder
    finally:
        subprocess.run([ENGINE, "stop", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def start_engine(folder: Path, *options: str) -> None:
    started = subprocess.run(
        [ENGINE, "start", folder, *options], capture_output=True, text=True, check=False
    )
    if started.returncode != 0:
        no_docker(started.stderr.strip())


def all_ready(stage: Stage, names: Sequence[str]) -> bool:
    return all(len(stage.ear.ready(name)) == 1 for name in names)


def is_well(stage: Stage, deployment_id: str) -> bool:
    return stage.ear.last(deployment_id).problem is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_after_the_engine_was_killed_fifty_applications_serve_again_and_none_twice(
    own_engine: Path, tmp_path: Path
) -> None:
    host = f"unix://{own_engine}/docker.sock"
    installation = f"t{uuid.uuid4().hex[:8]}"
    driver = InspectedDocker(DockerOptions(installation=installation, host=host), catalogue())
    stage = Stage(driver, tmp_path)
    stage.start()
    names = [f"dpl-{number}" for number in range(APPLICATIONS)]
    try:
        for number, name in enumerate(names):
            team = f"team-{number % TEAMS}"
            stage.wishes.want(wanted(name, image=SERVES, team_id=team, replicas=1))
        await until(lambda: all_ready(stage, names), seconds=PATIENCE_SECONDS)
        before = {each.engine_id for each in await driver.list_replicas()}
        assert len(before) == APPLICATIONS
        os.kill(int((own_engine / "dockerd.pid").read_text()), signal.SIGKILL)
        await until(lambda: "does not answer" in str(stage.ear.last("dpl-0").problem))
        # Nobody stops sending to what may well run on.
        assert all_ready(stage, names)
        start_engine(own_engine)

        def serves_again() -> bool:
            now = {each.engine_id for each in stage.provisioner.replicas}
            well = stage.provisioner.status.problem is None and not now & before
            return well and all_ready(stage, names) and all(is_well(stage, name) for name in names)

        await until(serves_again, seconds=PATIENCE_SECONDS)
        replicas = await driver.list_replicas()
        assert {each.deployment_id for each in replicas} == set(names)
        assert len(replicas) == APPLICATIONS
        assert "live-restore" in str(driver.advice)
        assert driver.deviations == []
    finally:
        await stage.stop()
        await driver.clear()
        await driver.close()


@pytest.fixture
def lasting_engine() -> Iterator[Path]:
    """An engine of our own whose containers outlive it."""
    folder = Path(tempfile.mkdtemp(prefix="tp-lasting-"))
    try:
        start_engine(folder, LIVE_RESTORE)
        yield folder
    finally:
        subprocess.run([ENGINE, "stop", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


class Caller:
    """Asks a replica for one path after the other, and counts."""

    def __init__(self, replica: ReplicaReport) -> None:
        self._base = f"http://{replica.address}:{replica.port}"
        self.statuses: list[int] = []
        self.calling = asyncio.Lock()

    async def call(self) -> None:
        async with httpx.AsyncClient(base_url=self._base, trust_env=False) as client:
            while True:
                async with self.calling:
                    answer = await client.get(f"/asked/{len(self.statuses)}")
                    self.statuses.append(answer.status_code)
                await asyncio.sleep(0.05)

    async def until_more(self, count: int) -> None:
        enough = len(self.statuses) + count
        await until(lambda: len(self.statuses) >= enough)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_with_live_restore_nothing_is_restarted_nobody_waits_and_no_line_is_lost(
    lasting_engine: Path, tmp_path: Path
) -> None:
    host = f"unix://{lasting_engine}/docker.sock"
    installation = f"t{uuid.uuid4().hex[:8]}"
    driver = InspectedDocker(DockerOptions(installation=installation, host=host), catalogue())
    stage = Stage(driver, tmp_path)
    stage.start()
    names = ["dpl-1", "dpl-2"]

    def heard() -> list[str]:
        messages = [msgspec.json.decode(each)["message"] for each in stage.ear.messages()]
        return [each for each in messages if "/asked/" in each]

    check = HealthCheck(path="/health", period_seconds=1, timeout_seconds=30, failure_threshold=30)
    try:
        for name in names:
            stage.wishes.want(wanted(name, replicas=1, health_check=check, resources=AMPLE))
        await until(lambda: all_ready(stage, names), seconds=PATIENCE_SECONDS)
        before = {each.engine_id: each.started_at for each in await driver.list_replicas()}
        actions, reports = stage.provisioner.status.actions, len(stage.ear.reports)
        caller = Caller(stage.ear.ready()[0])
        calling = asyncio.create_task(caller.call())
        await caller.until_more(5)
        # What an engine has read of a container and not written yet when it is killed, is lost.
        async with caller.calling:
            await until(lambda: len(heard()) == len(caller.statuses))
            os.kill(int((lasting_engine / "dockerd.pid").read_text()), signal.SIGKILL)
            await until(lambda: "does not answer" in str(stage.ear.last().problem))
        await caller.until_more(5)
        await asyncio.to_thread(start_engine, lasting_engine, LIVE_RESTORE)
        await until(lambda: all(is_well(stage, name) for name in names), seconds=PATIENCE_SECONDS)
        await caller.until_more(5)
        await end(calling)
        now = {each.engine_id: each.started_at for each in await driver.list_replicas()}
        assert now == before
        assert stage.provisioner.status.actions == actions
        assert driver.advice is None
        assert set(caller.statuses) == {200}
        # At no moment was there less to send to.
        said = [observation for _, observation in stage.ear.reports[reports:]]
        phases = [[replica.phase for replica in each.replicas] for each in said]
        assert phases == [[ReplicaPhase.READY]] * len(said)

        await until(lambda: len(heard()) >= len(caller.statuses))
        assert heard() == [f"GET /asked/{at} 200" for at in range(len(caller.statuses))]
    finally:
        await stage.stop()
        await driver.clear()
        await driver.close()


async def test_a_full_disk_is_told_in_words_and_costs_nothing_that_runs(
    small_engine: Path, tmp_path: Path
) -> None:
    host = f"unix://{small_engine}/docker.sock"
    installation = f"t{uuid.uuid4().hex[:8]}"
    driver = InspectedDocker(DockerOptions(installation=installation, host=host), catalogue())
    stage = Stage(driver, tmp_path)
    stage.start()
    try:
        stage.wishes.want(wanted(replicas=1))
        await stage.until_ready(1)
        [running] = await driver.list_replicas()
        _fill(small_engine / "data" / "filler")
        stage.wishes.want(wanted("dpl-2", replicas=1))
        await until(lambda: stage.ear.last("dpl-2").problem)
        assert "no space left on device" in str(stage.ear.last("dpl-2").problem)
        assert stage.ear.last().problem is None
        assert len(stage.ear.ready()) == 1
        (small_engine / "data" / "filler").unlink()
        await stage.until_ready(1, "dpl-2")
        await until(partial(is_well, stage, "dpl-2"))
        assert running in await driver.list_replicas()
        assert driver.deviations == []
    finally:
        await stage.stop()
        await driver.clear()
        await driver.close()


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
