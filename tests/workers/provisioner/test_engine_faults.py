"""An engine that is silent, wrong, full, or shared with somebody who took our names."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from infrastructure.containers import ReplicaState
from infrastructure.containers.docker import DockerDriver
from infrastructure.containers.docker_request import container_name
from tests.docker.doorway import Doorway, Mood
from tests.docker.hardening import InspectedDocker
from tests.images.programs import NEVER_OPENS
from tests.workers.provisioner.scene import until, wanted
from tests.workers.provisioner.test_reconciler import Stage


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("mood", ["hangs", "errors", "empty"])
async def test_an_engine_that_does_not_tell_the_truth_costs_no_replica(
    docker_engine: str,
    new_docker_driver: Callable[..., InspectedDocker],
    tmp_path: Path,
    mood: Mood,
) -> None:
    async with Doorway(docker_engine, tmp_path) as doorway:
        patience = {"answer_seconds_max": 3} if mood == "hangs" else {}
        driver = new_docker_driver(host=doorway.host, **patience)
        honest = new_docker_driver(installation=driver._options.installation)
        stage = Stage(driver, tmp_path)
        stage.start()
        try:
            stage.wishes.want(wanted(replicas=2))
            await stage.until_ready(2)
            before = await honest.list_replicas()
            await doorway.become(mood)
            stage.wishes.want(wanted("dpl-2", replicas=1))  # so that there is something to do
            await until(lambda: stage.ear.last().problem)
            assert "the Docker engine" in str(stage.ear.last().problem)
            # What serves is not told to be gone: nobody stops sending to it.
            assert len(stage.ear.ready()) == 2
            assert await honest.list_replicas() == before
            await doorway.become("honest")
            await stage.until_ready(1, "dpl-2")
            await until(lambda: stage.ear.last().problem is None)
            now = await honest.list_replicas()
            assert [each for each in now if each.deployment_id == "dpl-1"] == before
        finally:
            await stage.stop()
            await honest.clear()
            for each in (honest, driver):
                await each.close()


async def test_who_looks_does_not_wait_for_what_is_being_started(
    docker_engine: str, new_docker_driver: Callable[..., InspectedDocker], tmp_path: Path
) -> None:
    async with Doorway(docker_engine, tmp_path) as doorway:
        driver = new_docker_driver(host=doorway.host)
        honest = new_docker_driver(installation=driver._options.installation)
        try:
            await driver.start(wanted().replica(1))
            [running] = await driver.list_replicas()
            await doorway.become("starts")
            starting = asyncio.create_task(driver.start(wanted().replica(2)))
            async with asyncio.timeout(60):
                while len(replicas := await driver.list_replicas()) == 1:
                    pass
            assert running in replicas
            [half_made] = [each for each in replicas if each != running]
            assert half_made in await honest.list_replicas()
            assert half_made.state is ReplicaState.CREATED
            await doorway.become("honest")
            await asyncio.gather(starting, return_exceptions=True)
            await driver.start(wanted().replica(2))
            states = [each.state for each in await driver.list_replicas()]
            assert states == [ReplicaState.RUNNING] * 2
        finally:
            await honest.clear()
            for each in (honest, driver):
                await each.close()


async def test_a_container_of_somebody_else_with_our_name_is_told_and_never_touched(
    docker_driver: DockerDriver, tmp_path: Path
) -> None:
    await docker_driver.start(wanted("dpl-image", image=NEVER_OPENS).replica(1))
    [ours] = await docker_driver.list_replicas()
    api = docker_driver._api()
    image = api.inspect_container(ours.engine_id)["Image"]
    name = container_name(docker_driver._options.installation, "dpl-1-1-1")
    theirs = api.create_container(image, name=name)["Id"]
    stage = Stage(docker_driver, tmp_path)
    stage.wishes.want(wanted("dpl-image", image=NEVER_OPENS, replicas=1))
    stage.wishes.want(wanted(replicas=1))
    stage.start()
    try:
        await until(lambda: stage.ear.last().problem)
        assert stage.ear.last().problem == f"a container that is not ours has the name {name}"
        assert api.inspect_container(name)["Id"] == theirs
        api.remove_container(theirs)
        await stage.until_ready(1)
        await until(lambda: stage.ear.last().problem is None)
    finally:
        await stage.stop()
        await docker_driver.clear()
        assert api.containers(all=True, filters={"id": theirs}) == []
