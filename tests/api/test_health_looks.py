"""When it was last looked how a deployment's replicas are: by the provisioner, shown by the API."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from structlog.testing import capture_logs

from bootstrap.containers import BusReports, tell_looks
from domain.deployments.values import HealthCheck
from infrastructure.containers.catalogue import PredefinedImages
from infrastructure.containers.process import ProcessDriver
from infrastructure.ending import end
from projections.health_looks import health_looked_at, note_health_looks
from tests.api.conftest import Api
from tests.workers.provisioner.scene import Doormen, Ear, Wishes, until, wanted
from workers.provisioner.logs import LogCollector
from workers.provisioner.reconciler import Provisioner

EVERY_SECONDS = 0.05
moment = datetime.fromisoformat


@asynccontextmanager
async def provisioner(api: Api, wishes: Wishes, folder: Path) -> AsyncIterator[Provisioner]:
    """Provide what reconciles processes with the wishes, and reports to the log."""
    driver = ProcessDriver(folder / "replicas", PredefinedImages())
    made = Provisioner(
        driver,
        wishes,
        Doormen(),
        BusReports(api.installation.another_bus()),
        LogCollector(driver, Ear(), folder / "positions.json"),
    )
    try:
        async with running(made.run()):
            yield made
    finally:
        await driver.clear()
        await driver.close()


@asynccontextmanager
async def running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await end(task)


def telling(api: Api, worker: Provisioner) -> Coroutine[None, None, None]:
    return tell_looks(api.installation.pool, worker, every_seconds=EVERY_SECONDS)


async def test_the_last_health_check_is_the_last_look_and_not_the_last_change(
    api: Api, tmp_path: Path
) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    path = f"/v1/deployments/{deployment_id}/status"
    assert (await anna.get(path)).json()["lastHealthCheck"] is None
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    async with api.installation.pool.connection() as connection:
        await note_health_looks(connection, {"dpl-gone": long_ago}, deployment_ids={"dpl-gone"})

    async def looked_at_since_it_was_ready() -> bool:
        shown = (await anna.get(path)).json()
        return any(
            each["readyAt"] is not None
            and moment(shown["lastHealthCheck"]) > moment(each["readyAt"])
            for each in shown["instances"]
        )

    wishes = Wishes()
    check = HealthCheck(kind="tcp", period_seconds=1)
    wishes.want(wanted(deployment_id, replicas=1, health_check=check))
    async with (
        asyncio.timeout(60),
        provisioner(api, wishes, tmp_path) as worker,
        running(telling(api, worker)),
    ):
        while not await looked_at_since_it_was_ready():  # noqa: ASYNC110 - the API is asked
            await asyncio.sleep(EVERY_SECONDS)
    assert await health_looked_at(api.reader, "dpl-gone") is None


async def test_looks_that_cannot_be_told_are_told_later(api: Api, tmp_path: Path) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    wishes = Wishes()
    wishes.want(wanted(deployment_id, replicas=1))
    await api.installation.as_admin("ALTER TABLE health_looks RENAME TO elsewhere")
    async with asyncio.timeout(60), provisioner(api, wishes, tmp_path) as worker:
        with capture_logs() as lines:
            async with running(telling(api, worker)):
                await until(lambda: any(each["event"] == "health looks not told" for each in lines))
                await api.installation.as_admin("ALTER TABLE elsewhere RENAME TO health_looks")
                await api.installation.until(
                    "EXISTS (SELECT FROM health_looks WHERE deployment_id = %s)", deployment_id
                )


async def test_an_older_look_does_not_come_after_a_newer_one(api: Api) -> None:
    earlier, later = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))
    async with api.installation.pool.connection() as connection:
        for at in (later, earlier):
            await note_health_looks(connection, {"dpl-1": at}, deployment_ids={"dpl-1", "dpl-2"})
        await note_health_looks(connection, {}, deployment_ids={"dpl-1"})
    assert await health_looked_at(api.reader, "dpl-1") == later
