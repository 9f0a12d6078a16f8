"""The deployments as their owners see them, and the routes as the gateway does."""

from commands.bus import Context
from commands.deployments import (
    DeleteDeployment,
    ReportReplicas,
    ScaleDeployment,
    StopDeployment,
)
from commands.work import Actor
from domain.deployments import events
from domain.deployments.values import HealthCheck, ReplicaPhase, ReplicaReport
from projections.deployments import _EVENTS, DEPLOYMENTS
from projections.gateway import ROUTES
from tests.projections.asking import digest, rebuild
from tests.wiring import Installation

PROVISIONER = Context(actor=Actor(id="provisioner"))


async def observe(installation: Installation, deployment_id: str, **phases: ReplicaPhase) -> None:
    replicas = tuple(
        ReplicaReport(
            replica_id=name,
            revision=1,
            phase=phase,
            address="127.0.0.1",
            port=9000 + int(name[1:]),
            exit_code=137 if phase is ReplicaPhase.FAILED else None,
            reason="crash" if phase is ReplicaPhase.FAILED else None,
        )
        for name, phase in phases.items()
    )
    command = ReportReplicas(deployment_id=deployment_id, replicas=replicas)
    await installation.dispatch(command, PROVISIONER)


async def test_a_deployment_is_shown_as_it_was_asked_for_without_its_secrets(
    installation: Installation,
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    first = await installation.deploy(
        anna,
        "first",
        environment={"B": "secret of B", "A": "secret of A"},
        replicas=2,
        visibility="public",
        health_check=HealthCheck(path="/health"),
        registry_username="robot",
        registry_password="secret of robot",
    )
    second = await installation.deploy(bert, "second")
    installation.start_views([DEPLOYMENTS, ROUTES])
    rows = {row["app_name"]: row for row in await installation.rows(DEPLOYMENTS)}
    assert {name: row["id"] for name, row in rows.items()} == {
        "first": first.deployment_id,
        "second": second.deployment_id,
    }
    assert rows["first"]["environment_names"] == ["A", "B"]
    assert rows["first"]["resources"] == {}  # all as by default
    assert rows["first"]["health_check"]["path"] == "/health"
    assert (rows["first"]["status"], rows["first"]["replicas"]) == ("pending", 2)
    assert rows["second"]["team_id"] == bert.team_id
    assert "secret of" not in str(rows)
    assert "sealed" not in str(rows)
    routes = {row["app_name"]: row for row in await installation.rows(ROUTES)}
    assert {name: row["visibility"] for name, row in routes.items()} == {
        "first": "public",
        "second": "private",
    }
    assert routes["first"]["replicas"] == []


def test_every_event_of_a_deployment_counts_in_its_rows() -> None:
    # What gateways have taken over is told by the version in their row: no event may be left out.
    of_the_quota = {events.TeamQuotaChanged, events.CapacityAllotted, events.CapacityFreed}
    facts = {each for each in vars(events).values() if isinstance(each, type)} - of_the_quota
    assert {each for each in facts if each.__module__ == events.__name__} == set(_EVENTS)


async def test_a_deployments_life_can_be_followed(installation: Installation) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna, "one", replicas=2)).deployment_id
    await installation.deploy(anna, "other")
    installation.start_views([DEPLOYMENTS, ROUTES])

    async def shown() -> tuple[str, list[str], list[str]]:
        [row] = [r for r in await installation.rows(DEPLOYMENTS) if r["id"] == deployment_id]
        [route] = [
            r for r in await installation.rows(ROUTES) if r["deployment_id"] == deployment_id
        ]
        running = [f"{replica['id']} {replica['phase']}" for replica in row["running"]]
        return row["status"], running, [replica["id"] for replica in route["replicas"]]

    await observe(installation, deployment_id, r1=ReplicaPhase.READY, r2=ReplicaPhase.STARTING)
    assert await shown() == ("pending", ["r1 ready", "r2 starting"], ["r1"])
    await observe(installation, deployment_id, r1=ReplicaPhase.READY, r2=ReplicaPhase.READY)
    assert await shown() == ("running", ["r1 ready", "r2 ready"], ["r1", "r2"])
    await observe(installation, deployment_id, r1=ReplicaPhase.UNHEALTHY, r2=ReplicaPhase.READY)
    assert await shown() == ("running", ["r1 unhealthy", "r2 ready"], ["r2"])
    await observe(installation, deployment_id, r1=ReplicaPhase.FAILED, r2=ReplicaPhase.READY)
    assert await shown() == ("running", ["r2 ready", "r1 failed"], ["r2"])
    [row] = [r for r in await installation.rows(DEPLOYMENTS) if r["id"] == deployment_id]
    assert row["running"][1]["reason"] == "crash"
    assert row["restarts"] == 0
    assert row["deployed_at"] is not None

    command = ScaleDeployment(deployment_id=deployment_id, replicas=1)
    await installation.dispatch(command, anna.context)
    assert await shown() == ("scaling", ["r2 ready"], ["r2"])
    await observe(installation, deployment_id, r2=ReplicaPhase.READY)
    assert (await shown())[0] == "running"
    await observe(installation, deployment_id)
    assert (await shown())[1:] == ([], [])

    await installation.dispatch(StopDeployment(deployment_id=deployment_id), anna.context)
    assert (await shown())[0] == "stopping"
    await observe(installation, deployment_id)
    assert (await shown())[0] == "stopped"


