"""The facts of a certificate's life. Nothing that is secret is ever among them."""

from datetime import datetime

from domain.certificates.values import RemovalReason
from domain.kernel.events import Event


class CertificateIssued(Event, frozen=True, kw_only=True):
    """The certificate authority issued one, for the first time or anew."""

    domain_id: str
    team_id: str
    name: str
    """The host it is for."""
    issuer: str
    fingerprint: str
    """SHA-256 of the certificate, in hex."""
    not_before: datetime
    not_after: datetime


class CertificateUploaded(Event, frozen=True, kw_only=True):
    """The team brought one of its own."""

    domain_id: str
    team_id: str
    name: str
    issuer: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    uploaded_by: str


class CertificateOrderFailed(Event, frozen=True, kw_only=True):
    """There is none this time. What the domain has already is served on while it is valid."""

    domain_id: str
    team_id: str
    name: str
    reason: str
    """In words for the domain's owner, most often the authority's own."""
    failures: int
    """How often in a row by now."""
    retry_at: datetime


class CertificateRemoved(Event, frozen=True, kw_only=True):
    """It is not served any more."""

    domain_id: str
    team_id: str
    name: str
    fingerprint: str
    reason: RemovalReason
    removed_by: str
