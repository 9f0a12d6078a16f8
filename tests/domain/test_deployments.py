from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.deployments.deployment import (
    DEPLOYMENT,
    Deployment,
    DeploymentIsGoing,
    DeploymentIsStopped,
)
from domain.deployments.events import (
    DeploymentBecameHealthy,
    DeploymentDeleted,
    DeploymentDeletionRequested,
    DeploymentFailed,
    DeploymentRequested,
    DeploymentScaled,
    DeploymentStartRequested,
    DeploymentStopped,
    DeploymentStopRequested,
    ReplicaBecameReady,
    ReplicaBecameUnhealthy,
    ReplicaDraining,
    ReplicaStarted,
    ReplicaStopped,
    RevisionBecameLive,
)
from domain.deployments.values import ReplicaPhase, ReplicaReport, Status
from domain.kernel.errors import DomainError
from domain.kernel.events import Event
from tests.scenario import Action, given


def requested(replicas: int = 1) -> DeploymentRequested:
    return DeploymentRequested(
        deployment_id="dpl-0000000001",
        team_id="org-0000000001",
        app_name="hello",
        image="tallyport/echo",
        port=8000,
        replicas=replicas,
        requested_by="usr-0000000001",
    )


def report(number: int, phase: ReplicaPhase = ReplicaPhase.READY, **more: Any) -> ReplicaReport:
    place = {"address": "127.0.0.1", "port": 9000 + number}
    return ReplicaReport(replica_id=f"r{number}", revision=1, phase=phase, **{**place, **more})


def observe(
    *reports: ReplicaReport, problem: str | None = None, in_rotation: bool = True
) -> Action:
    return lambda deployment: deployment.observe(reports, problem=problem, in_rotation=in_rotation)


def r_started(number: int) -> ReplicaStarted:
    return ReplicaStarted(replica_id=f"r{number}", revision=1)


def r_ready(number: int, port: int = 0) -> ReplicaBecameReady:
    return ReplicaBecameReady(
        replica_id=f"r{number}", address="127.0.0.1", port=port or 9000 + number
    )


def r_stopped(number: int, **more: Any) -> ReplicaStopped:
    return ReplicaStopped(replica_id=f"r{number}", **more)


healthy = DeploymentBecameHealthy(ready=1)
running = (requested(), r_started(1), r_ready(1), healthy)
stopping = (*running, DeploymentStopRequested())
stopped = (*stopping, r_stopped(1), DeploymentStopped())
deleting = (*running, DeploymentDeletionRequested())
deleted = (*deleting, r_stopped(1), DeploymentDeleted())


# What people ask for


def test_a_requested_deployment_is_pending_and_wants_its_replicas() -> None:
    given(DEPLOYMENT, requested(3)).then_state(status=Status.PENDING, target=3, replicas={})


def test_a_deployment_is_scaled() -> None:
    (
        given(DEPLOYMENT, *running)
        .when(lambda d: d.scale(replicas=3))
        .then(DeploymentScaled(replicas=3, previously=1))
        .then_state(status=Status.SCALING, target=3)
    )


def test_scaling_to_the_present_number_changes_nothing() -> None:
    (given(DEPLOYMENT, *running).when(lambda d: d.scale(replicas=1)).then_nothing_happened())


@pytest.mark.parametrize("past", [stopping, stopped])
def test_a_stopped_deployment_is_not_scaled(past: tuple[Event, ...]) -> None:
    given(DEPLOYMENT, *past).when(lambda d: d.scale(replicas=2)).then_refused(DeploymentIsStopped)


@pytest.mark.parametrize("past", [deleting, deleted])
@pytest.mark.parametrize(
    "action",
    [lambda d: d.scale(replicas=2), lambda d: d.stop(), lambda d: d.start()],
)
def test_a_deployment_that_is_being_deleted_takes_no_more_orders(
    past: tuple[Event, ...], action: Action
) -> None:
    given(DEPLOYMENT, *past).when(action).then_refused(DeploymentIsGoing)


def test_a_deployment_is_stopped() -> None:
    (
        given(DEPLOYMENT, *running)
        .when(lambda d: d.stop())
        .then(DeploymentStopRequested())
        .then_state(status=Status.STOPPING, target=0)
    )


@pytest.mark.parametrize("past", [stopping, stopped])
def test_stopping_twice_changes_nothing(past: tuple[Event, ...]) -> None:
    given(DEPLOYMENT, *past).when(lambda d: d.stop()).then_nothing_happened()


@pytest.mark.parametrize("past", [stopping, stopped])
def test_a_stopped_deployment_is_started_again(past: tuple[Event, ...]) -> None:
    (
        given(DEPLOYMENT, *past)
        .when(lambda d: d.start())
        .then(DeploymentStartRequested())
        .then_state(status=Status.STARTING, target=1)
    )


def test_starting_what_runs_changes_nothing() -> None:
    given(DEPLOYMENT, *running).when(lambda d: d.start()).then_nothing_happened()


