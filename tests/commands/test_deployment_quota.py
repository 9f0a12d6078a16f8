"""A team's quota is exact, however many ask at the same moment and from wherever."""

import asyncio
from typing import Any

import msgspec
import pytest

from commands.bus import Bus, Context
from commands.deployments import (
    ChangeTeamQuota,
    DeleteDeployment,
    ReportReplicas,
    RequestDeployment,
    RollBackDeployment,
    ScaleDeployment,
    StartDeployment,
    StopDeployment,
    TransferDeployment,
    UpdateDeployment,
)
from commands.work import Actor
from domain.deployments.quota import TEAM_QUOTA, QuotaExceeded
from domain.deployments.values import Capacity, Quota, ReplicaPhase, ReplicaReport, Resources
from domain.kernel.errors import NotAllowed
from tests.wiring import Installation, Person

TEN = Quota(deployments=100, replicas=10)
PROVISIONER = Context(actor=Actor(id="provisioner"))


async def taken(installation: Installation, team_id: str) -> dict[str, Capacity]:
    bus = installation.another_bus()
    state = (await bus.load(TEAM_QUOTA, f"quota-{team_id}", fresh=True)).state
    return {} if state is None else state.allotted


async def replicas(installation: Installation, team_id: str) -> int:
    return sum(each.replicas for each in (await taken(installation, team_id)).values())


def wish(person: Person, number: int, **changes: Any) -> RequestDeployment:
    wanted = {"app_name": f"app-{number}", "image": "tallyport/echo", "port": 8000, "quota": TEN}
    return RequestDeployment(**{"team_id": person.team_id, **wanted, **changes})


async def observe(installation: Installation, deployment_id: str, revision: int = 1) -> None:
    ready = ReplicaReport(
        replica_id=f"{deployment_id}-{revision}",
        revision=revision,
        phase=ReplicaPhase.READY,
        address="127.0.0.1",
        port=9000,
    )
    command = ReportReplicas(deployment_id=deployment_id, replicas=(ready,))
    await installation.dispatch(command, PROVISIONER)


async def test_thirty_at_once_in_three_processes_share_ten_replicas_exactly(
    installation: Installation,
) -> None:
    anna = await installation.register()
    processes: list[Bus] = [installation.another_bus() for _ in range(3)]
    outcomes = await asyncio.gather(
        *(processes[number % 3].dispatch(wish(anna, number), anna.context) for number in range(30)),
        return_exceptions=True,
    )
    refusals = [each for each in outcomes if isinstance(each, BaseException)]
    assert {type(each) for each in refusals} == {QuotaExceeded}
    assert len(refusals) == 20
    assert await replicas(installation, anna.team_id) == 10


async def test_growing_at_once_stays_within_the_quota_too(installation: Installation) -> None:
    anna = await installation.register()
    made = [
        (await installation.dispatch(wish(anna, number), anna.context)).result.deployment_id
        for number in range(6)
    ]
    outcomes = await asyncio.gather(
        *(
            installation.dispatch(
                ScaleDeployment(deployment_id=each, replicas=3, quota=TEN), anna.context
            )
            for each in made
        ),
        return_exceptions=True,
    )
    refused = [each for each in outcomes if isinstance(each, QuotaExceeded)]
    assert len(refused) == 4
    assert await replicas(installation, anna.team_id) == 10


async def test_a_refusal_changes_nothing_and_takes_no_name(installation: Installation) -> None:
    anna = await installation.register()
    before = await installation.store.last_position()
    with pytest.raises(QuotaExceeded):
        await installation.dispatch(wish(anna, 1, replicas=11), anna.context)
    assert await installation.store.last_position() == before
    await installation.dispatch(wish(anna, 1, replicas=10), anna.context)


