"""The bus: every accepted command takes effect once, whoever else is at work."""

import asyncio
from uuid import uuid4

import msgspec
import pytest

from commands.api_keys import CreateApiKey, CreatedApiKey, RevokeApiKey
from commands.bus import Command, Context, Decided, PreconditionFailed, schema_of
from commands.catalogue import HANDLERS
from commands.deployments import (
    ReportReplicas,
    ScaleDeployment,
    StartDeployment,
    StopDeployment,
)
from commands.identity import RegisterUser, UsernameTaken
from commands.work import NOBODY, Actor, Work
from domain.deployments.deployment import DEPLOYMENT, Deployment, DeploymentIsStopped
from domain.deployments.values import ReplicaPhase, ReplicaReport, Status
from domain.kernel.aggregates import CLAIM, Aggregate
from domain.kernel.errors import NotFound
from domain.kernel.events import ValueClaimed
from infrastructure.event_store import Idempotency, Repeated
from tests.wiring import PASSWORD, Installation

PROVISIONER = Context(actor=Actor(id="provisioner"))


def keyed(context: Context, key: bytes) -> Context:
    """The context of a request with an idempotency key."""

    def remember(decided: Decided) -> Idempotency:
        created: CreatedApiKey = decided.result
        return Idempotency(key=key, fingerprint=b"body", answer=created.key_id.encode())

    return msgspec.structs.replace(context, idempotency=remember)


def report(deployment_id: str, number: int) -> ReportReplicas:
    replica = ReplicaReport(
        replica_id=f"{deployment_id}-1",
        revision=1,
        phase=ReplicaPhase.READY,
        address="127.0.0.1",
        port=9000 + number,
    )
    return ReportReplicas(deployment_id=deployment_id, replicas=(replica,))


async def versions(installation: Installation, stream_id: str) -> list[int]:
    return [event.version for event in await installation.store.read_stream(stream_id)]


async def test_two_hundred_commands_at_once_on_one_aggregate_all_take_effect(
    installation: Installation,
) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    receipts = await asyncio.gather(
        *(installation.dispatch(report(deployment_id, n), PROVISIONER) for n in range(200))
    )
    stored = await installation.store.read_stream(deployment_id)
    assert [event.version for event in stored] == list(range(1, len(stored) + 1))
    ports = [
        msgspec.json.decode(event.data)["port"]
        for event in stored
        if event.topic.startswith("deployments.ReplicaBecameReady")
    ]
    assert sorted(ports) == list(range(9000, 9200))
    assert len({receipt.position for receipt in receipts}) == 200


async def test_fifty_commands_of_several_processes_on_one_aggregate_all_take_effect(
    installation: Installation,
) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    buses = [installation.another_bus() for _ in range(5)]
    await asyncio.gather(
        *(buses[n % 5].dispatch(report(deployment_id, n), PROVISIONER) for n in range(50))
    )
    stored = await installation.store.read_stream(deployment_id)
    assert sum("BecameReady" in event.topic for event in stored) == 50


async def test_a_state_that_is_out_of_date_never_refuses_what_is_right(
    installation: Installation,
) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    one, other = installation.another_bus(), installation.another_bus()
    scale = ScaleDeployment(deployment_id=deployment_id, replicas=2)
    await one.dispatch(StopDeployment(deployment_id=deployment_id), anna.context)
    with pytest.raises(DeploymentIsStopped):
        await one.dispatch(scale, anna.context)  # `one` now remembers a stopped deployment
    await other.dispatch(StartDeployment(deployment_id=deployment_id), anna.context)
    await one.dispatch(scale, anna.context)


async def test_a_state_that_is_out_of_date_never_allows_what_is_wrong(
    installation: Installation,
) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    one, other = installation.another_bus(), installation.another_bus()
    scale = ScaleDeployment(deployment_id=deployment_id, replicas=2)
    await one.dispatch(scale, anna.context)
    await other.dispatch(StopDeployment(deployment_id=deployment_id), anna.context)
    again = msgspec.structs.replace(scale, replicas=3)
    with pytest.raises(DeploymentIsStopped):
        await one.dispatch(again, anna.context)


