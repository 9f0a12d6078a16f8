"""Give a deployment another name, have it checked, let it go; and take in what DNS said."""

from datetime import datetime

import msgspec

from commands.bus import Command, Handlers
from commands.work import Loaded, Work
from domain.custom_domains.custom_domain import (
    CUSTOM_DOMAIN,
    CustomDomain,
    TooManyDomains,
)
from domain.custom_domains.events import DomainAdded, DomainFailed, DomainVerified
from domain.custom_domains.values import (
    DomainStatus,
    RecordProblem,
    Schedule,
    Sighting,
    Target,
    domain_name,
)
from domain.deployments.deployment import DEPLOYMENT, Deployment, DeploymentIsGoing
from domain.deployments.values import Status
from domain.kernel.errors import AlreadyTaken, NotFound, RuleViolated
from domain.kernel.ids import is_id

ROUTED = "custom_domain"
"""The claim on a name: of the one domain that is active under it."""
OF_TEAM = "custom_domain_of_team"
"""The claim on a name within a team: of the one domain that the team has added."""
GOING = {Status.DELETING, Status.DELETED}


class DomainTaken(AlreadyTaken):
    """Your team has added this domain already; remove it there first."""


class UnknownDeployment(RuleViolated):
    """The team has no such deployment for the domain to lead to."""


class AddDomain(Command, frozen=True, kw_only=True):
    """Let a deployment answer under a name of its own."""

    deployment_id: str
    domain: str
    platform_hosts: tuple[str, ...]
    """Names that are the platform's own, with everything below them."""
    present: int
    """How many domains the deployment has."""
    domains_max: int


class RequestDomainCheck(Command, frozen=True, kw_only=True):
    """Have the records looked at now."""

    deployment_id: str
    domain_id: str


class MoveDomain(Command, frozen=True, kw_only=True):
    """Let the name lead to another deployment of the same team."""

    deployment_id: str
    domain_id: str
    to: str
    """The other deployment."""
    present: int
    """How many domains that one has."""
    domains_max: int


class RemoveDomain(Command, frozen=True, kw_only=True):
    """Let the name go."""

    deployment_id: str
    domain_id: str


class ReportDomainCheck(Command, frozen=True, kw_only=True):
    """Say what DNS has of a name. Comes from the domain checker, at least once."""

    domain_id: str
    due_at: datetime
    """Which check this was: the one that was due then."""
    seen: Sighting
    target: Target
    schedule: Schedule = Schedule()


class FollowDeployment(Command, frozen=True, kw_only=True):
    """Let a domain go where its deployment went: to another team, or away."""

    domain_id: str


class ChangedDomain(msgspec.Struct, frozen=True):
    """The domain after the command."""

    domain: CustomDomain
    app_name: str


async def add_domain(command: AddDomain, work: Work) -> ChangedDomain:
    """Record the wish. It takes nothing from anybody: only what DNS says decides about a name."""
    deployment = await _their_deployment(command.deployment_id, work)
    if deployment.status in GOING:
        raise DeploymentIsGoing
    name = domain_name(command.domain, platform_hosts=command.platform_hosts)
    _must_have_room(command.present, command.domains_max)
    domain_id = work.new_id("dom")
    await work.claim(
        OF_TEAM, _in_team(name, deployment.team_id), owner_id=domain_id, taken=DomainTaken()
    )
    domain = work.create(CUSTOM_DOMAIN, domain_id)
    added = DomainAdded(
        domain_id=domain_id,
        deployment_id=deployment.deployment_id,
        team_id=deployment.team_id,
        name=name,
        token=work.new_nonce(),
        added_by=work.actor.id,
        added_at=work.now,
    )
    work.record(domain, [added])
    return ChangedDomain(domain.present, deployment.app_name)


async def request_domain_check(command: RequestDomainCheck, work: Work) -> ChangedDomain:
    """Ask for a check now."""
    domain, deployment = await _theirs(command.deployment_id, command.domain_id, work)
    work.record(domain, domain.present.ask_for_check(now=work.now, by=work.actor.id))
    return ChangedDomain(domain.present, deployment.app_name)


async def move_domain(command: MoveDomain, work: Work) -> ChangedDomain:
    """Let it lead elsewhere at once; its records are looked at anew."""
    domain, deployment = await _theirs(command.deployment_id, command.domain_id, work)
    if not is_id(command.to, "dpl"):
        raise UnknownDeployment
    other = (await work.load(DEPLOYMENT, command.to)).state
    if other is None or other.team_id != deployment.team_id or other.status in GOING:
        raise UnknownDeployment
    events = domain.present.move(other.deployment_id, by=work.actor.id, now=work.now)
    if events:
        _must_have_room(command.present, command.domains_max)
    work.record(domain, events)
    return ChangedDomain(domain.present, other.app_name)


