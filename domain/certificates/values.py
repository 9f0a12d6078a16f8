"""The words of certificates."""

from datetime import datetime
from enum import StrEnum

import msgspec


class Origin(StrEnum):
    """Where a certificate comes from."""

    AUTHORITY = "authority"
    UPLOADED = "uploaded"


class RemovalReason(StrEnum):
    """Why a certificate is not served any more."""

    WITHDRAWN = "withdrawn"
    """Its team took its own one back."""
    DOMAIN_REMOVED = "domain_removed"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate says about itself."""

    issuer: str
    fingerprint: str
    not_before: datetime
    not_after: datetime


def certificate_id(domain_id: str) -> str:
    """Return the id of a domain's certificate: there is one per domain."""
    return f"crt-{domain_id.partition('-')[2]}"


def renewal_due_at(*, not_before: datetime, not_after: datetime) -> datetime:
    """Return when a certificate is to be replaced: after two thirds of its time."""
    return not_before + (not_after - not_before) * 2 / 3
