"""The domains of a deployment: added, looked at, checked, removed."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.answers import Answer, answer, respond
from api.deployments.certificates import CertificateOut, shown_certificate
from api.deployments.finding import their_deployment
from api.deployments.shapes import DeploymentId
from api.guard import GuardedRoute
from api.lists import PageQuery, Pagination, pagination_of, sorted_by, window_of
from api.openapi import refusals
from api.requests import Read, Write, Writing, etag, reading
from api.schemas import Input, Message, Output, Text, identifier
from commands.custom_domains import (
    AddDomain,
    ChangedDomain,
    MoveDomain,
    RemoveDomain,
    RequestDomainCheck,
)
from domain.custom_domains.values import DomainStatus, RecordProblem, Wanted, words_of
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from projections.certificates import CertificateRow, certificates_of
from projections.custom_domains import (
    DOMAIN_LISTING,
    CustomDomainRow,
    count_domains,
    domain_by_id,
    list_domains,
)

router = APIRouter(route_class=GuardedRoute, prefix="/v1/deployments", tags=["Domains"])

DomainId = Annotated[str, identifier("dom")]
Reading = Annotated[Read, reading("deployments", "custom_domains", "certificates")]
DISPLACED = "Another deployment has this name now: its records are in DNS."
ACCEPTED = 202


class NewDomain(Input):
    """A domain to be added."""

    domain: Annotated[Text, Field(min_length=1, max_length=300)]


class DnsRecordOut(Output):
    """A record to be made in DNS."""

    type: str
    name: str
    value: str
    purpose: str
    """`ownership`: shows that the name is yours; `routing`: brings its traffic here."""
    required: bool
    """false: only for a name that cannot have a CNAME, in its place."""


class ProblemOut(Output):
    """A record that is not what it has to be."""

    code: str
    """`missing`, `wrong`, `no_such_name`, `server_failure`, `timeout` or `taken`."""
    type: str
    name: str
    expected: list[str]
    found: list[str]
    message: str


class DomainOut(Output):
    """A domain of a deployment."""

    id: str
    deployment_id: str
    domain: str
    status: DomainStatus
    created_at: datetime
    verified_at: datetime | None
    last_checked_at: datetime | None
    next_check_at: datetime | None
    """When its records are looked at next; null: not before somebody asks."""
    routed_until: datetime | None
    """Of an active domain whose records are gone: when it fails unless they come back."""
    certificate: CertificateOut
    failure: str | None
    """What the last check found wrong."""
    problems: list[ProblemOut]
    """The same, record by record."""
    dns_records: list[DnsRecordOut]


class DomainMove(Input):
    """Where a domain shall lead."""

    deployment_id: Annotated[Text, Field(min_length=1, max_length=40)]


class Checking(Output):
    """A domain that is about to be checked."""

    id: str
    domain: str
    status: DomainStatus
    message: str


class MovedDomain(Checking):
    """A domain that leads to another deployment now."""

    deployment_id: str


class Domains(Output):
    """A part of a deployment's domains."""

    domains: list[DomainOut]
    pagination: Pagination


@router.post(
    "/{deployment_id}/domains",
    status_code=201,
    response_model=DomainOut,
    responses=refusals(401, 403, 404, 409),
)
async def add(deployment_id: DeploymentId, body: NewDomain, write: Writing) -> Response:
    """Add a domain. It is active once DNS has the records that the answer names."""
    _must_be_ids(deployment_id)

    def made(done: ChangedDomain) -> Answer:
        domain = done.domain
        location = f"/v1/deployments/{deployment_id}/domains/{domain.domain_id}"
        return answer(_added(done, write), status=201, headers={"Location": location})

    command = AddDomain(
        deployment_id=deployment_id,
        domain=body.domain,
        platform_hosts=write.options.platform_hosts,
        present=await count_domains(write.views, deployment_id=deployment_id),
        domains_max=write.options.domains_max,
    )
    return await write.dispatch(command, made)


@router.get(
    "/{deployment_id}/domains",
    response_model=Domains,
    responses=refusals(401, 403, 404),
    openapi_extra=sorted_by(DOMAIN_LISTING),
)
async def list_all(
    deployment_id: DeploymentId, query: Annotated[PageQuery, Query()], read: Reading
) -> Response:
    """List its domains."""
    deployment = await their_deployment(read, deployment_id, "deployments:read")
    name = f"domains of {deployment.id}"
    window = window_of(query, DOMAIN_LISTING, name, read.services)
    page = await list_domains(read.views, window, deployment_id=deployment.id)
    held = await certificates_of(read.views, [row.id for row in page.rows])
    return respond(
        Domains(
            domains=[_shown(row, held.get(row.id), deployment.app_name, read) for row in page.rows],
            pagination=pagination_of(page, window, query, name, read.services),
        )
    )


