"""The custom domains as their owners see them.

Whose a domain is, its deployment says (`team_id` here follows a moment after a transfer): those who
ask for domains of a deployment have been shown the deployment first.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.custom_domains.events import (
    DomainAdded,
    DomainCheckFailed,
    DomainCheckPassed,
    DomainCheckRequested,
    DomainFailed,
    DomainMoved,
    DomainRemoved,
    DomainTransferred,
    DomainVerified,
)
from domain.custom_domains.values import DomainStatus, RecordProblem
from domain.kernel.events import Event
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Listing, Page, Reader, Window
from projections.view import Change, View


class CustomDomainRow(msgspec.Struct, frozen=True, kw_only=True):
    """One domain."""

    id: str
    deployment_id: str
    team_id: str
    name: str
    token: str
    status: DomainStatus
    created_at: datetime
    updated_at: datetime
    verified_at: datetime | None = None
    """Since when it is active; None while it is not."""
    checked_at: datetime | None = None
    next_check_at: datetime | None = None
    routed_until: datetime | None = None
    """Of an active domain whose records are gone."""
    problems: tuple[RecordProblem, ...] = ()
    """What the last check found."""
    displaced: bool = False
    """It has failed because the name is another domain's now."""
    version: int


_EVENTS = (
    DomainAdded,
    DomainCheckRequested,
    DomainVerified,
    DomainCheckPassed,
    DomainCheckFailed,
    DomainFailed,
    DomainTransferred,
    DomainMoved,
    DomainRemoved,
)


def domain_changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    """Return the one domain that the event is about, if it is about one."""
    return [((recorded.stream_id,), event)] if isinstance(event, _EVENTS) else []


def fold_domain(
    row: CustomDomainRow | None, event: Event, recorded: RecordedEvent
) -> CustomDomainRow | None:
    """Return the row after an event that is about it."""
    if isinstance(event, DomainAdded):
        return CustomDomainRow(
            id=event.domain_id,
            deployment_id=event.deployment_id,
            team_id=event.team_id,
            name=event.name,
            token=event.token,
            status=DomainStatus.PENDING,
            created_at=event.added_at,
            updated_at=event.added_at,
            next_check_at=event.added_at,
            version=recorded.version,
        )
    if row is None or isinstance(event, DomainRemoved):
        return None
    row = msgspec.structs.replace(row, version=recorded.version, updated_at=recorded.recorded_at)
    return _fold(row, event)


def _fold(row: CustomDomainRow, event: Event) -> CustomDomainRow:
    changed: dict[str, object] = {}
    match event:
        case DomainCheckRequested():
            changed = {"next_check_at": event.requested_at, "displaced": False}
            if row.status is DomainStatus.FAILED:
                changed["status"] = DomainStatus.PENDING
        case DomainVerified():
            changed = {
                "status": DomainStatus.ACTIVE,
                "verified_at": event.verified_at,
                "checked_at": event.verified_at,
                "next_check_at": event.next_check_at,
                "problems": (),
            }
        case DomainCheckPassed():
            changed = {
                "checked_at": event.checked_at,
                "next_check_at": event.next_check_at,
                "routed_until": None,
                "problems": (),
            }
        case DomainCheckFailed():
            changed = {
                "checked_at": event.checked_at,
                "next_check_at": event.next_check_at,
                "routed_until": event.routed_until,
                "problems": event.problems,
            }
        case DomainFailed():
            changed = {
                "status": DomainStatus.FAILED,
                "verified_at": None,
                "checked_at": event.failed_at,
                "next_check_at": None,
                "routed_until": None,
                "problems": event.problems,
                "displaced": event.displaced,
            }
        case DomainTransferred():
            changed = {"team_id": event.team_id}
        case DomainMoved():
            changed = {
                "deployment_id": event.deployment_id,
                "next_check_at": event.moved_at,
                "displaced": False,
                "problems": (),
            }
            if row.status is DomainStatus.FAILED:
                changed["status"] = DomainStatus.PENDING
    return msgspec.structs.replace(row, **changed)


CUSTOM_DOMAINS = View(
    name="custom_domains",
    version=1,
    topic=Topic.EVENTS,
    row=CustomDomainRow,
    key=("id",),
    changes=domain_changes,
    fold=fold_domain,
    indexes=("deployment_id, created_at, id", "next_check_at", "name"),
)

DOMAIN_LISTING = Listing(
    sorts={"createdAt": "created_at", "updatedAt": "updated_at", "domain": "name"},
    sort_default="-createdAt",
    id_column="id",
    kinds=CUSTOM_DOMAINS.columns,
)


async def domain_by_id(
    reader: Reader, domain_id: str, *, deployment_id: str
) -> CustomDomainRow | None:
    """Return one of a deployment's domains."""
    return await reader.row(
        CustomDomainRow,
        "SELECT * FROM views.custom_domains WHERE id = %s AND deployment_id = %s",
        domain_id,
        deployment_id,
    )


async def list_domains(
    reader: Reader, window: Window, *, deployment_id: str
) -> Page[CustomDomainRow]:
    """Return a deployment's domains."""
    return await reader.page(
        CustomDomainRow,
        "SELECT * FROM views.custom_domains WHERE deployment_id = %s",
        deployment_id,
        listing=DOMAIN_LISTING,
        window=window,
    )


async def count_domains(reader: Reader, *, deployment_id: str) -> int:
    """Return how many domains a deployment has."""
    return await reader.number(
        "SELECT count(*) FROM views.custom_domains WHERE deployment_id = %s", deployment_id
    )


class DueDomain(msgspec.Struct, frozen=True, kw_only=True):
    """A domain whose records are to be looked at."""

    id: str
    name: str
    next_check_at: datetime


async def due_domains(reader: Reader, *, now: datetime, limit: int) -> Sequence[DueDomain]:
    """Return the domains that are due, the one that waits longest first."""
    return await reader.rows(
        DueDomain,
        "SELECT id, name, next_check_at FROM views.custom_domains WHERE next_check_at <= %s"
        " ORDER BY next_check_at, id LIMIT %s",
        now,
        limit,
    )


class NextDue(msgspec.Struct, frozen=True):
    """When the next domain is due."""

    at: datetime | None


async def next_domain_due(reader: Reader, *, after: datetime) -> datetime | None:
    """Return when the first of the domains that are not due yet will be."""
    found = await reader.row(
        NextDue,
        "SELECT min(next_check_at) AS at FROM views.custom_domains WHERE next_check_at > %s",
        after,
    )
    return found.at if found is not None else None


class Astray(msgspec.Struct, frozen=True):
    """A domain that is not where its deployment is."""

    id: str


async def astray_domains(reader: Reader, *, limit: int) -> Sequence[str]:
    """Return domains of deployments that are going, gone or another team's.

    The view of deployments may be behind this one: who asks has to look again.
    """
    found = await reader.rows(
        Astray,
        "SELECT c.id FROM views.custom_domains AS c"
        " LEFT JOIN views.deployments AS d ON d.id = c.deployment_id"
        " WHERE d.id IS NULL OR d.status = 'deleting' OR d.team_id <> c.team_id LIMIT %s",
        limit,
    )
    return [each.id for each in found]
