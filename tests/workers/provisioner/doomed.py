"""A provisioner in a process of its own, that kills or stops itself at one step. Run by a test.

doomed.py DRIVER PLACE WISHES STEP SIGNAL: DRIVER is docker or process; PLACE the engine's address
or the replicas' folder; WISHES a JSON file, read again at each look; SIGNAL (KILL, STOP) is what it
sends itself when STEP is passed for the first time. The steps that were passed are written to
standard output.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from infrastructure.containers import ContainerDriver, ReplicaState
from infrastructure.containers.process import ProcessDriver
from tests.images.programs import catalogue
from tests.workers.provisioner.scene import Doormen, Ear, Wishes
from workers.provisioner import DesiredDeployment, ProvisionerOptions
from workers.provisioner.logs import LogCollector
from workers.provisioner.reconciler import Provisioner

OPTIONS = ProvisionerOptions(
    interval_seconds=0.1, drain_seconds=0.1, stop_grace_seconds=2, decision_seconds_max=5
)
LOOK_SECONDS = 0.1
CALM_LOOKS = 3


class FileWishes(Wishes):
    """What a file says."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    async def read(self) -> Sequence[DesiredDeployment]:
        said = msgspec.json.decode(self._file.read_bytes(), type=list[DesiredDeployment])
        self.deployments = {wish.deployment_id: wish for wish in said}
        return said


async def main(kind: str, place: str, file: Path, step: str, by: signal.Signals) -> None:
    passed: set[str] = set()

    def passing(name: str) -> None:
        is_first = name not in passed
        passed.add(name)
        print(name, flush=True)
        if name == step and is_first:
            os.kill(os.getpid(), by)

    driver: ContainerDriver
    if kind == "docker":
        from infrastructure.containers.docker import DockerOptions  # noqa: PLC0415 - takes long
        from tests.docker.hardening import InspectedDocker  # noqa: PLC0415

        installation = file.stem
        options = DockerOptions(installation=installation, host=place)
        driver = InspectedDocker(options, catalogue(), passed=passing)
    else:
        driver = ProcessDriver(Path(place), catalogue(), passed=passing)
    wishes, ear = FileWishes(file), Ear()
    collector = LogCollector(driver, ear, file.with_suffix(".positions"))
    provisioner = Provisioner(
        driver, wishes, Doormen(), ear, collector, options=OPTIONS, passed=passing
    )
    task = asyncio.create_task(provisioner.run())
    calm = 0
    while calm < CALM_LOOKS:
        await asyncio.sleep(LOOK_SECONDS)
        calm = calm + 1 if await _all_is_as_wanted(driver, wishes) else 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await driver.close()
    assert getattr(driver, "deviations", []) == []


async def _all_is_as_wanted(driver: ContainerDriver, wishes: Wishes) -> bool:
    await wishes.read()
    wanted = {
        wish.replica_id(number)
        for wish in wishes.deployments.values()
        for number in range(1, wish.replicas + 1)
    }
    running = {each.replica_id: each.state for each in await driver.list_replicas()}
    return running == dict.fromkeys(wanted, ReplicaState.RUNNING)


if __name__ == "__main__":
    by = signal.Signals[f"SIG{sys.argv[5]}"]
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4], by))