async def test_a_state_that_is_out_of_date_never_swallows_a_wish(
    installation: Installation,
) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    one, other = installation.another_bus(), installation.another_bus()
    stop = StopDeployment(deployment_id=deployment_id)
    await one.dispatch(stop, anna.context)
    await other.dispatch(StartDeployment(deployment_id=deployment_id), anna.context)
    receipt = await one.dispatch(stop, anna.context)  # it remembers: stopping already
    assert receipt.result.status is Status.STOPPING
    assert len(await versions(installation, deployment_id)) == 4


async def test_two_processes_that_take_turns_on_one_aggregate_do_not_disturb_each_other(
    installation: Installation,
) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    buses = [installation.another_bus(), installation.another_bus()]
    for number in range(30):
        await buses[number % 2].dispatch(report(deployment_id, number), PROVISIONER)
    assert await versions(installation, deployment_id) == list(range(1, 1 + 3 + 30 + 1))


async def test_a_command_that_changes_nothing_answers_with_a_position_that_includes_it(
    installation: Installation,
) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    scale = ScaleDeployment(deployment_id=deployment_id, replicas=1)
    receipt = await installation.dispatch(scale, anna.context)
    assert receipt.position == await installation.store.last_position()
    assert await versions(installation, deployment_id) == [1]


async def test_a_thousand_equal_idempotency_keys_at_once_have_one_effect(
    installation: Installation,
) -> None:
    anna = await installation.register()
    command = CreateApiKey(
        team_id=anna.team_id, name="once", scopes=("call:*",), requests_per_minute=1
    )
    context = keyed(anna.context, b"the key")
    outcomes = await asyncio.gather(
        *(installation.dispatch(command, context) for _ in range(1000)), return_exceptions=True
    )
    [receipt] = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert {type(o) for o in outcomes if isinstance(o, BaseException)} == {Repeated}
    made = await installation.query(
        "SELECT originator_id FROM events WHERE topic ~ 'ApiKeyCreated'"
    )
    assert [row["originator_id"] for row in made] == [receipt.result.key_id]
    assert await installation.store.answer_of(b"the key") == (
        b"body",
        receipt.result.key_id.encode(),
        receipt.position,
    )


async def test_a_repeat_of_a_command_that_changed_nothing_is_known_too(
    installation: Installation,
) -> None:
    anna = await installation.register()
    deployment = await installation.deploy(anna)
    stop = StopDeployment(deployment_id=deployment.deployment_id)
    await installation.dispatch(stop, anna.context)

    def remember(_: object) -> Idempotency:
        return Idempotency(key=b"again", fingerprint=b"body", answer=b"stopping")

    context = msgspec.structs.replace(anna.context, idempotency=remember)
    receipt = await installation.dispatch(stop, context)
    with pytest.raises(Repeated):
        await installation.dispatch(stop, context)
    kept = await installation.store.answer_of(b"again")
    assert kept == (b"body", b"stopping", receipt.position)


def expecting(context: Context, stream_id: str, *versions: int) -> Context:
    return msgspec.structs.replace(context, expected={stream_id: versions})


