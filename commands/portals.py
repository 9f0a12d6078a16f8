"""Show a portal to others, publish a document, have it fetched, withdraw it."""

import asyncio

import msgspec

from commands.bus import Command, Handlers
from commands.work import Loaded, Work
from domain.deployments.deployment import DEPLOYMENT, Deployment, DeploymentIsGoing
from domain.deployments.values import Status
from domain.kernel.errors import NotFound
from domain.portals.document import Facts, InvalidDocument, checked
from domain.portals.portal import PORTAL, Portal
from domain.portals.values import Visibility, portal_id

GOING = {Status.DELETING, Status.DELETED}


class ShowPortal(Command, frozen=True, kw_only=True):
    """Let nobody, the team or everybody see a deployment's portal."""

    deployment_id: str
    visibility: Visibility


class CheckPortal(Command, frozen=True, kw_only=True):
    """Find out whether one may change the portal, before a document is read."""

    deployment_id: str


class PublishDocument(Command, frozen=True, kw_only=True):
    """Say how a deployment is called."""

    deployment_id: str
    text: bytes
    """Compact JSON."""


class FetchDocument(Command, frozen=True, kw_only=True):
    """Have the document fetched from the deployment itself."""

    deployment_id: str
    path: str


class WithdrawDocument(Command, frozen=True, kw_only=True):
    """Show no document any more."""

    deployment_id: str


class ReportDocument(Command, frozen=True, kw_only=True):
    """Say what a revision answered. Comes from the document fetcher, at least once."""

    deployment_id: str
    path: str
    revision: int
    text: bytes | None = None
    """Compact JSON; None: there was none to be had."""
    problem: str = ""


class ChangedPortal(msgspec.Struct, frozen=True):
    """The portal after the command, and what is said of a document that was published."""

    portal: Portal
    app_name: str
    facts: Facts | None = None


async def show_portal(command: ShowPortal, work: Work) -> ChangedPortal:
    """Record who may see it."""
    portal, app_name = await _theirs(command.deployment_id, work)
    work.record(portal, portal.present.show_to(command.visibility, by=work.actor.id))
    return ChangedPortal(portal.present, app_name)


async def check_portal(command: CheckPortal, work: Work) -> None:
    """Refuse whoever may not; change nothing."""
    await _theirs(command.deployment_id, work)


async def publish_document(command: PublishDocument, work: Work) -> ChangedPortal:
    """Record the document, if it is one."""
    portal, app_name = await _theirs(command.deployment_id, work)
    facts = await _checked(command.text)
    work.record(portal, portal.present.publish(command.text, facts, by=work.actor.id))
    return ChangedPortal(portal.present, app_name, facts)


async def fetch_document(command: FetchDocument, work: Work) -> ChangedPortal:
    """Record the wish; the document fetcher does the rest."""
    portal, app_name = await _theirs(command.deployment_id, work)
    work.record(portal, portal.present.fetch_from(command.path, by=work.actor.id))
    return ChangedPortal(portal.present, app_name)


async def withdraw_document(command: WithdrawDocument, work: Work) -> ChangedPortal:
    """Record that there is none any more."""
    portal, app_name = await _theirs(command.deployment_id, work)
    work.record(portal, portal.present.withdraw(by=work.actor.id))
    return ChangedPortal(portal.present, app_name)


async def report_document(command: ReportDocument, work: Work) -> None:
    """Record what a revision answered, for as long as somebody wants to know."""
    deployment = (await work.load(DEPLOYMENT, command.deployment_id)).present
    if deployment.status in GOING:
        return
    portal = await _portal_of(deployment, work)
    problem = command.problem
    if command.text is not None:
        try:
            facts = await _checked(command.text)
        except InvalidDocument as error:
            place, what = next(iter(error.details.items()))
            problem = f"{error.message} {place} {what}"
        else:
            events = portal.present.fetched(
                command.text,
                facts,
                path=command.path,
                revision=command.revision,
                by=work.actor.id,
            )
            work.record(portal, events)
            return
    work.record(
        portal,
        portal.present.could_not_fetch(problem, path=command.path, revision=command.revision),
    )


HANDLERS: Handlers = {
    ShowPortal: show_portal,
    CheckPortal: check_portal,
    PublishDocument: publish_document,
    FetchDocument: fetch_document,
    WithdrawDocument: withdraw_document,
    ReportDocument: report_document,
}


async def _theirs(deployment_id: str, work: Work) -> tuple[Loaded[Portal], str]:
    """Return the portal. Whose it is, its deployment says."""
    deployment = (await work.load(DEPLOYMENT, deployment_id)).present
    if deployment.status is Status.DELETED:
        raise NotFound
    work.must_hold("deployments:write", team_id=deployment.team_id)
    if deployment.status is Status.DELETING:
        raise DeploymentIsGoing
    return await _portal_of(deployment, work), deployment.app_name


async def _portal_of(deployment: Deployment, work: Work) -> Loaded[Portal]:
    """Return the portal, in the hands of whose the deployment is now."""
    portal = await work.load(PORTAL, portal_id(deployment.deployment_id))
    known = portal.state or Portal(
        deployment_id=deployment.deployment_id, team_id=deployment.team_id
    )
    portal.state = msgspec.structs.replace(known, team_id=deployment.team_id)
    return portal


async def _checked(text: bytes) -> Facts:
    """Look through a document beside everything else that is being done."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise InvalidDocument(**{"/": "is not JSON"}) from error
    return await asyncio.to_thread(checked, document)
