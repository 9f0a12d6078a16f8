"""The rules of one domain's certificate."""

from datetime import datetime

import msgspec

from domain.certificates.events import (
    CertificateIssued,
    CertificateOrderFailed,
    CertificateRemoved,
    CertificateUploaded,
)
from domain.certificates.values import Facts, Origin, RemovalReason
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import RuleViolated
from domain.kernel.events import Event


class NoOwnCertificate(RuleViolated):
    """The domain has no certificate that was uploaded."""


class DomainCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """What a domain has, or had."""

    domain_id: str
    team_id: str
    name: str
    fingerprint: str | None = None
    """None while it has none."""
    origin: Origin | None = None
    failures: int = 0


def store(
    state: DomainCertificate | None,
    facts: Facts,
    *,
    domain_id: str,
    team_id: str,
    name: str,
    uploaded_by: str | None,
) -> list[Event]:
    """Note a certificate that is in the store now. Told twice, it is noted once."""
    if state is not None and state.fingerprint == facts.fingerprint:
        return []
    issued = CertificateIssued(
        domain_id=domain_id,
        team_id=team_id,
        name=name,
        issuer=facts.issuer,
        fingerprint=facts.fingerprint,
        not_before=facts.not_before,
        not_after=facts.not_after,
    )
    if uploaded_by is None:
        return [issued]
    return [CertificateUploaded(**msgspec.structs.asdict(issued), uploaded_by=uploaded_by)]


def fail(
    state: DomainCertificate | None,
    *,
    domain_id: str,
    team_id: str,
    name: str,
    reason: str,
    failures: int,
    retry_at: datetime,
) -> list[Event]:
    """Note that an order failed. Who says it twice was killed before it could go on."""
    if state is not None and state.failures == failures:
        return []
    return [
        CertificateOrderFailed(
            domain_id=domain_id,
            team_id=team_id,
            name=name,
            reason=reason,
            failures=failures,
            retry_at=retry_at,
        )
    ]


def withdraw(state: DomainCertificate | None, *, by: str) -> list[Event]:
    """Take back what the team uploaded."""
    if state is None or state.fingerprint is None or state.origin is not Origin.UPLOADED:
        raise NoOwnCertificate
    return [_removed(state, state.fingerprint, RemovalReason.WITHDRAWN, by=by)]


def let_go(state: DomainCertificate | None, *, by: str) -> list[Event]:
    """Note that the domain is gone, and with it the certificate. Twice changes nothing."""
    if state is None or state.fingerprint is None:
        return []
    return [_removed(state, state.fingerprint, RemovalReason.DOMAIN_REMOVED, by=by)]


def _removed(
    state: DomainCertificate, fingerprint: str, reason: RemovalReason, *, by: str
) -> CertificateRemoved:
    return CertificateRemoved(
        domain_id=state.domain_id,
        team_id=state.team_id,
        name=state.name,
        fingerprint=fingerprint,
        reason=reason,
        removed_by=by,
    )


def _evolve(state: DomainCertificate | None, event: Event) -> DomainCertificate | None:
    match event:
        case CertificateIssued() | CertificateUploaded():
            return DomainCertificate(
                domain_id=event.domain_id,
                team_id=event.team_id,
                name=event.name,
                fingerprint=event.fingerprint,
                origin=(
                    Origin.UPLOADED if isinstance(event, CertificateUploaded) else Origin.AUTHORITY
                ),
            )
        case CertificateOrderFailed():
            before = state or DomainCertificate(
                domain_id=event.domain_id, team_id=event.team_id, name=event.name
            )
            return msgspec.structs.replace(before, failures=event.failures, team_id=event.team_id)
        case CertificateRemoved() if state is not None:
            return msgspec.structs.replace(state, fingerprint=None, origin=None, failures=0)
    return state


CERTIFICATE = Aggregate(name="certificate", state=DomainCertificate, evolve=_evolve)