def test_a_deployment_is_deleted() -> None:
    (
        given(DEPLOYMENT, *running)
        .when(lambda d: d.delete())
        .then(DeploymentDeletionRequested())
        .then_state(status=Status.DELETING, target=0)
    )


@pytest.mark.parametrize("past", [deleting, deleted])
def test_deleting_twice_changes_nothing(past: tuple[Event, ...]) -> None:
    given(DEPLOYMENT, *past).when(lambda d: d.delete()).then_nothing_happened()


# What the provisioner sees


def test_a_deployment_is_running_when_all_its_replicas_are_ready() -> None:
    (
        given(DEPLOYMENT, requested(2))
        .when(observe(report(1), report(2, ReplicaPhase.STARTING)))
        .then(r_started(1), r_ready(1), r_started(2))
        .then_state(status=Status.PENDING)
        .and_then()
        .when(observe(report(1), report(2)))
        .then(r_ready(2), RevisionBecameLive(revision=1), DeploymentBecameHealthy(ready=2))
        .then_state(status=Status.RUNNING)
    )


def test_a_deployment_is_running_no_sooner_than_gateways_send_requests_to_it() -> None:
    (
        given(DEPLOYMENT, requested())
        .when(observe(report(1), in_rotation=False))
        .then(r_started(1), r_ready(1))
        .then_state(status=Status.PENDING)
        .and_then()
        .when(observe(report(1)))
        .then(RevisionBecameLive(revision=1), DeploymentBecameHealthy(ready=1))
    )


def test_seeing_the_same_again_changes_nothing() -> None:
    given(DEPLOYMENT, *running).when(observe(report(1))).then_nothing_happened()


def test_a_ready_replica_at_another_address_is_ready_there() -> None:
    given(DEPLOYMENT, *running).when(observe(report(1, port=9999))).then(r_ready(1, port=9999))


def test_a_replica_without_an_address_is_not_ready() -> None:
    (
        given(DEPLOYMENT, requested())
        .when(observe(report(1, address=None)))
        .then(r_started(1))
        .then_state(status=Status.PENDING)
    )


def test_an_unhealthy_replica_gets_no_requests_and_may_recover() -> None:
    (
        given(DEPLOYMENT, *running)
        .when(observe(report(1, ReplicaPhase.UNHEALTHY, reason="503")))
        .then(ReplicaBecameUnhealthy(replica_id="r1", reason="503"))
        .and_then()
        .when(observe(report(1)))
        .then(r_ready(1))
    )


def test_a_replica_that_ended_is_stopped_with_its_exit_code() -> None:
    (
        given(DEPLOYMENT, *running)
        .when(observe(report(1, ReplicaPhase.FAILED, exit_code=137, reason="out of memory")))
        .then(
            r_stopped(1, exit_code=137, reason="out of memory"),
            DeploymentFailed(reason="out of memory"),
        )
        .then_state(status=Status.FAILED, failure="out of memory")
    )


def test_a_replica_that_is_not_there_any_more_is_stopped() -> None:
    given(DEPLOYMENT, *running).when(observe()).then(r_stopped(1))


def test_a_replica_that_ended_before_anybody_saw_it_is_no_event() -> None:
    (
        given(DEPLOYMENT, requested())
        .when(observe(report(1, ReplicaPhase.STOPPED)))
        .then_nothing_happened()
    )


def test_a_replica_that_was_started_again_and_ended_at_once_is_told_once_for_each_start() -> None:
    def failed(restarts: int) -> Action:
        return observe(report(1, ReplicaPhase.FAILED, restarts=restarts, reason="crash loop: x"))

    def told(restarts: int) -> tuple[Event, Event]:
        started = ReplicaStarted(replica_id="r1", revision=1, restarts=restarts)
        return started, r_stopped(1, reason="crash loop: x")

    third = given(DEPLOYMENT, requested()).when(failed(3))
    third.then(*told(3), DeploymentFailed(reason="crash loop: x"))
    again = third.and_then().when(failed(3))
    again.then_nothing_happened()
    again.and_then().when(failed(4)).then(*told(4))


def test_a_deployment_fails_with_the_reason_in_words_and_says_it_once() -> None:
    failing = given(DEPLOYMENT, requested()).when(observe(problem="no such image"))
    failing.then(DeploymentFailed(reason="no such image"))
    following = failing.and_then().when(observe(problem="no such image"))
    following.then_nothing_happened()
    following.and_then().when(observe(problem="another reason")).then(
        DeploymentFailed(reason="another reason")
    )


def test_one_failing_replica_of_two_is_no_failed_deployment() -> None:
    (
        given(DEPLOYMENT, requested(2))
        .when(observe(report(1), report(2, ReplicaPhase.FAILED, reason="crash")))
        .then(r_started(1), r_ready(1))
        .then_state(status=Status.PENDING)
    )


def test_a_failed_deployment_recovers() -> None:
    (
        given(DEPLOYMENT, requested(), DeploymentFailed(reason="x"))
        .when(observe(report(1)))
        .then(r_started(1), r_ready(1), RevisionBecameLive(revision=1), healthy)
        .then_state(status=Status.RUNNING, failure=None)
    )


