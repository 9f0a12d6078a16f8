"""The engine dies and comes back, or has no room left: what ran runs again, once."""

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from infrastructure.containers.docker import DockerDriver, DockerOptions
from tests.docker.fixture import ENGINE, no_docker
from tests.images.programs import catalogue
from tests.workers.provisioner.scene import until, wanted
from tests.workers.provisioner.test_reconciler import Stage

DISK_BYTES = 256 * 1024**2


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
    folder = Path(tempfile.mkdtemp(prefix="tp-small-"))
    (folder / "data").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", folder / "data"]
    try:
        subprocess.run(mount, check=True)
        start_engine(folder)
        yield folder
    finally:
        subprocess.run([ENGINE, "stop", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def start_engine(folder: Path) -> None:
    started = subprocess.run([ENGINE, "start", folder], capture_output=True, text=True, check=False)
    if started.returncode != 0:
        no_docker(started.stderr.strip())


def is_well(stage: Stage, deployment_id: str) -> bool:
    return stage.ear.last(deployment_id).problem is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_after_the_engine_was_killed_everything_runs_again_and_nothing_twice(
    own_engine: Path, tmp_path: Path
) -> None:
    host = f"unix://{own_engine}/docker.sock"
    installation = f"t{uuid.uuid4().hex[:8]}"
    driver = DockerDriver(DockerOptions(installation=installation, host=host), catalogue())
    stage = Stage(driver, tmp_path)
    stage.start()
    try:
        for number in range(3):
            stage.wishes.want(wanted(f"dpl-{number}", replicas=2))
        for number in range(3):
            await stage.until_ready(2, f"dpl-{number}")
        os.kill(int((own_engine / "dockerd.pid").read_text()), signal.SIGKILL)
        await until(lambda: "does not answer" in str(stage.ear.last("dpl-0").problem))
        # Nobody stops sending to what may well run on.
        assert len(stage.ear.ready("dpl-0")) == 2
        start_engine(own_engine)
        await until(lambda: stage.provisioner.status.problem is None)
        for number in range(3):
            name = f"dpl-{number}"
            await until(partial(is_well, stage, name))
            await stage.until_ready(2, name)
        replicas = await driver.list_replicas()
        assert len(replicas) == 6
        assert len({each.replica_id for each in replicas}) == 6
    finally:
        await stage.stop()
        await driver.clear()
        await driver.close()


async def test_a_full_disk_is_told_in_words_and_costs_nothing_that_runs(
    small_engine: Path, tmp_path: Path
) -> None:
    host = f"unix://{small_engine}/docker.sock"
    installation = f"t{uuid.uuid4().hex[:8]}"
    driver = DockerDriver(DockerOptions(installation=installation, host=host), catalogue())
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
    finally:
        await stage.stop()
        await driver.clear()
        await driver.close()


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
