"""Ask for a deployment, change it, let it go; and take in what the provisioner saw of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from commands.bus import Command, Handlers
from commands.work import Loaded, Work
from domain.deployments.deployment import DEPLOYMENT, Deployment
from domain.deployments.events import DeploymentDeleted, DeploymentRequested
from domain.deployments.quota import TEAM_QUOTA, TeamQuota
from domain.deployments.revisions import revision_after
from domain.deployments.values import (
    Blueprint,
    HealthCheck,
    Quota,
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
from domain.kernel.events import Event

SECRET_PURPOSE = "deployment secret"  # noqa: S105 - a label bound to the sealed text


class AppNameTaken(AlreadyTaken):
    """There is a deployment with this app name already."""


class RequestDeployment(Command, frozen=True, kw_only=True):
    """Run an image under a name."""

    team_id: str
    app_name: str
    image: str
    image_digest: str | None = None
    """What the image's tag means now, where a registry could tell."""
    port: int
    environment: dict[str, str] = {}
    replicas: int = 1
    resources: Resources = Resources()
    health_check: HealthCheck | None = None
    registry_username: str | None = None
    registry_password: str | None = None
    visibility: Visibility = "private"
    quota: Quota = Quota()
    """What a team may run where it has no limits of its own."""


class ScaleDeployment(Command, frozen=True, kw_only=True):
    """Run another number of replicas."""

    deployment_id: str
    replicas: int
    quota: Quota = Quota()
    """What a team may run where it has no limits of its own."""


class UpdateDeployment(Command, frozen=True, kw_only=True):
    """Run something else, or the same in another way. What is not given stays as it is."""

    deployment_id: str
    image: str | None = None
    image_digest: str | None = None
    port: int | None = None
    environment: dict[str, str] | None = None
    """All variables anew; None leaves them."""
    environment_changes: Mapping[str, str | None] = {}
    """Single variables, None taking one out; the others stay."""
    replicas: int | None = None
    resources: Resources | None = None
    health_check: HealthCheck | msgspec.UnsetType | None = msgspec.UNSET
    registry_username: str | None = None
    registry_password: str | None = None
    visibility: Visibility | None = None
    quota: Quota = Quota()
    """What a team may run where it has no limits of its own."""


class RestartDeployment(Command, frozen=True, kw_only=True):
    """Replace all replicas, a few at a time."""

    deployment_id: str


class RollBackDeployment(Command, frozen=True, kw_only=True):
    """Run an earlier revision again."""

    deployment_id: str
    revision: int | None = None
    """None: the last one that was live."""
    quota: Quota = Quota()


class TransferDeployment(Command, frozen=True, kw_only=True):
    """Give it to another team."""

    deployment_id: str
    team_id: str
    quota: Quota = Quota()


class StopDeployment(Command, frozen=True, kw_only=True):
    """Run nothing of it, but keep it."""

    deployment_id: str


class StartDeployment(Command, frozen=True, kw_only=True):
    """Run it again."""

    deployment_id: str
    quota: Quota = Quota()


class DeleteDeployment(Command, frozen=True, kw_only=True):
    """Make it disappear."""

    deployment_id: str


class ChangeTeamQuota(Command, frozen=True, kw_only=True):
    """Give a team limits of its own, by the names of `Quota`; what is not among them it loses."""

    team_id: str
    limits: dict[str, int]


class ReportReplicas(Command, frozen=True, kw_only=True):
    """Say what there is of a deployment now. Comes from the provisioner, at least once."""

    deployment_id: str
    replicas: tuple[ReplicaReport, ...]
    problem: str | None = None
    in_rotation: bool = True
    """Whether every gateway sends requests to those that are ready."""
    hopeless_revision: int | None = None
    """A revision that was tried often enough."""


class Changed(msgspec.Struct, frozen=True):
    """The deployment after the command."""

    deployment_id: str
    app_name: str
    image: str
    status: Status
    replicas: int
    revision: int
    at: datetime


