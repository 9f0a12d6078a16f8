"""Ask for a deployment, change it, let it go; and take in what the provisioner saw of it."""

from datetime import datetime

import msgspec

from commands.bus import Command, Handlers
from commands.work import Loaded, Work
from domain.deployments.deployment import DEPLOYMENT, Deployment, must_be_within
from domain.deployments.events import DeploymentDeleted, DeploymentRequested
from domain.deployments.values import (
    HealthCheck,
    RegistryAuth,
    ReplicaReport,
    Resources,
    Status,
    Visibility,
    app_name,
    environment,
    image,
)
from domain.kernel.errors import AlreadyTaken, NotFound

SECRET_PURPOSE = "deployment secret"  # noqa: S105 - a label bound to the sealed text


class AppNameTaken(AlreadyTaken):
    """There is a deployment with this app name already."""


class RequestDeployment(Command, frozen=True, kw_only=True):
    """Run an image under a name."""

    team_id: str
    app_name: str
    image: str
    port: int
    environment: dict[str, str] = {}
    replicas: int = 1
    resources: Resources = Resources()
    health_check: HealthCheck | None = None
    registry_username: str | None = None
    registry_password: str | None = None
    visibility: Visibility = "private"
    replicas_max: int


class ScaleDeployment(Command, frozen=True, kw_only=True):
    """Run another number of replicas."""

    deployment_id: str
    replicas: int
    replicas_max: int


class StopDeployment(Command, frozen=True, kw_only=True):
    """Run nothing of it, but keep it."""

    deployment_id: str


class StartDeployment(Command, frozen=True, kw_only=True):
    """Run it again."""

    deployment_id: str


class DeleteDeployment(Command, frozen=True, kw_only=True):
    """Make it disappear."""

    deployment_id: str


class ReportReplicas(Command, frozen=True, kw_only=True):
    """Say what there is of a deployment now. Comes from the provisioner, at least once."""

    deployment_id: str
    replicas: tuple[ReplicaReport, ...]
    problem: str | None = None


class Changed(msgspec.Struct, frozen=True):
    """The deployment after the command."""

    deployment_id: str
    app_name: str
    image: str
    status: Status
    replicas: int
    at: datetime


async def request_deployment(command: RequestDeployment, work: Work) -> Changed:
    """Own the app name and record the wish; the provisioner does the rest."""
    work.must_hold("deployments:write", team_id=command.team_id)
    must_be_within(command.replicas_max, replicas=command.replicas)
    name, reference = app_name(command.app_name), image(command.image)
    variables = environment(command.environment)
    deployment_id = work.new_id("dpl")
    await work.claim("app_name", name, owner_id=deployment_id, taken=AppNameTaken())
    await work.vault.load([command.team_id])
    deployment = work.create(DEPLOYMENT, deployment_id)
    requested = DeploymentRequested(
        deployment_id=deployment_id,
        team_id=command.team_id,
        app_name=name,
        image=reference,
        port=command.port,
        environment={
            variable: _seal(work, value, team_id=command.team_id)
            for variable, value in variables.items()
        },
        replicas=command.replicas,
        resources=command.resources,
        health_check=command.health_check,
        registry_auth=_registry_auth(command, work),
        visibility=command.visibility,
        requested_by=work.actor.id,
    )
    work.record(deployment, [requested])
    return _changed(deployment.present, work)


async def scale_deployment(command: ScaleDeployment, work: Work) -> Changed:
    """Ask for another number of replicas."""
    deployment = await _theirs(command.deployment_id, work)
    work.record(
        deployment,
        deployment.present.scale(replicas=command.replicas, quota=command.replicas_max),
    )
    return _changed(deployment.present, work)


async def stop_deployment(command: StopDeployment, work: Work) -> Changed:
    """Ask for nothing to run."""
    deployment = await _theirs(command.deployment_id, work)
    work.record(deployment, deployment.present.stop())
    return _changed(deployment.present, work)


async def start_deployment(command: StartDeployment, work: Work) -> Changed:
    """Ask for it to run again."""
    deployment = await _theirs(command.deployment_id, work)
    work.record(deployment, deployment.present.start())
    return _changed(deployment.present, work)


async def delete_deployment(command: DeleteDeployment, work: Work) -> Changed:
    """Ask for it to disappear."""
    deployment = await _theirs(command.deployment_id, work)
    work.record(deployment, deployment.present.delete())
    return _changed(deployment.present, work)


async def report_replicas(command: ReportReplicas, work: Work) -> None:
    """Record what changed. With the last replica of a deleted deployment its name is free."""
    deployment = await work.load(DEPLOYMENT, command.deployment_id)
    state = deployment.present
    events = state.observe(command.replicas, problem=command.problem)
    work.record(deployment, events)
    if any(isinstance(event, DeploymentDeleted) for event in events):
        await work.release("app_name", state.app_name, owner_id=state.deployment_id)


HANDLERS: Handlers = {
    RequestDeployment: request_deployment,
    ScaleDeployment: scale_deployment,
    StopDeployment: stop_deployment,
    StartDeployment: start_deployment,
    DeleteDeployment: delete_deployment,
    ReportReplicas: report_replicas,
}


async def _theirs(deployment_id: str, work: Work) -> Loaded[Deployment]:
    deployment = await work.load(DEPLOYMENT, deployment_id)
    if deployment.present.status is Status.DELETED:
        raise NotFound
    work.must_hold("deployments:write", team_id=deployment.present.team_id)
    return deployment


def _registry_auth(command: RequestDeployment, work: Work) -> RegistryAuth | None:
    if command.registry_username is None or command.registry_password is None:
        return None
    return RegistryAuth(
        username=command.registry_username,
        password=_seal(work, command.registry_password, team_id=command.team_id),
    )


def _seal(work: Work, text: str, *, team_id: str) -> str:
    return work.vault.seal(text, subject=team_id, purpose=SECRET_PURPOSE)


def _changed(state: Deployment, work: Work) -> Changed:
    return Changed(
        state.deployment_id,
        state.app_name,
        state.image,
        state.status,
        state.replicas_wanted,
        work.now,
    )
