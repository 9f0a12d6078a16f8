"""Deployments: asked for, changed, let go; their names owned, their secrets sealed."""

import asyncio

import msgspec
import pytest

from commands.bus import HISTORY_PAGE, Context
from commands.deployments import (
    SECRET_PURPOSE,
    AppNameTaken,
    DeleteDeployment,
    ReportReplicas,
    RestartDeployment,
    RollBackDeployment,
    ScaleDeployment,
    StartDeployment,
    StopDeployment,
    TransferDeployment,
    UpdateDeployment,
)
from commands.work import Actor
from domain.deployments.deployment import BLUEPRINTS_KEPT, DEPLOYMENT, UnknownRevision
from domain.deployments.quota import QuotaExceeded
from domain.deployments.values import (
    InvalidAppName,
    InvalidEnvironment,
    InvalidImage,
    ReplicaPhase,
    ReplicaReport,
    Status,
)
from domain.kernel.errors import DomainError, NotAllowed, NotFound
from domain.teams.values import Role
from infrastructure.sealing import subjects_in
from tests.wiring import Installation, Person

PROVISIONER = Context(actor=Actor(id="provisioner"))


async def observe(installation: Installation, deployment_id: str, *phases: ReplicaPhase) -> None:
    replicas = tuple(
        ReplicaReport(
            replica_id=f"{deployment_id}-{n}",
            revision=1,
            phase=phase,
            address="127.0.0.1",
            port=9000 + n,
        )
        for n, phase in enumerate(phases)
    )
    await installation.dispatch(
        ReportReplicas(deployment_id=deployment_id, replicas=replicas), PROVISIONER
    )


async def delete(installation: Installation, person: Person, deployment_id: str) -> None:
    await installation.dispatch(DeleteDeployment(deployment_id=deployment_id), person.context)
    await observe(installation, deployment_id)


async def test_secrets_are_sealed_in_the_log_and_open_only_with_the_team_s_key(
    installation: Installation,
) -> None:
    anna = await installation.register()
    deployment = await installation.deploy(
        anna,
        environment={"TOKEN": "a very secret token", "EMPTY": ""},
        registry_username="robot",
        registry_password="a registry password",
    )
    [stored] = await installation.store.read_stream(deployment.deployment_id)
    for secret in (b"very secret", b"registry password"):
        assert secret not in stored.data
    assert subjects_in(stored.data) == {anna.team_id}
    content = msgspec.json.decode(stored.data)
    vault = installation.another_vault()
    await vault.load([anna.team_id])

    def opened(sealed: str) -> str:
        return vault.open(sealed, purpose="deployment secret")

    assert opened(content["environment"]["TOKEN"]) == "a very secret token"
    assert opened(content["environment"]["EMPTY"]) == ""
    assert opened(content["registry_auth"]["password"]) == "a registry password"


@pytest.mark.parametrize(
    ("wish", "refusal"),
    [
        ({"app_name": "No"}, InvalidAppName),
        ({"image": "--privileged"}, InvalidImage),
        ({"environment": {"LD_PRELOAD": "x"}}, InvalidEnvironment),
        ({"environment": {"A": "\ud800"}}, InvalidEnvironment),
        ({"replicas": 101}, QuotaExceeded),
    ],
)
async def test_a_wish_that_breaks_a_rule_leaves_no_trace(
    installation: Installation, wish: dict[str, object], refusal: type[DomainError]
) -> None:
    anna = await installation.register()
    before = await installation.store.last_position()
    with pytest.raises(refusal):
        await installation.deploy(anna, **{"app_name": "hello", **wish})  # type: ignore[arg-type]
    assert await installation.store.last_position() == before
    await installation.deploy(anna, "hello")


async def test_thirty_want_one_app_name_and_one_gets_it(installation: Installation) -> None:
    anna = await installation.register()
    outcomes = await asyncio.gather(
        *(installation.deploy(anna, "hello") for _ in range(30)), return_exceptions=True
    )
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert {type(o) for o in outcomes if isinstance(o, BaseException)} == {AppNameTaken}