async def request_deployment(command: RequestDeployment, work: Work) -> Changed:
    """Own the app name and record the wish; the provisioner does the rest."""
    work.must_hold("deployments:write", team_id=command.team_id)
    name, reference = app_name(command.app_name), image(command.image)
    variables = environment(command.environment)
    deployment_id = work.new_id("dpl")
    quota = await _quota_of(command.team_id, work)
    await work.claim("app_name", name, owner_id=deployment_id, taken=AppNameTaken())
    await work.vault.load([command.team_id])
    deployment = work.create(DEPLOYMENT, deployment_id)
    requested = DeploymentRequested(
        deployment_id=deployment_id,
        team_id=command.team_id,
        app_name=name,
        image=reference,
        image_digest=command.image_digest,
        port=command.port,
        environment=_sealed(work, variables, team_id=command.team_id),
        replicas=command.replicas,
        resources=command.resources,
        health_check=command.health_check,
        registry_auth=_registry_auth(
            work, command.registry_username, command.registry_password, team_id=command.team_id
        ),
        visibility=command.visibility,
        requested_by=work.actor.id,
    )
    work.record(deployment, [requested])
    state = deployment.present
    work.record(quota, quota.present.allot(deployment_id, state.capacity, command.quota))
    return _changed(state, work)


async def scale_deployment(command: ScaleDeployment, work: Work) -> Changed:
    """Ask for another number of replicas."""
    deployment = await _theirs(command.deployment_id, work)
    events = deployment.present.scale(replicas=command.replicas)
    return await _done(deployment, events, work, quota=command.quota)


async def update_deployment(command: UpdateDeployment, work: Work) -> Changed:
    """Ask for something else to run, or for the same in another way."""
    deployment = await _theirs(command.deployment_id, work)
    state = deployment.present
    await work.vault.load([state.team_id])
    changes: dict[str, object] = {}
    if command.image is not None:
        changes |= {"image": image(command.image), "image_digest": command.image_digest}
    if command.port is not None:
        changes["port"] = command.port
    present = _opened(work, state.blueprint.environment)
    wanted = present if command.environment is None else command.environment
    wanted = {k: v for k, v in {**wanted, **command.environment_changes}.items() if v is not None}
    if wanted != present:
        variables = environment(wanted)
        changes["environment"] = _sealed(work, variables, team_id=state.team_id)
    if command.resources is not None:
        changes["resources"] = command.resources
    if command.health_check is not msgspec.UNSET:
        changes["health_check"] = command.health_check
    auth = _registry_auth(
        work, command.registry_username, command.registry_password, team_id=state.team_id
    )
    if auth is not None:
        changes["registry_auth"] = auth
    events = state.update(
        msgspec.structs.replace(state.blueprint, **changes),
        replicas=state.replicas_wanted if command.replicas is None else command.replicas,
        visibility=command.visibility or state.visibility,
        by=work.actor.id,
    )
    return await _done(deployment, events, work, quota=command.quota)


async def restart_deployment(command: RestartDeployment, work: Work) -> Changed:
    """Ask for all replicas to be replaced."""
    deployment = await _theirs(command.deployment_id, work)
    return await _done(deployment, deployment.present.restart(by=work.actor.id), work)


async def roll_back_deployment(command: RollBackDeployment, work: Work) -> Changed:
    """Ask for an earlier revision to run again."""
    deployment = await _theirs(command.deployment_id, work)
    state = deployment.present
    number = state.rollback_target(command.revision)
    past = None if number in state.blueprints else await _past_of(deployment, number, work)
    events = state.roll_back(number, by=work.actor.id, past=past)
    return await _done(deployment, events, work, quota=command.quota)


async def transfer_deployment(command: TransferDeployment, work: Work) -> Changed:
    """Seal its secrets anew, for the other team only. Whoever asks must be able to deploy there."""
    deployment = await _theirs(command.deployment_id, work)
    work.must_hold("deployments:write", team_id=command.team_id)
    state = deployment.present
    await work.vault.load([state.team_id, command.team_id])
    blueprint = _resealed(work, state.blueprint, team_id=command.team_id)
    events = state.transfer(command.team_id, blueprint, by=work.actor.id)
    return await _done(deployment, events, work, quota=command.quota)


async def stop_deployment(command: StopDeployment, work: Work) -> Changed:
    """Ask for nothing to run."""
    deployment = await _theirs(command.deployment_id, work)
    return await _done(deployment, deployment.present.stop(), work)


async def start_deployment(command: StartDeployment, work: Work) -> Changed:
    """Ask for it to run again."""
    deployment = await _theirs(command.deployment_id, work)
    return await _done(deployment, deployment.present.start(), work, quota=command.quota)


async def delete_deployment(command: DeleteDeployment, work: Work) -> Changed:
    """Ask for it to disappear."""
    deployment = await _theirs(command.deployment_id, work)
    return await _done(deployment, deployment.present.delete(), work)