async def test_a_restart_counts_once_and_one_that_was_not_seen_counts_too(
    installation: Installation,
) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    await installation.deploy(anna, "other")
    installation.start_views([DEPLOYMENTS])

    async def see(phase: ReplicaPhase, restarts: int) -> None:
        reason = "crash" if phase is ReplicaPhase.FAILED else None
        seen = ReplicaReport(
            replica_id="r1",
            revision=1,
            phase=phase,
            address="127.0.0.1",
            port=9001,
            restarts=restarts,
            reason=reason,
        )
        command = ReportReplicas(deployment_id=deployment_id, replicas=(seen,))
        await installation.dispatch(command, PROVISIONER)

    for phase, restarts in (
        (ReplicaPhase.READY, 0),
        (ReplicaPhase.FAILED, 0),
        (ReplicaPhase.STARTING, 1),
        (ReplicaPhase.FAILED, 1),
        (ReplicaPhase.FAILED, 3),  # the second one was over too soon
        (ReplicaPhase.READY, 4),
    ):
        await see(phase, restarts)
    rows = {row["id"]: row for row in await installation.rows(DEPLOYMENTS)}
    assert rows[deployment_id]["restarts"] == 4
    assert sorted(row["restarts"] for row in rows.values()) == [0, 4]
    [replica] = rows[deployment_id]["running"]
    assert (replica["phase"], replica["restarts"], replica["reason"]) == ("ready", 4, None)


async def test_a_stopping_deployment_gets_no_more_requests_at_once(
    installation: Installation,
) -> None:
    anna = await installation.register()
    ids = [(await installation.deploy(anna, name)).deployment_id for name in ("one", "two")]
    for deployment_id in ids:
        await observe(installation, deployment_id, r1=ReplicaPhase.READY)
    installation.start_views([ROUTES])
    await installation.dispatch(StopDeployment(deployment_id=ids[0]), anna.context)
    routes = {row["deployment_id"]: row for row in await installation.rows(ROUTES)}
    assert (routes[ids[0]]["replicas"], routes[ids[0]]["draining"]) == ([], ["r1"])
    assert routes[ids[1]]["replicas"] == [{"id": "r1", "address": "127.0.0.1", "port": 9001}]
    await installation.dispatch(DeleteDeployment(deployment_id=ids[0]), anna.context)
    is_open = {row["deployment_id"]: row["is_open"] for row in await installation.rows(ROUTES)}
    assert is_open == {ids[0]: False, ids[1]: True}
    await observe(installation, ids[0])
    assert [row["deployment_id"] for row in await installation.rows(ROUTES)] == [ids[1]]


async def test_why_it_failed_is_shown_until_it_recovers(installation: Installation) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    installation.start_views([DEPLOYMENTS])
    command = ReportReplicas(deployment_id=deployment_id, replicas=(), problem="no such image")
    await installation.dispatch(command, PROVISIONER)
    [row] = await installation.rows(DEPLOYMENTS)
    assert (row["status"], row["failure"]) == ("failed", "no such image")
    await observe(installation, deployment_id, r1=ReplicaPhase.READY)
    [row] = await installation.rows(DEPLOYMENTS)
    assert (row["status"], row["failure"]) == ("running", None)


async def test_a_deleted_deployment_is_gone_and_its_name_may_come_again(
    installation: Installation,
) -> None:
    anna = await installation.register()
    first = (await installation.deploy(anna, "hello")).deployment_id
    await installation.dispatch(DeleteDeployment(deployment_id=first), anna.context)
    await observe(installation, first)
    second = (await installation.deploy(anna, "hello")).deployment_id
    installation.start_views([DEPLOYMENTS, ROUTES])
    assert [row["id"] for row in await installation.rows(DEPLOYMENTS)] == [second]
    assert [row["deployment_id"] for row in await installation.rows(ROUTES)] == [second]


async def test_replaying_twice_gives_the_same_view(installation: Installation) -> None:
    anna = await installation.register()
    for number in range(4):
        deployment_id = (await installation.deploy(anna, f"app-{number}")).deployment_id
        await observe(installation, deployment_id, r1=ReplicaPhase.READY)
    await installation.dispatch(DeleteDeployment(deployment_id=deployment_id), anna.context)
    installation.start_views([DEPLOYMENTS, ROUTES])
    for view in (DEPLOYMENTS, ROUTES):
        before = await digest(installation, view)
        await rebuild(installation, view)
        assert await digest(installation, view) == before
