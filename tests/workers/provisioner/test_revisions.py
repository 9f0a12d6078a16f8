"""What the log hears of a revision from a real engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bootstrap.containers import PROVISIONER, BusReports
from commands.deployments import ReportReplicas, UpdateDeployment
from domain.deployments.values import ReplicaPhase, ReplicaReport
from projections.revisions import REVISIONS
from tests.docker.hardening import InspectedDocker
from tests.images.programs import CRASHES, SERVES
from tests.wiring import Installation
from tests.workers.provisioner.scene import Ear, wanted
from tests.workers.provisioner.test_reconciler import Stage
from workers.provisioner import DeploymentObservation


class Clerk(Ear):
    """Takes reports as the platform does: to the log."""

    def __init__(self, installation: Installation) -> None:
        super().__init__()
        self._log = BusReports(installation.bus)

    async def report(self, deployment_id: str, observation: DeploymentObservation) -> None:
        await super().report(deployment_id, observation)
        await self._log.report(deployment_id, observation)


@pytest.fixture
async def stage(
    installation: Installation, docker_driver: InspectedDocker, tmp_path: Path
) -> AsyncIterator[Stage]:
    made = Stage(docker_driver, tmp_path)
    made.ear = Clerk(installation)
    yield made
    await made.stop()


async def test_a_revision_that_fails_tells_which_image_it_was(
    installation: Installation, stage: Stage
) -> None:
    installation.start_views([REVISIONS])
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna, image=SERVES)).deployment_id
    ready = ReplicaReport(
        replica_id="the-first",
        revision=1,
        phase=ReplicaPhase.READY,
        address="127.0.0.1",
        port=9000,
    )
    await installation.dispatch(
        ReportReplicas(deployment_id=deployment_id, replicas=(ready,)), PROVISIONER
    )
    await installation.dispatch(
        UpdateDeployment(deployment_id=deployment_id, image=CRASHES), anna.context
    )
    stage.wishes.want(wanted(deployment_id, image=CRASHES, replicas=1, revision=2))
    stage.start()
    await installation.caught_up([REVISIONS])
    await installation.until("EXISTS (SELECT FROM views.revisions WHERE failure IS NOT NULL)")
    [first, second] = await installation.rows(REVISIONS)
    assert (first["status"], second["status"], second["live_at"]) == ("live", "failed", None)
    assert "cannot find the database" in second["failure"]
    seen = {each.image_digest for _, said in stage.ear.reports for each in said.replicas}
    assert seen == {second["image_digest"]}
    assert second["image_digest"].startswith("sha256:")