async def report_replicas(command: ReportReplicas, work: Work) -> None:
    """Record what changed. With the last replica of a deleted deployment its name is free."""
    deployment = await work.load(DEPLOYMENT, command.deployment_id)
    state = deployment.present
    events = state.observe(
        command.replicas,
        problem=command.problem,
        in_rotation=command.in_rotation,
        hopeless_revision=command.hopeless_revision,
        by=work.actor.id,
    )
    await _done(deployment, events, work)
    if any(isinstance(event, DeploymentDeleted) for event in events):
        await work.release("app_name", state.app_name, owner_id=state.deployment_id)
        quota = await _quota_of(state.team_id, work)
        work.record(quota, quota.present.free(state.deployment_id))


async def change_team_quota(command: ChangeTeamQuota, work: Work) -> None:
    """Set the limits that are the team's own."""
    work.must_be_platform_admin()
    quota = await _quota_of(command.team_id, work)
    work.record(quota, quota.present.change(command.limits))


HANDLERS: Handlers = {
    RequestDeployment: request_deployment,
    UpdateDeployment: update_deployment,
    ScaleDeployment: scale_deployment,
    RestartDeployment: restart_deployment,
    RollBackDeployment: roll_back_deployment,
    TransferDeployment: transfer_deployment,
    StopDeployment: stop_deployment,
    StartDeployment: start_deployment,
    DeleteDeployment: delete_deployment,
    ReportReplicas: report_replicas,
    ChangeTeamQuota: change_team_quota,
}


async def _theirs(deployment_id: str, work: Work) -> Loaded[Deployment]:
    deployment = await work.load(DEPLOYMENT, deployment_id)
    if deployment.present.status is Status.DELETED:
        raise NotFound
    work.must_hold("deployments:write", team_id=deployment.present.team_id)
    return deployment


async def _past_of(deployment: Loaded[Deployment], number: int, work: Work) -> Blueprint | None:
    """Return what a revision was made of that is too old for the state to know it."""
    revision = None
    async for event in work.history(deployment):
        revision = revision_after(event, revision)
        if revision is not None and revision.number == number:
            return revision.blueprint
    return None


async def _quota_of(team_id: str, work: Work) -> Loaded[TeamQuota]:
    quota = await work.load(TEAM_QUOTA, f"quota-{team_id}")
    if quota.state is None:
        quota.state = TeamQuota(team_id=team_id)
    return quota


async def _done(
    deployment: Loaded[Deployment],
    events: Sequence[Event],
    work: Work,
    *,
    quota: Quota | None = None,
) -> Changed:
    """Record what was decided, and with it what it takes of the team's quota.

    Only where that changed is the quota looked at; without a `quota` nothing is refused by it.
    """
    before = deployment.present
    work.record(deployment, events)
    after = deployment.present
    if after.team_id != before.team_id:
        left = await _quota_of(before.team_id, work)
        work.record(left, left.present.free(before.deployment_id))
    elif after.capacity == before.capacity:
        return _changed(after, work)
    theirs = await _quota_of(after.team_id, work)
    work.record(theirs, theirs.present.allot(after.deployment_id, after.capacity, quota))
    return _changed(after, work)


def _registry_auth(
    work: Work, username: str | None, password: str | None, *, team_id: str
) -> RegistryAuth | None:
    if username is None or password is None:
        return None
    return RegistryAuth(username=username, password=_seal(work, password, team_id=team_id))


def _sealed(work: Work, variables: dict[str, str], *, team_id: str) -> dict[str, str]:
    return {name: _seal(work, value, team_id=team_id) for name, value in variables.items()}


def _opened(work: Work, sealed: dict[str, str]) -> dict[str, str]:
    return {name: work.vault.open(text, purpose=SECRET_PURPOSE) for name, text in sealed.items()}


def _resealed(work: Work, blueprint: Blueprint, *, team_id: str) -> Blueprint:
    auth = blueprint.registry_auth
    if auth is not None:
        password = work.vault.open(auth.password, purpose=SECRET_PURPOSE)
        auth = _registry_auth(work, auth.username, password, team_id=team_id)
    variables = _opened(work, blueprint.environment)
    return msgspec.structs.replace(
        blueprint, environment=_sealed(work, variables, team_id=team_id), registry_auth=auth
    )


def _seal(work: Work, text: str, *, team_id: str) -> str:
    return work.vault.seal(text, subject=team_id, purpose=SECRET_PURPOSE)


def _changed(state: Deployment, work: Work) -> Changed:
    return Changed(
        state.deployment_id,
        state.app_name,
        state.blueprint.image,
        state.status,
        state.replicas_wanted,
        state.revision,
        work.now,
    )
