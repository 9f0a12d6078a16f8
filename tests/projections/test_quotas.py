"""What each team may run at once, and what it runs."""

from domain.deployments.events import CapacityAllotted, CapacityFreed, TeamQuotaChanged
from domain.deployments.values import Capacity
from projections.quotas import QUOTAS
from tests.projections.asking import digest, rebuild
from tests.wiring import Installation

ACME, APEX = "org-0000000001", "org-0000000002"


async def test_each_team_has_what_its_own_deployments_take(installation: Installation) -> None:
    installation.start_views([QUOTAS])
    one, two = Capacity(replicas=1, cpu_millis=250, memory_bytes=1), Capacity(replicas=2)
    await installation.append(
        f"quota-{ACME}",
        CapacityAllotted(team_id=ACME, deployment_id="dpl-1", capacity=two),
        CapacityAllotted(team_id=ACME, deployment_id="dpl-2", capacity=two),
        CapacityAllotted(team_id=ACME, deployment_id="dpl-1", capacity=one),
        TeamQuotaChanged(team_id=ACME, replicas=5, memory_bytes=9),
        CapacityFreed(team_id=ACME, deployment_id="dpl-2"),
        CapacityFreed(team_id=ACME, deployment_id="dpl-3"),
    )
    await installation.append(
        f"quota-{APEX}",
        CapacityFreed(team_id=APEX, deployment_id="dpl-3"),
        TeamQuotaChanged(team_id=APEX, deployments=1),
        TeamQuotaChanged(team_id=APEX),
    )
    rows = {row["team_id"]: row for row in await installation.rows(QUOTAS)}
    assert rows[ACME]["own"] == {"replicas": 5, "memory_bytes": 9}
    assert rows[ACME]["allotted"] == {
        "dpl-1": {"replicas": 1, "cpu_millis": 250, "memory_bytes": 1}
    }
    assert (rows[APEX]["own"], rows[APEX]["allotted"]) == ({}, {})
    before = await digest(installation, QUOTAS)
    await rebuild(installation, QUOTAS)
    assert await digest(installation, QUOTAS) == before