async def test_a_command_is_done_only_in_the_version_that_is_expected(
    installation: Installation,
) -> None:
    anna, berta = await installation.register(), await installation.register("berta")
    dpl = (await installation.deploy(anna)).deployment_id
    stop, start = StopDeployment(deployment_id=dpl), StartDeployment(deployment_id=dpl)
    with pytest.raises(PreconditionFailed):
        await installation.dispatch(stop, expecting(anna.context, dpl, 2))
    with pytest.raises(PreconditionFailed):
        await installation.dispatch(stop, expecting(anna.context, dpl))
    receipt = await installation.dispatch(stop, expecting(anna.context, dpl, 7, 1))
    assert receipt.versions[dpl] == 2
    # Also where nothing would change, and before a rule is told, but not before NotFound.
    with pytest.raises(PreconditionFailed):
        await installation.dispatch(stop, expecting(anna.context, dpl, 1))
    scale = ScaleDeployment(deployment_id=dpl, replicas=2)
    with pytest.raises(PreconditionFailed):
        await installation.dispatch(scale, expecting(anna.context, dpl, 1))
    with pytest.raises(DeploymentIsStopped):
        await installation.dispatch(scale, expecting(anna.context, dpl, 2))
    with pytest.raises(NotFound):
        await installation.dispatch(start, expecting(berta.context, dpl, 1))
    assert await versions(installation, dpl) == [1, 2]


async def test_an_expected_version_is_compared_with_the_log_not_with_what_a_process_remembers(
    installation: Installation,
) -> None:
    anna = await installation.register()
    dpl = (await installation.deploy(anna)).deployment_id
    elsewhere = installation.another_bus()
    await elsewhere.dispatch(StopDeployment(deployment_id=dpl), anna.context)
    start = StartDeployment(deployment_id=dpl)
    with pytest.raises(PreconditionFailed):
        await installation.dispatch(start, expecting(anna.context, dpl, 1))
    await elsewhere.dispatch(start, anna.context)
    scale = ScaleDeployment(deployment_id=dpl, replicas=2)
    receipt = await installation.dispatch(scale, expecting(anna.context, dpl, 3))
    assert receipt.versions[dpl] == 4


async def test_the_id_of_another_kind_of_thing_is_not_found(installation: Installation) -> None:
    anna = await installation.register()
    key = await installation.create_key(anna)
    with pytest.raises(NotFound):
        await installation.dispatch(StopDeployment(deployment_id=key.key_id), anna.context)


async def test_what_the_provisioner_does_belongs_to_the_team_it_does_it_for(
    installation: Installation,
) -> None:
    anna = await installation.register()
    deployment = await installation.deploy(anna)
    await installation.dispatch(report(deployment.deployment_id, 1), PROVISIONER)
    events = await installation.store.read_stream(deployment.deployment_id)
    assert events[-1].metadata.actor == "provisioner"
    assert {event.metadata.team_id for event in events} == {anna.team_id}


async def test_who_did_it_from_where_and_why_is_kept_with_every_event(
    installation: Installation,
) -> None:
    anna = await installation.register()
    context = msgspec.structs.replace(
        anna.context, address="192.0.2.7", correlation_id="req-1", causation_id="evt-1"
    )
    command = CreateApiKey(
        team_id=anna.team_id, name="k", scopes=("call:*",), requests_per_minute=1
    )
    created = (await installation.dispatch(command, context)).result
    await installation.dispatch(RevokeApiKey(key_id=created.key_id), context)
    for event in await installation.store.read_stream(created.key_id):
        assert event.metadata.actor == anna.user_id
        assert event.metadata.team_id == anna.team_id
        assert await installation.address(event.metadata.address) == "192.0.2.7"
        assert event.metadata.correlation_id == "req-1"
        assert event.metadata.causation_id == "evt-1"


async def test_thirty_people_want_one_username_and_one_gets_it(
    installation: Installation,
) -> None:
    buses = [installation.another_bus() for _ in range(3)]
    outcomes = await asyncio.gather(
        *(
            buses[n % 3].dispatch(
                RegisterUser(username="anna", email=f"{uuid4()}@example.com", password=PASSWORD),
                Context(actor=NOBODY),
            )
            for n in range(30)
        ),
        return_exceptions=True,
    )
    winners = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(winners) == 1
    assert {type(o) for o in outcomes if isinstance(o, BaseException)} == {UsernameTaken}
    users = await installation.query("SELECT 1 FROM events WHERE topic ~ 'UserRegistered'")
    assert len(users) == 1


