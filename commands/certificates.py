"""Note what the store of certificates has, and let a team bring and take back its own.

The store comes first, the fact after it: whoever is killed in between finds in the store what the
log does not know yet, and tells it again.
"""

from datetime import datetime

from commands.bus import Command, Handlers
from commands.work import Loaded, Work
from domain.certificates.certificate import (
    CERTIFICATE,
    DomainCertificate,
    fail,
    let_go,
    store,
    withdraw,
)
from domain.certificates.values import Facts, certificate_id
from domain.custom_domains.custom_domain import CUSTOM_DOMAIN, CustomDomain
from domain.custom_domains.values import DomainStatus
from domain.deployments.deployment import DEPLOYMENT
from domain.kernel.errors import NotFound, RuleViolated
from domain.kernel.events import Event


class DomainStillActive(RuleViolated):
    """The domain is active, so its certificate stays."""


class DomainNotActive(RuleViolated):
    """A domain takes a certificate once it is active."""


class NoteCertificate(Command, frozen=True, kw_only=True):
    """Say what the store has for a domain. Comes from the certificate worker, at least once."""

    domain_id: str
    facts: Facts
    uploaded: bool = False


class CheckUpload(Command, frozen=True, kw_only=True):
    """Ask whether one may bring a certificate for the domain. Changes nothing."""

    deployment_id: str
    domain_id: str


class UploadCertificate(Command, frozen=True, kw_only=True):
    """Bring a certificate of one's own; it is in the store already."""

    deployment_id: str
    domain_id: str
    facts: Facts


class CheckWithdrawal(Command, frozen=True, kw_only=True):
    """Ask whether there is one to take back. Changes nothing."""

    deployment_id: str
    domain_id: str


class WithdrawCertificate(Command, frozen=True, kw_only=True):
    """Take back a certificate of one's own; it is not in the store any more."""

    deployment_id: str
    domain_id: str


class NoteFailedOrder(Command, frozen=True, kw_only=True):
    """Say why there is no certificate this time."""

    domain_id: str
    reason: str
    failures: int
    retry_at: datetime


class NoteLostDomain(Command, frozen=True, kw_only=True):
    """Say that the domain is gone, and its certificate with it."""

    domain_id: str


async def note_certificate(command: NoteCertificate, work: Work) -> None:
    """Record what is new."""
    domain = await _domain(command.domain_id, work)
    certificate = await _certificate(command.domain_id, work)
    by = work.actor.id if command.uploaded else None
    work.record(certificate, _stored(certificate, domain, command.facts, uploaded_by=by))


async def check_upload(command: CheckUpload, work: Work) -> str:
    """Return the name that the certificate has to be for."""
    return (await _theirs_and_active(command.deployment_id, command.domain_id, work)).name


async def upload_certificate(command: UploadCertificate, work: Work) -> None:
    """Record what was brought."""
    domain = await _theirs_and_active(command.deployment_id, command.domain_id, work)
    certificate = await _certificate(command.domain_id, work)
    work.record(certificate, _stored(certificate, domain, command.facts, uploaded_by=work.actor.id))


async def check_withdrawal(command: CheckWithdrawal, work: Work) -> str:
    """Return the domain's name, if it has a certificate that was uploaded."""
    domain = await _theirs(command.deployment_id, command.domain_id, work)
    certificate = await _certificate(command.domain_id, work)
    withdraw(certificate.state, by=work.actor.id)
    return domain.name


async def withdraw_certificate(command: WithdrawCertificate, work: Work) -> None:
    """Record that it is not to be served any more."""
    await _theirs(command.deployment_id, command.domain_id, work)
    certificate = await _certificate(command.domain_id, work)
    work.record(certificate, withdraw(certificate.state, by=work.actor.id))


async def note_failed_order(command: NoteFailedOrder, work: Work) -> None:
    """Record the reason."""
    domain = await _domain(command.domain_id, work)
    certificate = await _certificate(command.domain_id, work)
    events = fail(
        certificate.state,
        domain_id=domain.domain_id,
        team_id=domain.team_id,
        name=domain.name,
        reason=command.reason,
        failures=command.failures,
        retry_at=command.retry_at,
    )
    work.record(certificate, events)


async def note_lost_domain(command: NoteLostDomain, work: Work) -> None:
    """Record that there is nothing to be served for. The log is asked, whatever a view says."""
    domain = (await work.load(CUSTOM_DOMAIN, command.domain_id, fresh=True)).state
    if domain is not None and not domain.removed and domain.status is DomainStatus.ACTIVE:
        raise DomainStillActive
    certificate = await _certificate(command.domain_id, work)
    work.record(certificate, let_go(certificate.state, by=work.actor.id))


HANDLERS: Handlers = {
    NoteCertificate: note_certificate,
    CheckUpload: check_upload,
    UploadCertificate: upload_certificate,
    CheckWithdrawal: check_withdrawal,
    WithdrawCertificate: withdraw_certificate,
    NoteFailedOrder: note_failed_order,
    NoteLostDomain: note_lost_domain,
}


def _stored(
    certificate: Loaded[DomainCertificate],
    domain: CustomDomain,
    facts: Facts,
    *,
    uploaded_by: str | None,
) -> list[Event]:
    return store(
        certificate.state,
        facts,
        domain_id=domain.domain_id,
        team_id=domain.team_id,
        name=domain.name,
        uploaded_by=uploaded_by,
    )


async def _certificate(domain_id: str, work: Work) -> Loaded[DomainCertificate]:
    return await work.load(CERTIFICATE, certificate_id(domain_id))


async def _domain(domain_id: str, work: Work) -> CustomDomain:
    domain = (await work.load(CUSTOM_DOMAIN, domain_id)).present
    if domain.removed:
        raise NotFound
    return domain


async def _theirs(deployment_id: str, domain_id: str, work: Work) -> CustomDomain:
    """Return the domain. Whose it is, its deployment says: after a transfer that is known first."""
    deployment = (await work.load(DEPLOYMENT, deployment_id)).present
    work.must_hold("deployments:write", team_id=deployment.team_id)
    domain = await _domain(domain_id, work)
    if domain.deployment_id != deployment_id:
        raise NotFound
    return domain


async def _theirs_and_active(deployment_id: str, domain_id: str, work: Work) -> CustomDomain:
    """Return the domain. While it is not active, its name may be another one's."""
    domain = await _theirs(deployment_id, domain_id, work)
    if domain.status is not DomainStatus.ACTIVE:
        raise DomainNotActive
    return domain
