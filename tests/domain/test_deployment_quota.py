import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.deployments.deployment import DEPLOYMENT
from domain.deployments.events import (
    CapacityAllotted,
    CapacityFreed,
    DeploymentDeletionRequested,
    DeploymentRequested,
    DeploymentScaled,
    DeploymentStartRequested,
    DeploymentStopped,
    DeploymentStopRequested,
    TeamQuotaChanged,
)
from domain.deployments.quota import TEAM_QUOTA, QuotaExceeded, TeamQuota
from domain.deployments.values import Capacity, Quota, Resources
from domain.kernel.events import Event
from tests.scenario import given

TEAM, ONE, OTHER = "org-0000000001", "dpl-0000000001", "dpl-0000000002"
TEN = Quota(deployments=2, replicas=10, cpu_millis=5000, memory_bytes=10 * 1024**3)
GIB = 1024**3


def taking(replicas: int, *, cpu_millis: int = 0, memory_bytes: int = 0) -> Capacity:
    return Capacity(replicas=replicas, cpu_millis=cpu_millis, memory_bytes=memory_bytes)


def allotted(replicas: int, deployment_id: str = ONE, **more: int) -> CapacityAllotted:
    return CapacityAllotted(
        team_id=TEAM, deployment_id=deployment_id, capacity=taking(replicas, **more)
    )


def test_a_deployment_takes_what_is_left_and_no_replica_more() -> None:
    given(TEAM_QUOTA, allotted(7)).when(lambda q: q.allot(OTHER, taking(3), TEN)).then(
        allotted(3, OTHER)
    )
    given(TEAM_QUOTA, allotted(9)).when(lambda q: q.allot(OTHER, taking(3), TEN)).then_refused(
        QuotaExceeded
    )


@pytest.mark.parametrize(
    ("past", "wanted", "words"),
    [
        ((allotted(9),), taking(3), "Needs 3 more replicas, 1 left of 10."),
        (
            (allotted(1, cpu_millis=4500),),
            taking(1, cpu_millis=1000),
            "Needs 1000m of processor, 500m left of 5000m.",
        ),
        (
            (allotted(1, memory_bytes=10 * GIB - GIB // 2),),
            taking(1, memory_bytes=GIB),
            "Needs 1Gi of memory, 512Mi left of 10Gi.",
        ),
        (
            (allotted(0), allotted(10, "dpl-0000000003")),
            taking(1),
            "Needs 1 more deployment, 0 left of 2; needs 1 more replica, 0 left of 10.",
        ),
    ],
)
def test_a_refusal_says_what_is_needed_and_what_is_left(
    past: tuple[Event, ...], wanted: Capacity, words: str
) -> None:
    refused = given(TEAM_QUOTA, *past).when(lambda q: q.allot(OTHER, wanted, TEN)).refusal
    assert refused is not None
    assert refused.message == words


def test_a_deployment_that_grows_needs_the_difference_only() -> None:
    given(TEAM_QUOTA, allotted(6), allotted(3, OTHER)).when(
        lambda q: q.allot(ONE, taking(7), TEN)
    ).then(allotted(7))
    given(TEAM_QUOTA, allotted(6), allotted(3, OTHER)).when(
        lambda q: q.allot(ONE, taking(8), TEN)
    ).then_refused(QuotaExceeded)


def test_who_is_above_a_lowered_limit_may_go_down_but_not_up() -> None:
    lowered = (allotted(8), allotted(2, OTHER), TeamQuotaChanged(team_id=TEAM, replicas=3))
    given(TEAM_QUOTA, *lowered).when(lambda q: q.allot(ONE, taking(5), TEN)).then(allotted(5))
    given(TEAM_QUOTA, *lowered).when(lambda q: q.allot(ONE, taking(9), TEN)).then_refused(
        QuotaExceeded
    )


def test_what_has_happened_already_is_not_refused() -> None:
    given(TEAM_QUOTA, allotted(10)).when(lambda q: q.allot(ONE, taking(50), None)).then(
        allotted(50)
    )


def test_a_deployment_that_is_gone_makes_room_once() -> None:
    freed = CapacityFreed(team_id=TEAM, deployment_id=ONE)
    gone = given(TEAM_QUOTA, allotted(10)).when(lambda q: q.free(ONE)).then(freed).and_then()
    gone.when(lambda q: q.free(ONE)).then_nothing_happened()
    gone.when(lambda q: q.allot(OTHER, taking(10), TEN)).then(allotted(10, OTHER))


def test_a_teams_own_limits_replace_everybodys_and_can_be_taken_back() -> None:
    assert TeamQuota(team_id=TEAM, own={"replicas": 30}).limit(TEN).replicas == 30
    given(TEAM_QUOTA, allotted(1)).when(lambda q: q.change({"replicas": 30})).then(
        TeamQuotaChanged(team_id=TEAM, replicas=30)
    ).and_then().when(lambda q: q.change({"replicas": 30})).then_nothing_happened()
    own = (TeamQuotaChanged(team_id=TEAM, replicas=30),)
    given(TEAM_QUOTA, *own).when(lambda q: q.change({})).then(
        TeamQuotaChanged(team_id=TEAM)
    ).then_state(own={})


def test_a_team_may_be_allowed_nothing() -> None:
    none = TeamQuotaChanged(team_id=TEAM, deployments=0)
    given(TEAM_QUOTA, none).when(lambda q: q.allot(ONE, taking(0), TEN)).then_refused(QuotaExceeded)


def test_a_deployment_takes_what_shall_run_of_it() -> None:
    requested = DeploymentRequested(
        deployment_id=ONE,
        team_id=TEAM,
        app_name="hello",
        image="api:1",
        port=8000,
        replicas=2,
        resources=Resources(cpu_millis=250, memory_bytes=GIB),
        requested_by="usr-0000000001",
    )
    two, none = taking(2, cpu_millis=500, memory_bytes=2 * GIB), Capacity()
    stopped = (requested, DeploymentStopRequested(), DeploymentStopped())
    scaled = DeploymentScaled(replicas=0, previously=2)
    given(DEPLOYMENT, requested).then_state(capacity=two)
    given(DEPLOYMENT, requested, scaled).then_state(capacity=none)
    given(DEPLOYMENT, requested, DeploymentStopRequested()).then_state(capacity=none)
    given(DEPLOYMENT, *stopped).then_state(capacity=none)
    given(DEPLOYMENT, *stopped, DeploymentStartRequested()).then_state(capacity=two)
    given(DEPLOYMENT, requested, DeploymentDeletionRequested()).then_state(capacity=none)


@for_all(st.lists(st.tuples(st.sampled_from([ONE, OTHER, "dpl-3"]), st.integers(0, 12))))
def test_whatever_is_asked_for_the_team_never_has_more_than_its_quota(
    wishes: list[tuple[str, int]],
) -> None:
    state = TeamQuota(team_id=TEAM)
    for deployment_id, replicas in wishes:
        try:
            events = state.allot(deployment_id, taking(replicas), TEN)
        except QuotaExceeded:
            continue
        state = TEAM_QUOTA.replay(events, state) or state
        assert sum(each.replicas for each in state.allotted.values()) <= TEN.replicas
        assert len(state.allotted) <= TEN.deployments
