"""How long it takes from an engine that was killed and is back until 50 applications serve again.

The engine is a real one of our own, killed with -9, with live-restore off: it ends what it finds
running. The clock runs from its first answer until each of the 50 has a new replica that passed its
health check. The yardstick is the engine itself: it starts the same 50 stopped containers again, 16
at a time, in the same run. Then the same engine with live-restore on: nothing ends, and the clock
runs until the provisioner has found all 50 as they were. Needs root and dockerd.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from infrastructure.containers.docker import DockerDriver, DockerOptions
from tests.docker.fixture import ENGINE
from tests.images.programs import SERVES, catalogue
from tests.workers.provisioner.scene import Doormen, Ear, Wishes, until, wanted
from workers.provisioner.logs import LogCollector
from workers.provisioner.reconciler import Provisioner

APPLICATIONS, TEAMS, AT_ONCE = 50, 10, 16
POLL_SECONDS = 0.05
LIVE_RESTORE = "--live-restore"
NAMES = [f"dpl-{number}" for number in range(APPLICATIONS)]


def start_engine(folder: Path, *options: str) -> None:
    """Start it, or start it again."""
    subprocess.run([ENGINE, "start", folder, *options], check=True, stdout=subprocess.DEVNULL)


def kill_engine(folder: Path) -> None:
    """End it without a word."""
    os.kill(int((folder / "dockerd.pid").read_text()), signal.SIGKILL)


async def until_served(ear: Ear, driver: DockerDriver, before: set[str]) -> None:
    """Return when each application has a ready replica that is none of those before."""
    while True:
        if all(len(ear.ready(name)) == 1 for name in NAMES):
            now = {replica.engine_id for replica in await driver.list_replicas()}
            if len(now) == APPLICATIONS and not now & before:
                return
        await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def provisioned(folder: Path) -> AsyncIterator[tuple[Provisioner, Ear, DockerDriver]]:
    """Work with a provisioner until all applications serve, and after."""
    driver = DockerDriver(
        DockerOptions(installation="benchmark", host=f"unix://{folder}/docker.sock"), catalogue()
    )
    wishes, ear = Wishes(), Ear()
    for number, name in enumerate(NAMES):
        team = f"team-{number % TEAMS}"
        wishes.want(wanted(name, image=SERVES, team_id=team, replicas=1))
    collector = LogCollector(driver, ear, folder / "positions.json")
    provisioner = Provisioner(driver, wishes, Doormen(), ear, collector)
    working = asyncio.create_task(provisioner.run())
    try:
        await until_served(ear, driver, set())
        yield provisioner, ear, driver
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await driver.close()


async def measure(folder: Path) -> tuple[float, float]:
    """Return our seconds and the engine's own."""
    async with provisioned(folder) as (_, ear, driver):
        before = {replica.engine_id for replica in await driver.list_replicas()}
        kill_engine(folder)
        await asyncio.to_thread(start_engine, folder)
        began = time.perf_counter()
        await until_served(ear, driver, before)
        ours = time.perf_counter() - began
        containers = [replica.engine_id for replica in await driver.list_replicas()]
    kill_engine(folder)
    await asyncio.to_thread(start_engine, folder)
    began = time.perf_counter()
    await asyncio.to_thread(start_all, folder, containers)
    return ours, time.perf_counter() - began


async def measure_lasting(folder: Path) -> float:
    """Return the seconds until all is known to be as it was, on an engine with live-restore."""
    async with provisioned(folder) as (provisioner, _, driver):
        before = {replica.engine_id for replica in await driver.list_replicas()}
        kill_engine(folder)
        await until(lambda: provisioner.status.problem is not None)
        await asyncio.to_thread(start_engine, folder, LIVE_RESTORE)
        began = time.perf_counter()
        await until(lambda: provisioner.status.problem is None)
        took = time.perf_counter() - began
        if {replica.engine_id for replica in provisioner.replicas} != before:
            raise AssertionError("a container was not as it was")
    return took


def start_all(folder: Path, containers: list[str]) -> None:
    """Have the engine start them, some at a time."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda each: start_one(folder, each), containers))


def start_one(folder: Path, container: str) -> None:
    """Ask by its API: the docker command would cost as much again."""
    subprocess.run(
        [
            *("curl", "-fsS", "-X", "POST", "--unix-socket", folder / "docker.sock"),
            f"http://engine/containers/{container}/start",
        ],
        check=True,
    )


def main() -> None:
    """Measure, and print one line."""
    with engine() as folder:
        ours, engines = asyncio.run(measure(folder))
    with engine(LIVE_RESTORE) as folder:
        lasting = asyncio.run(measure_lasting(folder))
    load = os.getloadavg()[0]
    print(
        f"engine_restart: {APPLICATIONS} applications serve {ours:.1f} s after the engine is back;"
        f" the engine alone starts them in {engines:.1f} s: {ours / engines:.1f}; with live-restore"
        f" none stops, and all are found as they were after {lasting:.1f} s (load {load:.0f})"
    )


@contextmanager
def engine(*options: str) -> Iterator[Path]:
    """Have an engine of our own."""
    folder = Path(tempfile.mkdtemp(prefix="tp-restart-"))
    try:
        start_engine(folder, *options)
        yield folder
    finally:
        subprocess.run([ENGINE, "stop", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