async def test_what_does_not_exist_is_not_found_and_nothing_is_stored(
    installation: Installation,
) -> None:
    anna = await installation.register()
    before = await installation.store.last_position()
    for command in (
        RevokeApiKey(key_id="key-0000000000"),
        StopDeployment(deployment_id="dpl-0000000000"),
        StopDeployment(deployment_id=""),
        StopDeployment(deployment_id="dpl-\0"),
        StopDeployment(deployment_id="dpl-\ud800"),
        StopDeployment(deployment_id="dpl-" + "x" * 100_000),
    ):
        with pytest.raises(NotFound):
            await installation.dispatch(command, anna.context)
    assert await installation.store.last_position() == before


async def many_reports(installation: Installation, deployment_id: str, count: int) -> None:
    for number in range(count):
        await installation.dispatch(report(deployment_id, number), PROVISIONER)


async def test_a_long_stream_is_loaded_from_its_snapshot(installation: Installation) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    await many_reports(installation, deployment_id, 230)
    [kept] = await installation.query("SELECT stream_id, version FROM snapshots")
    assert kept["stream_id"] == deployment_id
    assert kept["version"] >= 200

    # If it is really used, a changed snapshot shows.
    await installation.as_admin(
        "UPDATE snapshots SET state = convert_to(replace(convert_from(state, 'UTF8'),"
        ' \'"app_name":"hello"\', \'"app_name":"snapshot"\'), \'UTF8\')'
    )
    loaded = await installation.another_bus().load(DEPLOYMENT, deployment_id, fresh=True)
    assert loaded.present.app_name == "snapshot"
    assert loaded.version == len(await versions(installation, deployment_id))


async def test_a_snapshot_is_thrown_away_when_the_state_has_another_shape(
    installation: Installation,
) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    await many_reports(installation, deployment_id, 210)
    current = await installation.another_bus().load(DEPLOYMENT, deployment_id, fresh=True)
    await installation.as_admin("UPDATE snapshots SET schema = 'deployment:before', state = 'x'")
    replayed = await installation.another_bus().load(DEPLOYMENT, deployment_id, fresh=True)
    assert replayed.present == current.present
    assert replayed.version == current.version


def test_the_shape_of_a_state_is_told_by_its_fields() -> None:
    class Wider(Deployment, frozen=True, kw_only=True):
        added: int = 0

    wider = Aggregate(name="deployment", state=Wider, evolve=DEPLOYMENT.evolve)  # type: ignore[arg-type]
    assert schema_of(wider) != schema_of(DEPLOYMENT)


async def test_a_broken_snapshot_does_not_stop_a_command(installation: Installation) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    await many_reports(installation, deployment_id, 210)
    await installation.as_admin("UPDATE snapshots SET state = 'not JSON'")
    bus = installation.another_bus()
    await bus.dispatch(StopDeployment(deployment_id=deployment_id), anna.context)


async def test_what_another_process_changed_counts_though_the_command_changes_something_else(
    installation: Installation,
) -> None:
    anna = await installation.register()
    here, elsewhere = installation.another_bus(), installation.another_bus()
    deployment_id = (await installation.deploy(anna)).deployment_id
    command = CreateApiKey(
        team_id=anna.team_id,
        name="k",
        scopes=("call:*",),
        requests_per_minute=1,
        deployment_id=deployment_id,
    )
    await here.dispatch(command, anna.context)
    seen = []

    async def look(_: Look, work: Work) -> None:
        seen.append((await work.load(DEPLOYMENT, deployment_id)).version)
        work.record(work.create(CLAIM, "claim-1"), [ValueClaimed(scope="s", owner_id="o")])

    here._handlers = {**HANDLERS, Look: look}
    await elsewhere.dispatch(report(deployment_id, 1), PROVISIONER)
    await here.dispatch(Look(), anna.context)
    assert len(seen) == 2  # what was in memory was looked at, found old, and looked up again
    assert seen[0] < seen[1] == (await versions(installation, deployment_id))[-1]


class Look(Command, frozen=True):
    """Looks at one thing and changes another."""
