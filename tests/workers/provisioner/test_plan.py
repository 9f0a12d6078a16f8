"""The decisions, without any engine."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from domain.deployments.values import ReplicaPhase, Resources
from infrastructure.containers import ActualReplica, ReplicaState
from tests.workers.provisioner.scene import Attentive, wanted
from workers.provisioner import DesiredDeployment, ProvisionerOptions
from workers.provisioner.backoff import LONGEST_SECONDS, delay_seconds
from workers.provisioner.health import Health
from workers.provisioner.observe import observe, words_about_end
from workers.provisioner.plan import (
    Action,
    Drain,
    Memory,
    Remove,
    Restart,
    Start,
    StartFailure,
    plan,
)
from workers.provisioner.traffic import GatewayReport, ReplicasAtGateway, Traffic, place_of

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OPTIONS = ProvisionerOptions()
READY, STARTING, UNHEALTHY = ReplicaPhase.READY, ReplicaPhase.STARTING, ReplicaPhase.UNHEALTHY


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def replica(number: int = 1, *, of: DesiredDeployment, **fields: object) -> ActualReplica:
    spec = of.replica(number)
    known: dict[str, object] = {
        "replica_id": spec.replica_id,
        "engine_id": f"engine-{spec.replica_id}",
        "deployment_id": spec.deployment_id,
        "team_id": spec.team_id,
        "revision": spec.revision,
        "config_hash": spec.config_hash,
        "restarts": 0,
        "crashes": 0,
        "reason": None,
        "state": ReplicaState.RUNNING,
        "address": "10.0.0.2",
        "port": 8080,
        "started_at": ago(100),
    }
    return ActualReplica(**{**known, **fields})  # type: ignore[arg-type]


def ended(number: int = 1, *, of: DesiredDeployment, **fields: object) -> ActualReplica:
    known: dict[str, object] = {
        "state": ReplicaState.EXITED,
        "exit_code": 1,
        "started_at": ago(11),
        "finished_at": ago(10),
    }
    return replica(number, of=of, **{**known, **fields})


def health(*replicas: ActualReplica, phase: ReplicaPhase = READY, since: float = 50) -> Memory:
    return Memory(
        health={
            each.engine_id: Health(phase=phase, since=ago(since), reason="port 8080 is not open")
            for each in replicas
        },
        traffic=Attentive(),
    )


def steps(
    desired: DesiredDeployment, actual: list[ActualReplica], memory: Memory | None = None
) -> list[Action]:
    return plan(desired, actual, memory or Memory(), now=NOW, options=OPTIONS)


def test_what_is_missing_is_started() -> None:
    desired = wanted(replicas=3)
    there = replica(2, of=desired)
    assert steps(desired, [there]) == [Start(desired.replica(1)), Start(desired.replica(3))]


def test_when_all_is_as_wanted_nothing_is_done() -> None:
    desired = wanted(replicas=2)
    actual = [replica(1, of=desired), replica(2, of=desired)]
    assert steps(desired, actual, health(*actual)) == []
    assert steps(wanted(replicas=0), []) == []


def test_a_half_made_replica_is_started_and_does_not_count_as_a_restart() -> None:
    desired = wanted(replicas=1)
    half = replica(1, of=desired, state=ReplicaState.CREATED, restarts=4)
    [start] = steps(desired, [half])
    assert isinstance(start, Start)
    assert start.spec.restarts == 4


def at_gateway(
    *serving: ActualReplica, idle: tuple[ActualReplica, ...] = (), version: int = 7
) -> GatewayReport:
    """Return what a living gateway says of one deployment."""
    said = ReplicasAtGateway(
        version=version,
        serving={each.replica_id: place_of(each) for each in serving},
        idle=frozenset(each.replica_id for each in idle),
    )
    return GatewayReport(is_alive=True, deployments={"dpl-1": said})


def said_by(memory: Memory, *gateways: GatewayReport) -> Memory:
    return msgspec.structs.replace(memory, traffic=Traffic(gateways=gateways))


def silent(gateway: GatewayReport) -> GatewayReport:
    return msgspec.structs.replace(gateway, is_alive=False)


def test_an_old_replica_stays_until_every_living_gateway_sends_requests_to_the_new_one() -> None:
    old, new = wanted(replicas=1), wanted(replicas=1, revision=2)
    before, after = replica(1, of=old), replica(1, of=new)
    memory = health(before, after)
    knows, lags = at_gateway(before, after), at_gateway(before)
    elsewhere = msgspec.structs.replace(after, address="10.0.0.9")
    for gateways in ([], [lags], [knows, lags], [silent(knows)], [at_gateway(before, elsewhere)]):
        assert steps(new, [before, after], said_by(memory, *gateways)) == []
    for gateways in ([knows], [knows, knows], [knows, silent(lags)]):
        assert steps(new, [before, after], said_by(memory, *gateways)) == [Drain(before)]


def test_a_drained_replica_is_stopped_when_no_gateway_has_a_request_there_or_at_last() -> None:
    desired = wanted(replicas=1, version=7)
    kept, extra = replica(1, of=desired), replica(2, of=desired)
    assert steps(desired, [kept, extra], health(kept, extra)) == [Drain(extra)]
    idle, busy = at_gateway(kept, idle=(extra,)), at_gateway(kept)
    behind = at_gateway(kept, idle=(extra,), version=6)
    for seconds, gateways, is_stopped in (
        (0, [idle], True),
        (0, [idle, idle], True),
        (29, [busy], False),
        (29, [idle, busy], False),
        (29, [behind], False),
        (29, [idle, silent(idle)], False),
        (30, [idle, busy], True),
        (30, [behind, silent(busy)], True),
    ):
        memory = msgspec.structs.replace(
            health(kept, extra), drained_at={extra.engine_id: ago(seconds)}
        )
        expected = [Remove(extra)] if is_stopped else []
        assert steps(desired, [kept, extra], said_by(memory, *gateways)) == expected


def test_a_replica_that_a_gateway_may_send_to_is_drained_even_if_we_never_saw_it_ready() -> None:
    desired = wanted(replicas=0)
    extra = replica(1, of=desired)
    memory = health(extra, phase=STARTING)
    assert steps(desired, [extra], said_by(memory, at_gateway())) == [Remove(extra)]
    assert steps(desired, [extra], said_by(memory, silent(at_gateway(extra)))) == [Drain(extra)]


def test_of_one_revision_too_nothing_is_taken_away_before_the_rest_serves() -> None:
    desired = wanted(replicas=1)
    unwell, extra = replica(1, of=desired), replica(2, of=desired)
    assert steps(desired, [unwell, extra], health(extra)) == []
    assert steps(desired, [unwell, extra], health(unwell, extra)) == [Drain(extra)]


def test_it_is_in_rotation_when_each_gateway_sends_requests_to_all_that_is_ready() -> None:
    desired = wanted(replicas=2)
    actual = [replica(1, of=desired), replica(2, of=desired)]

    def is_in_rotation(memory: Memory, phase: str = "starting") -> bool:
        seen = msgspec.structs.replace(desired, phase=phase)
        return observe(seen, actual, memory, draining=frozenset()).in_rotation

    both, one = at_gateway(*actual), at_gateway(actual[0])
    assert is_in_rotation(said_by(health(*actual), both))
    assert not is_in_rotation(said_by(health(*actual), one))
    assert not is_in_rotation(said_by(health(*actual)))
    assert is_in_rotation(said_by(health(actual[0]), one))
    assert is_in_rotation(said_by(health(*actual), one), phase="running")


@pytest.mark.parametrize("state", list(ReplicaState))
def test_what_never_served_is_removed_at_once(state: ReplicaState) -> None:
    desired = wanted(replicas=0)
    extra = replica(1, of=desired, state=state)
    assert steps(desired, [extra], health(extra, phase=STARTING)) == [Remove(extra)]


def test_an_update_takes_an_old_replica_away_for_each_new_one_that_is_ready() -> None:
    old, new = wanted(replicas=2), wanted(replicas=2, revision=2)
    before = [replica(1, of=old), replica(2, of=old)]
    after = [replica(1, of=new), replica(2, of=new)]
    assert steps(new, before, health(*before)) == [
        Start(new.replica(1)),
        Start(new.replica(2)),
    ]
    assert steps(new, before + after, health(*before)) == []
    one_ready = health(*before, after[0])
    assert steps(new, before + after, one_ready) == [Drain(before[1])]
    all_ready = health(*before, *after)
    assert steps(new, before + after, all_ready) == [Drain(before[0]), Drain(before[1])]


def test_an_update_that_crashes_leaves_the_old_replicas_serving() -> None:
    old, new = wanted(replicas=1), wanted(replicas=1, revision=2)
    serving, crashed = replica(1, of=old), ended(1, of=new, crashes=5)
    assert [type(step) for step in steps(new, [serving, crashed], health(serving))] == []


def test_an_old_replica_that_ended_is_removed() -> None:
    old, new = wanted(replicas=1), wanted(replicas=1, revision=2)
    gone = ended(1, of=old)
    assert steps(new, [gone]) == [Remove(gone), Start(new.replica(1))]


def test_an_ended_replica_is_started_again_after_its_wait_and_knows_why() -> None:
    desired = wanted(replicas=1)
    crashed = ended(1, of=desired, crashes=1, restarts=7, finished_at=ago(0.5))
    assert steps(desired, [crashed]) == []
    crashed = msgspec.structs.replace(crashed, finished_at=ago(3))
    [restart] = steps(desired, [crashed], Memory(last_words={crashed.engine_id: "no database"}))
    assert isinstance(restart, Restart)
    assert (restart.spec.restarts, restart.spec.crashes) == (8, 2)
    assert restart.spec.reason == "no database"


def test_a_crash_loop_waits_longer_each_time_and_never_more_than_five_minutes() -> None:
    waits = [delay_seconds(failures, key="dpl-1-1-1") for failures in range(40)]
    assert waits[0] == 0
    assert 0.75 <= waits[1] <= 1
    assert waits == sorted(waits[:9]) + waits[9:]
    assert all(0.75 * LONGEST_SECONDS <= wait <= LONGEST_SECONDS for wait in waits[10:])
    assert delay_seconds(5, key="a") != delay_seconds(5, key="b")
    assert delay_seconds(5, key="a") == delay_seconds(5, key="a")


def test_a_replica_that_ran_well_for_long_begins_a_new_count_of_crashes() -> None:
    desired = wanted(replicas=1)
    crashed = ended(1, of=desired, crashes=9, started_at=ago(1000), finished_at=ago(2))
    [restart] = steps(desired, [crashed])
    assert isinstance(restart, Restart)
    assert restart.spec.crashes == 1


def test_an_engine_whose_clock_is_ahead_delays_nothing_for_ever() -> None:
    desired = wanted(replicas=1)
    crashed = ended(1, of=desired, finished_at=NOW + timedelta(hours=1))
    assert plan(
        desired, [crashed], Memory(), now=NOW + timedelta(hours=1, seconds=2), options=OPTIONS
    )


def test_a_failed_start_is_tried_again_only_after_its_wait() -> None:
    desired = wanted(replicas=1)
    for seconds, expected in ((5, []), (-5, [Start(desired.replica(1))])):
        failure = StartFailure(
            count=3, retry_at=NOW + timedelta(seconds=seconds), reason="image x not found"
        )
        memory = Memory(start_failures={desired.replica_id(1): failure})
        assert steps(desired, [], memory) == expected


def test_a_replica_removed_by_hand_comes_back_as_a_restart() -> None:
    desired = wanted(replicas=1)
    [start] = steps(desired, [], Memory(restarts={desired.replica_id(1): 2}))
    assert isinstance(start, Start)
    assert start.spec.restarts == 3


def test_a_replica_that_never_opens_its_port_is_started_again_with_the_reason() -> None:
    desired = wanted(replicas=1)
    stuck = replica(1, of=desired)
    assert steps(desired, [stuck], health(stuck, phase=STARTING, since=59)) == []
    [restart] = steps(desired, [stuck], health(stuck, phase=STARTING, since=61))
    assert isinstance(restart, Restart)
    assert restart.spec.reason == "it never became ready within 60 s: port 8080 is not open"
    assert restart.spec.crashes == 1
    again = msgspec.structs.replace(stuck, crashes=1)
    assert steps(desired, [again], health(again, phase=STARTING, since=61)) == []


def test_a_replica_that_stays_unhealthy_is_started_again() -> None:
    desired = wanted(replicas=1)
    sick = replica(1, of=desired)
    assert steps(desired, [sick], health(sick, phase=UNHEALTHY, since=30)) == []
    [restart] = steps(desired, [sick], health(sick, phase=UNHEALTHY, since=61))
    assert isinstance(restart, Restart)


@pytest.mark.parametrize(("served_seconds", "crashes"), [(10, 6), (600, 1)])
def test_a_replica_that_was_well_for_long_before_it_fell_ill_begins_a_new_count(
    served_seconds: float, crashes: int
) -> None:
    desired = wanted(replicas=1)
    sick = replica(1, of=desired, crashes=5, started_at=ago(2000 + served_seconds))
    [restart] = steps(desired, [sick], health(sick, phase=UNHEALTHY, since=2000))
    assert isinstance(restart, Restart)
    assert restart.spec.crashes == crashes


def test_replicas_with_another_content_than_wanted_are_replaced_one_at_a_time() -> None:
    desired = wanted(replicas=2)
    actual = [replica(n, of=desired, config_hash="tampered") for n in (1, 2)]
    assert steps(desired, actual, health(*actual)) == [Drain(actual[0])]
    assert steps(desired, actual[1:], health(actual[1])) == [Start(desired.replica(1))]
    fresh = replica(1, of=desired)
    assert steps(desired, [fresh, actual[1]], health(fresh, actual[1])) == [Drain(actual[1])]


def test_another_number_of_processes_is_another_content_and_the_usual_one_none() -> None:
    usual, more = wanted(), wanted(resources=Resources(pids=512))
    assert (
        usual.replica(1).config_hash == "828aa9cacd845fbc"
    )  # of those made before it could be chosen
    assert more.replica(1).config_hash != usual.replica(1).config_hash
    assert more.replica(1).resources.pids == 512


def test_the_plan_converges_from_any_state_and_then_rests() -> None:
    """Play the plan against a pretended engine where everything started is ready at once."""
    old, new = wanted(replicas=3), wanted(replicas=2, revision=2)
    actual = [
        replica(1, of=old),
        ended(2, of=old),
        replica(1, of=new, config_hash="tampered"),
        ended(2, of=new),
        replica(5, of=new),
    ]
    drained: dict[str, datetime] = {}
    for _ in range(20):
        memory = msgspec.structs.replace(health(*actual), drained_at=drained)
        actions = steps(new, actual, memory)
        if not actions and not drained.keys() & {each.engine_id for each in actual}:
            break
        for action in actions:
            match action:
                case Start(spec) | Restart(_, spec):
                    actual = [each for each in actual if each.replica_id != spec.replica_id]
                    actual.append(replica(int(spec.replica_id[-1]), of=new))
                case Drain(going):
                    drained[going.engine_id] = ago(100)
                case Remove(going):
                    actual.remove(going)
                    drained.pop(going.engine_id, None)
    assert sorted(each.replica_id for each in actual) == ["dpl-1-2-1", "dpl-1-2-2"]
    assert all(each.config_hash == new.replica(1).config_hash for each in actual)


def test_a_crash_loop_is_reported_as_failed_with_the_last_lines_until_it_is_ready() -> None:
    desired = wanted(replicas=1)
    crashed = ended(1, of=desired, exit_code=3)
    words = words_about_end(crashed, ["starting", "no database"], memory_bytes=1)
    seen = observe(
        desired, [crashed], Memory(last_words={crashed.engine_id: words}), draining=frozenset()
    )
    assert seen.problem == "it ended with exit code 3; its last lines: starting\nno database"
    assert seen.replicas[0].phase is ReplicaPhase.FAILED
    running = replica(1, of=desired, crashes=2, reason=words)
    still = observe(desired, [running], Memory(), draining=frozenset())
    assert still.problem == still.replicas[0].reason == f"crash loop: {words}"
    assert still.replicas[0].phase is ReplicaPhase.FAILED
    well = observe(desired, [running], health(running), draining=frozenset())
    assert (well.problem, well.replicas[0].phase) == (None, READY)


def test_the_end_of_a_replica_is_told_in_words() -> None:
    desired = wanted(replicas=1)
    killed = ended(1, of=desired, exit_code=137)
    assert words_about_end(killed, [], memory_bytes=1) == (
        "it was killed (SIGKILL); it wrote nothing"
    )
    hungry = ended(1, of=desired, exit_code=137, out_of_memory=True)
    assert "more than its 256 MiB of memory" in words_about_end(
        hungry, [], memory_bytes=256 * 1024**2
    )


def test_neither_a_deployment_nor_a_replica_shows_its_environment() -> None:
    secret = wanted(env={"TOKEN": "hunter2"})
    assert "hunter2" not in repr(secret)
    assert "hunter2" not in repr(secret.replica(1))
    assert "hunter2" not in repr(steps(secret, []))


def test_a_revision_is_hopeless_after_a_second_crash_in_a_row_and_not_before() -> None:
    desired = wanted("dpl-a", replicas=2, revision=3)
    once, twice = ended(of=desired), ended(of=desired, crashes=1)
    good = replica(2, of=desired)
    for actual, verdict in (([once, good], None), ([twice, good], 3)):
        seen = observe(desired, actual, health(good), draining=frozenset())
        assert seen.hopeless_revision == verdict


def test_a_revision_that_cannot_be_started_is_hopeless_at_the_third_try() -> None:
    desired = wanted("dpl-a", revision=3)
    for count, verdict in ((2, None), (3, 3)):
        failure = StartFailure(count=count, retry_at=NOW, reason="no such image")
        memory = Memory(start_failures={desired.replica_id(1): failure})
        seen = observe(desired, [], memory, draining=frozenset())
        assert (seen.problem, seen.hopeless_revision) == ("no such image", verdict)


def test_what_an_older_revision_did_says_nothing_about_the_wanted_one() -> None:
    older, desired = wanted("dpl-a", revision=1), wanted("dpl-a", revision=2)
    crashed = ended(of=older, crashes=5)
    seen = observe(desired, [crashed], Memory(), draining=frozenset())
    assert seen.hopeless_revision is None