async def test_an_app_name_is_free_again_when_the_last_replica_of_its_deployment_is_gone(
    installation: Installation,
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    first = (await installation.deploy(anna, "hello")).deployment_id
    await observe(installation, first, ReplicaPhase.READY)
    await installation.dispatch(DeleteDeployment(deployment_id=first), anna.context)
    with pytest.raises(AppNameTaken):
        await installation.deploy(bert, "hello")
    await observe(installation, first, ReplicaPhase.DRAINING)
    with pytest.raises(AppNameTaken):
        await installation.deploy(bert, "hello")
    await observe(installation, first)
    second = (await installation.deploy(bert, "hello")).deployment_id
    await observe(installation, first)  # a late report does not take the name away
    with pytest.raises(AppNameTaken):
        await installation.deploy(anna, "hello")
    await delete(installation, bert, second)
    await installation.deploy(anna, "hello")


async def test_what_is_asked_for_shows_in_the_answer(installation: Installation) -> None:
    anna = await installation.register()
    deployment = await installation.deploy(anna, replicas=2)
    assert (deployment.status, deployment.replicas) == (Status.PENDING, 2)
    deployment_id = deployment.deployment_id
    await observe(installation, deployment_id, ReplicaPhase.READY, ReplicaPhase.READY)
    for command, status in (
        (ScaleDeployment(deployment_id=deployment_id, replicas=3), Status.SCALING),
        (StopDeployment(deployment_id=deployment_id), Status.STOPPING),
        (StartDeployment(deployment_id=deployment_id), Status.STARTING),
        (DeleteDeployment(deployment_id=deployment_id), Status.DELETING),
    ):
        receipt = await installation.dispatch(command, anna.context)
        assert receipt.result.status is status


@pytest.mark.parametrize(
    "kind", [StopDeployment, StartDeployment, DeleteDeployment], ids=lambda kind: kind.__name__
)
async def test_somebody_elses_deployment_and_one_that_is_gone_are_not_found(
    installation: Installation, kind: type[StopDeployment]
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    deployment_id = (await installation.deploy(anna)).deployment_id
    with pytest.raises(NotFound):
        await installation.dispatch(kind(deployment_id=deployment_id), bert.context)
    await delete(installation, anna, deployment_id)
    with pytest.raises(NotFound):
        await installation.dispatch(kind(deployment_id=deployment_id), anna.context)


async def test_a_key_without_the_scope_changes_nothing(installation: Installation) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    reader = Context(
        actor=msgspec.structs.replace(
            anna.context.actor, grants={anna.team_id: frozenset({"deployments:read"})}
        )
    )
    with pytest.raises(NotAllowed):
        await installation.dispatch(StopDeployment(deployment_id=deployment_id), reader)


async def test_a_report_that_comes_twice_is_recorded_once(installation: Installation) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    for _ in range(3):
        await observe(installation, deployment_id, ReplicaPhase.READY)
    assert len(await installation.store.read_stream(deployment_id)) == 5


async def test_what_is_transferred_is_sealed_for_the_new_team_only(
    installation: Installation,
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    team_id = await installation.found_team(anna)
    deployment_id = (
        await installation.deploy(
            anna,
            environment={"TOKEN": "very secret"},
            registry_username="robot",
            registry_password="also secret",
        )
    ).deployment_id
    transfer = TransferDeployment(deployment_id=deployment_id, team_id=team_id)
    for person in (anna, anna):  # the second time changes nothing
        await installation.dispatch(transfer, person.context)
    events = await installation.store.read_stream(deployment_id)
    assert len(events) == 2
    assert events[-1].metadata.team_id == team_id
    assert subjects_in(events[-1].data) == {team_id}

    state = (await installation.another_bus().load(DEPLOYMENT, deployment_id, fresh=True)).present
    assert (state.team_id, state.revision) == (team_id, 2)
    await installation.vault.destroy([anna.team_id])
    vault = installation.another_vault()
    await vault.load([team_id])
    auth = state.blueprint.registry_auth
    assert auth is not None
    texts = {**state.blueprint.environment, "password": auth.password}
    opened = {name: vault.open(text, purpose=SECRET_PURPOSE) for name, text in texts.items()}
    assert opened == {"TOKEN": "very secret", "password": "also secret"}

    for team in (bert.team_id, "org-0000000000"):  # nobody gives to whom they cannot see
        command = TransferDeployment(deployment_id=deployment_id, team_id=team)
        with pytest.raises(NotFound):
            await installation.dispatch(command, anna.context)
    with pytest.raises(NotFound):
        await installation.dispatch(transfer, bert.context)
    await installation.add_member(team_id, bert, Role.VIEWER)
    taking = TransferDeployment(deployment_id=deployment_id, team_id=bert.team_id)
    with pytest.raises(NotAllowed):
        await installation.dispatch(taking, bert.context)
    kept = (await installation.deploy(bert, "his-own")).deployment_id
    giving = TransferDeployment(deployment_id=kept, team_id=team_id)
    with pytest.raises(NotAllowed):
        await installation.dispatch(giving, bert.context)


async def test_every_revision_there_was_can_be_gone_back_to(installation: Installation) -> None:
    anna = await installation.register()
    deployment_id = (
        await installation.deploy(anna, environment={"TOKEN": "of the first"})
    ).deployment_id
    bus, context = installation.another_bus(), anna.context
    restart = RestartDeployment(deployment_id=deployment_id)
    for _ in range(HISTORY_PAGE):  # so that the revisions to come are on the history's next page
        await bus.dispatch(restart, context)
    for port in (8001, 8002):
        update = UpdateDeployment(deployment_id=deployment_id, port=port, environment={})
        await bus.dispatch(update, context)
    for _ in range(BLUEPRINTS_KEPT):
        await bus.dispatch(restart, context)
    old = HISTORY_PAGE + 2
    for revision, port in ((old, 8001), (1, 8000), (old + 1, 8002)):
        back = RollBackDeployment(deployment_id=deployment_id, revision=revision)
        await bus.dispatch(back, context)
        state = (await bus.load(DEPLOYMENT, deployment_id, fresh=True)).present
        assert revision not in state.blueprints
        assert state.blueprint.port == port
        sealed = state.blueprint.environment
        vault = installation.another_vault()
        await vault.load([anna.team_id])
        opened = {name: vault.open(text, purpose=SECRET_PURPOSE) for name, text in sealed.items()}
        assert opened == ({"TOKEN": "of the first"} if revision == 1 else {})
    for unknown in (0, state.revision + 1):
        back = RollBackDeployment(deployment_id=deployment_id, revision=unknown)
        with pytest.raises(UnknownRevision):
            await bus.dispatch(back, context)


async def test_what_was_another_teams_is_not_gone_back_to(installation: Installation) -> None:
    anna = await installation.register()
    team_id = await installation.found_team(anna)
    deployment_id = (await installation.deploy(anna)).deployment_id
    transfer = TransferDeployment(deployment_id=deployment_id, team_id=team_id)
    await installation.dispatch(transfer, anna.context)
    update = UpdateDeployment(deployment_id=deployment_id, port=8001)
    await installation.dispatch(update, anna.context)
    with pytest.raises(UnknownRevision) as refused:
        await installation.dispatch(
            RollBackDeployment(deployment_id=deployment_id, revision=1), anna.context
        )
    assert refused.value.details == {"first": 2, "last": 3}
    await installation.dispatch(
        RollBackDeployment(deployment_id=deployment_id, revision=2), anna.context
    )
    state = (await installation.another_bus().load(DEPLOYMENT, deployment_id, fresh=True)).present
    assert (state.revision, state.blueprint.port) == (4, 8000)