async def test_what_is_stopped_takes_no_replicas_and_what_is_gone_takes_nothing(
    installation: Installation,
) -> None:
    anna = await installation.register()
    receipt = await installation.dispatch(wish(anna, 1, replicas=10), anna.context)
    first = receipt.result.deployment_id
    await installation.dispatch(StopDeployment(deployment_id=first), anna.context)
    assert await taken(installation, anna.team_id) == {first: Capacity()}
    receipt = await installation.dispatch(wish(anna, 2), anna.context)
    second = receipt.result.deployment_id
    with pytest.raises(QuotaExceeded):
        await installation.dispatch(StartDeployment(deployment_id=first, quota=TEN), anna.context)
    await installation.dispatch(DeleteDeployment(deployment_id=second), anna.context)
    assert await taken(installation, anna.team_id) == {first: Capacity(), second: Capacity()}
    await installation.dispatch(ReportReplicas(deployment_id=second, replicas=()), PROVISIONER)
    assert await taken(installation, anna.team_id) == {first: Capacity()}
    await installation.dispatch(StartDeployment(deployment_id=first, quota=TEN), anna.context)
    assert await replicas(installation, anna.team_id) == 10


async def test_larger_replicas_take_more_and_going_back_takes_what_there_was(
    installation: Installation,
) -> None:
    anna = await installation.register()
    receipt = await installation.dispatch(wish(anna, 1), anna.context)
    deployment_id = receipt.result.deployment_id
    await observe(installation, deployment_id)
    large = Resources(cpu_millis=4000, memory_bytes=1024**3)
    small_quota = msgspec.structs.replace(TEN, cpu_millis=3000)
    update = UpdateDeployment(deployment_id=deployment_id, resources=large, quota=small_quota)
    with pytest.raises(QuotaExceeded):
        await installation.dispatch(update, anna.context)
    update = msgspec.structs.replace(update, quota=TEN)
    await installation.dispatch(update, anna.context)
    [now] = (await taken(installation, anna.team_id)).values()
    assert (now.cpu_millis, now.memory_bytes) == (4000, 1024**3)
    await installation.dispatch(RollBackDeployment(deployment_id=deployment_id), anna.context)
    [now] = (await taken(installation, anna.team_id)).values()
    assert now.cpu_millis == 500


async def test_a_revision_that_failed_gives_back_what_it_took(installation: Installation) -> None:
    anna = await installation.register()
    receipt = await installation.dispatch(wish(anna, 1), anna.context)
    deployment_id = receipt.result.deployment_id
    await observe(installation, deployment_id)
    large = Resources(cpu_millis=4000)
    update = UpdateDeployment(deployment_id=deployment_id, resources=large)
    await installation.dispatch(update, anna.context)
    given_up = ReportReplicas(deployment_id=deployment_id, replicas=(), hopeless_revision=2)
    await installation.dispatch(given_up, PROVISIONER)
    [now] = (await taken(installation, anna.team_id)).values()
    assert now.cpu_millis == 500


async def test_a_transfer_takes_from_the_new_teams_quota_and_gives_back_to_the_old(
    installation: Installation,
) -> None:
    anna = await installation.register()
    acme = await installation.found_team(anna)
    receipt = await installation.dispatch(wish(anna, 1, replicas=3), anna.context)
    deployment_id = receipt.result.deployment_id
    transfer = TransferDeployment(
        deployment_id=deployment_id, team_id=acme, quota=Quota(replicas=2)
    )
    with pytest.raises(QuotaExceeded):
        await installation.dispatch(transfer, anna.context)
    assert await replicas(installation, anna.team_id) == 3
    transfer = msgspec.structs.replace(transfer, quota=TEN)
    await installation.dispatch(transfer, anna.context)
    assert await taken(installation, anna.team_id) == {}
    assert await replicas(installation, acme) == 3


async def test_only_an_admin_of_the_platform_gives_a_team_limits_of_its_own(
    installation: Installation,
) -> None:
    anna = await installation.register()
    command = ChangeTeamQuota(team_id=anna.team_id, limits={"replicas": 20})
    with pytest.raises(NotAllowed):
        await installation.dispatch(command, anna.context)
    admin = msgspec.structs.replace(anna.context.actor, platform_admin=True)
    await installation.dispatch(command, Context(actor=admin))
    await installation.dispatch(wish(anna, 1, replicas=20), anna.context)
    with pytest.raises(QuotaExceeded):
        await installation.dispatch(wish(anna, 2), anna.context)
