"""The certificates of custom domains as their owners see them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.certificates.events import (
    CertificateIssued,
    CertificateOrderFailed,
    CertificateRemoved,
    CertificateUploaded,
)
from domain.certificates.values import Origin
from domain.custom_domains.events import DomainRemoved
from domain.kernel.events import Event
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Reader
from projections.view import Change, View


class CertificateRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one domain has."""

    domain_id: str
    origin: Origin | None = None
    """None while it has none."""
    issuer: str | None = None
    fingerprint: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    failure: str | None = None
    """Why the last order came to nothing."""
    retry_at: datetime | None = None


def _changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    if isinstance(
        event,
        CertificateIssued | CertificateUploaded | CertificateOrderFailed | CertificateRemoved,
    ):
        return [((event.domain_id,), event)]
    if isinstance(event, DomainRemoved):
        return [((recorded.stream_id,), event)]
    return []


def _fold(row: CertificateRow | None, event: Event, _: RecordedEvent) -> CertificateRow | None:
    match event:
        case CertificateIssued() | CertificateUploaded():
            uploaded = isinstance(event, CertificateUploaded)
            return CertificateRow(
                domain_id=event.domain_id,
                origin=Origin.UPLOADED if uploaded else Origin.AUTHORITY,
                issuer=event.issuer,
                fingerprint=event.fingerprint,
                not_before=event.not_before,
                not_after=event.not_after,
            )
        case CertificateOrderFailed():
            before = row or CertificateRow(domain_id=event.domain_id)
            return msgspec.structs.replace(before, failure=event.reason, retry_at=event.retry_at)
        case CertificateRemoved() | DomainRemoved():
            return None
    return row


CERTIFICATES = View(
    name="certificates",
    version=1,
    topic=Topic.EVENTS,
    row=CertificateRow,
    key=("domain_id",),
    changes=_changes,
    fold=_fold,
)


class WantedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A domain that shall be served over TLS."""

    domain_id: str
    team_id: str
    name: str
    active: bool
    """Its records lead here now; others only keep what they have."""


async def certificates_of(reader: Reader, domain_ids: Sequence[str]) -> dict[str, CertificateRow]:
    """Return what these domains have, by their ids."""
    rows = await reader.rows(
        CertificateRow,
        "SELECT * FROM views.certificates WHERE domain_id = ANY(%s)",
        list(domain_ids),
    )
    return {row.domain_id: row for row in rows}


async def domains_with_certificates(reader: Reader) -> Sequence[WantedCertificate]:
    """Return every domain there is."""
    return await reader.rows(
        WantedCertificate,
        "SELECT id AS domain_id, team_id, name, status = 'active' AS active"
        " FROM views.custom_domains",
    )
