"""A domain's certificate: looked at, brought by its team, taken back. Its key never returns."""

import asyncio
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field, SecretStr
from starlette.responses import Response

from api.answers import answer, respond
from api.deployments.finding import their_deployment
from api.deployments.shapes import DeploymentId
from api.errors import InvalidValue
from api.guard import GuardedRoute
from api.openapi import refusals
from api.requests import Read, Write, Writing, reading
from api.schemas import Input, Message, Output, identifier
from commands.bus import Command, Context
from commands.certificates import (
    CheckUpload,
    CheckWithdrawal,
    UploadCertificate,
    WithdrawCertificate,
)
from domain.certificates.values import Facts, Origin
from domain.custom_domains.values import DomainStatus
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from infrastructure.certificates import Certificate, StoredCertificate, Unusable
from projections.certificates import CertificateRow, certificates_of
from projections.custom_domains import domain_by_id

PEM_CHARACTERS_MAX = 14_000

router = APIRouter(route_class=GuardedRoute, prefix="/v1/deployments", tags=["Domains"])

DomainId = Annotated[str, identifier("dom")]
Reading = Annotated[Read, reading("deployments", "custom_domains", "certificates")]


class NewCertificate(Input):
    """A certificate of one's own."""

    certificate: Annotated[str, Field(min_length=1, max_length=PEM_CHARACTERS_MAX)]
    """PEM: the one for the host first, then each with its issuer after it."""
    private_key: Annotated[SecretStr, Field(min_length=1, max_length=PEM_CHARACTERS_MAX)]
    """PEM, not encrypted: RSA of 2048 to 4096 bits, or ECDSA on P-256 or P-384."""


class CertificateOut(Output):
    """How a domain stands with its certificate."""

    status: Literal["none", "pending", "active", "failed", "expired"]
    """`none`: it is not to have one now; `pending`: it is being ordered; `failed`: the order was
    refused, and is tried again. A renewal that fails leaves it `active`."""
    origin: Origin | None
    """`authority`: ordered for the domain; `uploaded`: the team's own."""
    issuer: str | None
    fingerprint: str | None
    """SHA-256 of the certificate."""
    not_before: datetime | None
    not_after: datetime | None
    failure: str | None
    """Why the last order came to nothing, most often in the authority's own words."""
    retry_at: datetime | None
    """When it is ordered again."""


@router.put(
    "/{deployment_id}/domains/{domain_id}/certificate",
    response_model=CertificateOut,
    responses=refusals(401, 403, 404),
)
async def upload_certificate(
    deployment_id: DeploymentId, domain_id: DomainId, body: NewCertificate, write: Writing
) -> Response:
    """Bring a certificate of one's own. It is served by every gateway within seconds."""
    _must_be_ids(deployment_id, domain_id)
    name = await _ask(write, CheckUpload(deployment_id=deployment_id, domain_id=domain_id))
    stored = await _inspected(body, name, domain_id, write)
    # The store first: what the log does not know yet, the certificate keeper tells it.
    await write.services.certificates.put(stored)
    facts = _facts(stored.certificate)
    command = UploadCertificate(deployment_id=deployment_id, domain_id=domain_id, facts=facts)
    return await write.dispatch(command, lambda _: answer(_uploaded(facts)))


@router.get(
    "/{deployment_id}/domains/{domain_id}/certificate",
    response_model=CertificateOut,
    responses=refusals(401, 403, 404),
)
async def get_certificate(
    deployment_id: DeploymentId, domain_id: DomainId, read: Reading
) -> Response:
    """Show whose it is, how long it lasts, and why there is none if there is none."""
    deployment = await their_deployment(read, deployment_id, "deployments:read")
    domain = None
    if is_id(domain_id, "dom"):
        domain = await domain_by_id(read.views, domain_id, deployment_id=deployment.id)
    if domain is None:
        raise NotFound
    held = (await certificates_of(read.views, [domain.id])).get(domain.id)
    is_wanted = read.options.tls and domain.status is DomainStatus.ACTIVE
    return respond(shown_certificate(held, is_wanted=is_wanted, now=read.services.clock()))


@router.delete(
    "/{deployment_id}/domains/{domain_id}/certificate",
    response_model=Message,
    responses=refusals(401, 403, 404),
)
async def remove_certificate(
    deployment_id: DeploymentId, domain_id: DomainId, write: Writing
) -> Response:
    """Take the team's own certificate back; one is ordered in its place."""
    _must_be_ids(deployment_id, domain_id)
    name = await _ask(write, CheckWithdrawal(deployment_id=deployment_id, domain_id=domain_id))
    await write.services.certificates.remove(name, owner_id=domain_id)
    return await write.dispatch(
        WithdrawCertificate(deployment_id=deployment_id, domain_id=domain_id),
        lambda _: answer(Message(message="Certificate removed successfully")),
    )


def shown_certificate(
    held: CertificateRow | None, *, is_wanted: bool, now: datetime
) -> CertificateOut:
    """Return how a domain stands that shall have one or not."""
    held = held or CertificateRow(domain_id="")
    status: Literal["none", "pending", "active", "failed", "expired"] = "none"
    if held.not_after is not None:
        status = "active" if held.not_after > now else "expired"
    elif is_wanted:
        status = "pending" if held.failure is None else "failed"
    return CertificateOut(
        status=status,
        origin=held.origin,
        issuer=held.issuer,
        fingerprint=held.fingerprint,
        not_before=held.not_before,
        not_after=held.not_after,
        failure=held.failure,
        retry_at=held.retry_at,
    )


def _must_be_ids(deployment_id: str, domain_id: str) -> None:
    if not is_id(deployment_id, "dpl") or not is_id(domain_id, "dom"):
        raise NotFound


async def _ask(write: Write, command: Command) -> str:
    context = Context(actor=write.caller.actor, correlation_id=write.request_id)
    return str((await write.services.bus.dispatch(command, context)).result)


async def _inspected(
    body: NewCertificate, name: str, domain_id: str, write: Write
) -> StoredCertificate:
    try:
        chain, key, facts = await asyncio.to_thread(
            write.services.inspect_certificate,
            body.certificate,
            body.private_key.get_secret_value(),
            host=name,
            now=write.services.clock(),
        )
    except Unusable as error:
        raise InvalidValue(str(error), fields={error.field: str(error)}) from None
    return StoredCertificate(
        name=name,
        owner_id=domain_id,
        origin="uploaded",
        chain=chain,
        private_key=key,
        certificate=facts,
    )


def _facts(certificate: Certificate) -> Facts:
    return Facts(
        issuer=certificate.issuer,
        fingerprint=certificate.fingerprint,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
    )


def _uploaded(facts: Facts) -> CertificateOut:
    return CertificateOut(
        status="active",
        origin=Origin.UPLOADED,
        issuer=facts.issuer,
        fingerprint=facts.fingerprint,
        not_before=facts.not_before,
        not_after=facts.not_after,
        failure=None,
        retry_at=None,
    )
