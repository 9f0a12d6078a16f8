"""Custom domains as their owners see them, and as the gateway does."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.custom_domains.events import (
    DomainAdded,
    DomainCheckFailed,
    DomainCheckPassed,
    DomainCheckRequested,
    DomainFailed,
    DomainRemoved,
    DomainTransferred,
    DomainVerified,
)
from domain.custom_domains.values import DomainStatus, Fault, RecordProblem
from domain.kernel.events import Event
from projections.custom_domains import CUSTOM_DOMAINS
from projections.gateway import HOSTS
from tests.projections.asking import digest, rebuild
from tests.wiring import Installation

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FIRST, SECOND = "dom-0000000001", "dom-0000000002"
PROBLEM = RecordProblem(
    fault=Fault.WRONG, type="CNAME", name="a.example.com", expected=("x.y",), found=("z.y",)
)


def added(domain_id: str, name: str = "a.example.com") -> DomainAdded:
    return DomainAdded(
        domain_id=domain_id,
        deployment_id=f"dpl-{domain_id[4:]}",
        team_id="org-0000000001",
        name=name,
        token=f"token of {domain_id}",
        added_by="usr-0000000001",
        added_at=NOON,
    )


def verified(domain_id: str, name: str = "a.example.com") -> DomainVerified:
    return DomainVerified(
        name=name,
        deployment_id=f"dpl-{domain_id[4:]}",
        previously=DomainStatus.PENDING,
        verified_at=NOON + DAY,
        next_check_at=NOON + 2 * DAY,
    )


def failing(domain_id: str, name: str = "a.example.com") -> DomainCheckFailed:
    return DomainCheckFailed(
        name=name,
        deployment_id=f"dpl-{domain_id[4:]}",
        problems=(PROBLEM,),
        checked_at=NOON,
        next_check_at=NOON + DAY,
        routed_until=NOON + 3 * DAY,
    )


def ended(domain_id: str, *, displaced: bool = False) -> DomainFailed:
    return DomainFailed(
        name="a.example.com",
        deployment_id=f"dpl-{domain_id[4:]}",
        previously=DomainStatus.ACTIVE,
        problems=(PROBLEM,),
        failed_at=NOON + 3 * DAY,
        displaced=displaced,
    )


async def happened(installation: Installation, domain_id: str, *events: Event) -> None:
    after = (await installation.store.versions([domain_id])).get(domain_id, 0)
    await installation.append(domain_id, *events, after=after)


async def test_a_domain_is_shown_as_it_stands(installation: Installation) -> None:
    installation.start_views([CUSTOM_DOMAINS, HOSTS])
    await happened(installation, FIRST, added(FIRST), failing(FIRST))
    await happened(installation, SECOND, added(SECOND, "b.example.com"), verified(SECOND))
    first, second = await installation.rows(CUSTOM_DOMAINS)
    assert (first["name"], first["status"], first["version"]) == ("a.example.com", "pending", 2)
    assert first["problems"][0]["found"] == ["z.y"]
    assert (first["checked_at"], first["routed_until"]) == (NOON, NOON + 3 * DAY)
    assert (second["status"], second["verified_at"]) == ("active", NOON + DAY)

    await happened(installation, FIRST, verified(FIRST), failing(FIRST))
    passed = DomainCheckPassed(checked_at=NOON + DAY, next_check_at=NOON + 2 * DAY)
    await happened(installation, FIRST, passed)
    await happened(
        installation, SECOND, DomainTransferred(team_id="org-2", from_team_id="org-0000000001")
    )
    first, second = await installation.rows(CUSTOM_DOMAINS)
    assert (first["status"], first["problems"], first["routed_until"]) == ("active", [], None)
    assert second["team_id"] == "org-2"

    await happened(installation, FIRST, ended(FIRST))
    [first, _] = await installation.rows(CUSTOM_DOMAINS)
    assert (first["status"], first["verified_at"], first["next_check_at"]) == ("failed", None, None)
    again = DomainCheckRequested(requested_by="usr-1", requested_at=NOON + 9 * DAY)
    gone = DomainRemoved(
        name="b.example.com",
        deployment_id="dpl-0000000002",
        previously=DomainStatus.ACTIVE,
        removed_by="usr-1",
    )
    await happened(installation, FIRST, again)
    await happened(installation, SECOND, gone)
    [first] = await installation.rows(CUSTOM_DOMAINS)
    assert (first["status"], first["next_check_at"]) == ("pending", NOON + 9 * DAY)
    assert await installation.rows(HOSTS) == []
    for view in (CUSTOM_DOMAINS, HOSTS):
        before = await digest(installation, view)
        await rebuild(installation, view)
        assert await digest(installation, view) == before


async def test_the_gateway_knows_verified_names_only(installation: Installation) -> None:
    installation.start_views([HOSTS])
    await happened(installation, FIRST, added(FIRST))
    assert await installation.rows(HOSTS) == []
    await happened(installation, FIRST, verified(FIRST), failing(FIRST))
    [row] = await installation.rows(HOSTS)
    assert row == {
        "name": "a.example.com",
        "domain_id": FIRST,
        "deployment_id": "dpl-0000000001",
    }
    await happened(installation, FIRST, ended(FIRST))
    assert await installation.rows(HOSTS) == []


@pytest.mark.parametrize("order", [1, -1])
async def test_a_name_that_goes_over_leads_to_the_new_one_in_whatever_order_it_is_told(
    installation: Installation, order: int
) -> None:
    installation.start_views([HOSTS])
    await happened(installation, FIRST, added(FIRST), verified(FIRST))
    await happened(installation, SECOND, added(SECOND))
    facts = [(FIRST, ended(FIRST, displaced=True)), (SECOND, verified(SECOND))]
    for domain_id, fact in facts[::order]:
        await happened(installation, domain_id, fact)
    [row] = await installation.rows(HOSTS)
    assert row["domain_id"] == SECOND