def test_scaling_down_ends_when_the_last_surplus_replica_has_gone() -> None:
    past = (*running, DeploymentScaled(replicas=2, previously=1), r_started(2), r_ready(2))
    down = given(
        DEPLOYMENT,
        *past,
        DeploymentBecameHealthy(ready=2),
        DeploymentScaled(replicas=1, previously=2),
    )
    draining = down.when(observe(report(1), report(2, ReplicaPhase.DRAINING)))
    draining.then(ReplicaDraining(replica_id="r2")).then_state(status=Status.SCALING)
    draining.and_then().when(observe(report(1))).then(r_stopped(2), healthy)


def test_scaling_to_nothing_is_running_with_nothing() -> None:
    (
        given(DEPLOYMENT, *running, DeploymentScaled(replicas=0, previously=1))
        .when(observe())
        .then(r_stopped(1), DeploymentBecameHealthy(ready=0))
        .then_state(status=Status.RUNNING, target=0)
    )


def test_a_stopping_deployment_is_stopped_with_its_last_replica() -> None:
    draining = given(DEPLOYMENT, *stopping).when(observe(report(1, ReplicaPhase.DRAINING)))
    draining.then(ReplicaDraining(replica_id="r1")).then_state(status=Status.STOPPING)
    draining.and_then().when(observe()).then(r_stopped(1), DeploymentStopped())


def test_a_deleted_deployment_is_gone_with_its_last_replica_and_nothing_happens_after() -> None:
    (
        given(DEPLOYMENT, *deleting)
        .when(observe())
        .then(r_stopped(1), DeploymentDeleted())
        .and_then()
        .when(observe(report(1)))
        .then_nothing_happened()
    )


def test_trouble_while_stopping_is_no_failure() -> None:
    given(DEPLOYMENT, *stopping).when(
        observe(report(1, ReplicaPhase.UNHEALTHY), problem="it does not answer")
    ).then(ReplicaBecameUnhealthy(replica_id="r1"))


def test_events_without_a_request_leave_nothing() -> None:
    assert given(DEPLOYMENT, *running[1:], *deleted[4:]).state is None


# What holds for every story

CONTRACT_STATUSES = {
    "pending",
    "running",
    "updating",
    "scaling",
    "stopping",
    "stopped",
    "starting",
    "failed",
    "deleting",
    "deleted",
}

reports = st.lists(
    st.builds(
        ReplicaReport,
        replica_id=st.sampled_from(["r1", "r2", "r3", "r4"]),
        revision=st.integers(1, 3),
        phase=st.sampled_from(ReplicaPhase),
        address=st.sampled_from([None, "127.0.0.1", "10.0.0.2"]),
        port=st.sampled_from([None, 9000, 9001]),
        exit_code=st.sampled_from([None, 0, 137]),
        reason=st.sampled_from([None, "crash"]),
    ),
    max_size=5,
    unique_by=lambda one: one.replica_id,
)
images = st.sampled_from(["api:1", "api:2"])


def update(*, image: str, replicas: int) -> Action:
    return lambda d: d.update(
        msgspec.structs.replace(d.blueprint, image=image),
        replicas=replicas,
        visibility="private",
        by="x",
    )


orders: st.SearchStrategy[Action] = st.one_of(
    st.builds(lambda n: lambda d: d.scale(replicas=n), st.integers(0, 4)),
    st.sampled_from([lambda d: d.stop(), lambda d: d.start(), lambda d: d.delete()]),
    st.sampled_from([lambda d: d.restart(by="x"), lambda d: d.roll_back(None, by="x")]),
    st.builds(lambda image, n: update(image=image, replicas=n), images, st.integers(0, 3)),
    st.builds(
        lambda seen, problem, hopeless: (
            lambda d: d.observe(seen, problem=problem, hopeless_revision=hopeless)
        ),
        reports,
        st.sampled_from([None, "trouble"]),
        st.sampled_from([None, 1, 2, 3]),
    ),
)


@for_all(st.integers(0, 3), st.lists(orders, max_size=12), reports)
def test_whatever_happens_the_log_can_be_replayed_and_a_repeated_report_says_nothing_new(
    replicas: int, story: list[Action], last: list[ReplicaReport]
) -> None:
    log: list[Event] = [requested(replicas)]
    state = DEPLOYMENT.replay(log)
    for action in story:
        try:
            events = action(state)
        except DomainError:
            continue
        log += events
        state = DEPLOYMENT.replay(events, state)
        assert state == DEPLOYMENT.replay(log)
    assert isinstance(state, Deployment)
    assert state.status in CONTRACT_STATUSES
    assert (state.status is Status.FAILED) == (state.failure is not None)
    once = DEPLOYMENT.replay(state.observe(last, problem=None), state)
    assert once is not None
    assert once.observe(last, problem=None) == []
    if once.status is Status.RUNNING and all(r.phase is ReplicaPhase.READY for r in last):
        assert set(once.replicas) <= {r.replica_id for r in last}