async def remove_domain(command: RemoveDomain, work: Work) -> ChangedDomain:
    """Let the name go."""
    domain, deployment = await _theirs(command.deployment_id, command.domain_id, work)
    await _remove(domain, work)
    return ChangedDomain(domain.present, deployment.app_name)


async def report_domain_check(command: ReportDomainCheck, work: Work) -> None:
    """Decide by what DNS says, for whoever has the name now, too.

    Two who report at the same time meet in the claim on the name: one of them decides anew.
    """
    domain = await work.load(CUSTOM_DOMAIN, command.domain_id)
    state = domain.present
    deployment = (await work.load(DEPLOYMENT, state.deployment_id)).present
    if state.removed or state.next_check_at != command.due_at or deployment.status in GOING:
        return
    wanted = state.wanted(deployment.app_name, command.target)
    problems = wanted.problems(command.seen)
    if not problems and not await _may_have_the_name(state, command, work):
        problems = (wanted.taken(),)
    events = state.checked(problems, due_at=command.due_at, now=work.now, schedule=command.schedule)
    work.record(domain, events)
    for event in events:
        if isinstance(event, DomainVerified):
            await work.claim(ROUTED, state.name, owner_id=state.domain_id, taken=DomainTaken())
        elif isinstance(event, DomainFailed):
            await work.release(ROUTED, state.name, owner_id=state.domain_id)


async def follow_deployment(command: FollowDeployment, work: Work) -> None:
    """Do what the deployment did. Asked twice, or for no reason, it changes nothing."""
    domain = await work.load(CUSTOM_DOMAIN, command.domain_id)
    state = domain.present
    if state.removed:
        return
    deployment = (await work.load(DEPLOYMENT, state.deployment_id)).present
    if deployment.status in GOING:
        await _remove(domain, work)
    elif deployment.team_id != state.team_id:
        await work.release(OF_TEAM, _in_team(state.name, state.team_id), owner_id=state.domain_id)
        theirs = _in_team(state.name, deployment.team_id)
        if await work.owner_of(OF_TEAM, theirs) is None:  # else the team has it twice for a while
            await work.claim(OF_TEAM, theirs, owner_id=state.domain_id, taken=DomainTaken())
        work.record(domain, state.transfer(deployment.team_id))


HANDLERS: Handlers = {
    AddDomain: add_domain,
    RequestDomainCheck: request_domain_check,
    MoveDomain: move_domain,
    RemoveDomain: remove_domain,
    ReportDomainCheck: report_domain_check,
    FollowDeployment: follow_deployment,
}


async def _may_have_the_name(state: CustomDomain, command: ReportDomainCheck, work: Work) -> bool:
    """Tell whether nobody else's records are there; whoever had the name without them loses it."""
    owner_id = await work.owner_of(ROUTED, state.name)
    if owner_id in {None, state.domain_id}:
        return True
    holder = await work.load(CUSTOM_DOMAIN, str(owner_id))
    theirs = (await work.load(DEPLOYMENT, holder.present.deployment_id)).present
    problems: tuple[RecordProblem, ...] = holder.present.wanted(
        theirs.app_name, command.target
    ).problems(command.seen)
    if not problems and theirs.status not in GOING:
        return False
    if holder.present.status is DomainStatus.ACTIVE:
        work.record(holder, holder.present.give_way(problems, now=work.now))
    await work.release(ROUTED, state.name, owner_id=holder.present.domain_id)
    return True


def _must_have_room(present: int, domains_max: int) -> None:
    if present >= domains_max:
        raise TooManyDomains(f"At most {domains_max} domains.", domains_max=domains_max)


async def _their_deployment(deployment_id: str, work: Work) -> Deployment:
    deployment = (await work.load(DEPLOYMENT, deployment_id)).present
    if deployment.status is Status.DELETED:
        raise NotFound
    work.must_hold("deployments:write", team_id=deployment.team_id)
    return deployment


async def _theirs(
    deployment_id: str, domain_id: str, work: Work
) -> tuple[Loaded[CustomDomain], Deployment]:
    """Return the domain. Whose it is, its deployment says: after a transfer that is known first."""
    deployment = await _their_deployment(deployment_id, work)
    domain = await work.load(CUSTOM_DOMAIN, domain_id)
    if domain.present.removed or domain.present.deployment_id != deployment_id:
        raise NotFound
    return domain, deployment


async def _remove(domain: Loaded[CustomDomain], work: Work) -> None:
    state = domain.present
    work.record(domain, state.remove(by=work.actor.id))
    await work.release(ROUTED, state.name, owner_id=state.domain_id)
    await work.release(OF_TEAM, _in_team(state.name, state.team_id), owner_id=state.domain_id)


def _in_team(name: str, team_id: str) -> str:
    return f"{team_id} {name}"