@router.get(
    "/{deployment_id}/domains/{domain_id}",
    response_model=DomainOut,
    responses=refusals(401, 403, 404),
)
async def get(deployment_id: DeploymentId, domain_id: DomainId, read: Reading) -> Response:
    """Show one domain: how it stands, and which record is wrong if one is."""
    deployment = await their_deployment(read, deployment_id, "deployments:read")
    row = None
    if is_id(domain_id, "dom"):
        row = await domain_by_id(read.views, domain_id, deployment_id=deployment.id)
    if row is None:
        raise NotFound
    held = (await certificates_of(read.views, [row.id])).get(row.id)
    shown = _shown(row, held, deployment.app_name, read)
    return respond(shown, headers={"ETag": etag(row.version)})


@router.post(
    "/{deployment_id}/domains/{domain_id}/verify",
    status_code=ACCEPTED,
    response_model=Checking,
    responses=refusals(401, 403, 404, 412),
)
async def verify(deployment_id: DeploymentId, domain_id: DomainId, write: Writing) -> Response:
    """Have its records looked at now. What was found is shown by the domain itself."""
    _must_be_ids(deployment_id, domain_id)

    def asked(done: ChangedDomain) -> Answer:
        return answer(
            Checking(
                id=done.domain.domain_id,
                domain=done.domain.name,
                status=done.domain.status,
                message="Domain is being checked",
            ),
            status=ACCEPTED,
        )

    command = RequestDomainCheck(deployment_id=deployment_id, domain_id=domain_id)
    return await write.dispatch(command, asked, resource=domain_id)


@router.patch(
    "/{deployment_id}/domains/{domain_id}",
    response_model=MovedDomain,
    responses=refusals(401, 403, 404, 409, 412),
)
async def move(
    deployment_id: DeploymentId, domain_id: DomainId, body: DomainMove, write: Writing
) -> Response:
    """Let it lead to another deployment of the team, at once.

    Its records are looked at anew: a CNAME that names the app has to name the other one soon.
    """
    _must_be_ids(deployment_id, domain_id)

    def moved(done: ChangedDomain) -> Answer:
        return answer(
            MovedDomain(
                id=done.domain.domain_id,
                deployment_id=done.domain.deployment_id,
                domain=done.domain.name,
                status=done.domain.status,
                message="Domain moved",
            )
        )

    command = MoveDomain(
        deployment_id=deployment_id,
        domain_id=domain_id,
        to=body.deployment_id,
        present=await count_domains(write.views, deployment_id=body.deployment_id),
        domains_max=write.options.domains_max,
    )
    return await write.dispatch(command, moved, resource=domain_id)


@router.delete(
    "/{deployment_id}/domains/{domain_id}",
    response_model=Message,
    responses=refusals(401, 403, 404, 412),
)
async def remove(deployment_id: DeploymentId, domain_id: DomainId, write: Writing) -> Response:
    """Remove a domain: nothing answers under it any more."""
    _must_be_ids(deployment_id, domain_id)
    return await write.dispatch(
        RemoveDomain(deployment_id=deployment_id, domain_id=domain_id),
        lambda _: answer(Message(message="Domain removed successfully")),
        resource=domain_id,
    )


def _must_be_ids(deployment_id: str, domain_id: str | None = None) -> None:
    if not is_id(deployment_id, "dpl"):
        raise NotFound
    if domain_id is not None and not is_id(domain_id, "dom"):
        raise NotFound


def _added(done: ChangedDomain, write: Write) -> DomainOut:
    domain = done.domain
    return DomainOut(
        id=domain.domain_id,
        deployment_id=domain.deployment_id,
        domain=domain.name,
        status=domain.status,
        created_at=domain.added_at,
        verified_at=None,
        last_checked_at=None,
        next_check_at=domain.next_check_at,
        routed_until=None,
        certificate=shown_certificate(None, is_wanted=False, now=domain.added_at),
        failure=None,
        problems=[],
        dns_records=_records(domain.wanted(done.app_name, write.options.domain_target)),
    )


def _shown(
    row: CustomDomainRow, held: CertificateRow | None, app_name: str, read: Read
) -> DomainOut:
    target = read.options.domain_target
    wanted = Wanted(
        name=row.name,
        token=row.token,
        host=target.host_of(app_name),
        addresses=target.addresses,
    )
    failure = DISPLACED if row.displaced else words_of(row.problems)
    return DomainOut(
        id=row.id,
        deployment_id=row.deployment_id,
        domain=row.name,
        status=row.status,
        created_at=row.created_at,
        verified_at=row.verified_at,
        last_checked_at=row.checked_at,
        next_check_at=row.next_check_at,
        routed_until=row.routed_until,
        certificate=shown_certificate(
            held,
            is_wanted=read.options.tls and row.status is DomainStatus.ACTIVE,
            now=read.services.clock(),
        ),
        failure=failure or None,
        problems=[_problem(problem) for problem in row.problems],
        dns_records=_records(wanted),
    )


def _records(wanted: Wanted) -> list[DnsRecordOut]:
    return [
        DnsRecordOut(
            type=record.type,
            name=record.name,
            value=record.value,
            purpose="ownership" if record.proves_ownership else "routing",
            required=record.required,
        )
        for record in wanted.records()
    ]


def _problem(problem: RecordProblem) -> ProblemOut:
    return ProblemOut(
        code=problem.fault,
        type=problem.type,
        name=problem.name,
        expected=list(problem.expected),
        found=list(problem.found),
        message=problem.words,
    )
