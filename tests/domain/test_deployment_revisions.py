"""Updates, restarts, rollbacks: what runs next, and what runs on when that fails."""

import msgspec
import pytest

from domain.deployments.deployment import (
    BLUEPRINTS_KEPT,
    DEPLOYMENT,
    DeploymentIsGoing,
    DeploymentIsStopped,
    NoEarlierRevision,
    UnknownRevision,
)
from domain.deployments.events import (
    DeploymentBecameHealthy,
    DeploymentDeletionRequested,
    DeploymentFailed,
    DeploymentRequested,
    DeploymentRestarted,
    DeploymentRolledBack,
    DeploymentStopped,
    DeploymentStopRequested,
    DeploymentTransferred,
    DeploymentUpdated,
    ReplicaBecameReady,
    ReplicaStarted,
    ReplicaStopped,
    RevisionBecameLive,
    RevisionFailed,
    RevisionResolved,
)
from domain.deployments.revisions import revision_after
from domain.deployments.values import (
    Blueprint,
    ReplicaPhase,
    ReplicaReport,
    Resources,
    Status,
    Visibility,
    revision_id,
)
from domain.kernel.events import Event
from domain.kernel.ids import is_id
from tests.scenario import Action, given

ANNA = "usr-0000000001"
FIRST = Blueprint(image="api:1", port=8000)
SECOND = Blueprint(image="api:2", port=8000)

requested = DeploymentRequested(
    deployment_id="dpl-0000000001",
    team_id="org-0000000001",
    app_name="hello",
    image="api:1",
    port=8000,
    requested_by=ANNA,
)


def seen(name: str, revision: int, phase: ReplicaPhase = ReplicaPhase.READY) -> ReplicaReport:
    return ReplicaReport(
        replica_id=name,
        revision=revision,
        phase=phase,
        address="127.0.0.1",
        port=9000,
        image_digest=f"sha256:{revision}",
    )


def observe(
    *reports: ReplicaReport, problem: str | None = None, hopeless: int | None = None
) -> Action:
    return lambda d: d.observe(reports, problem=problem, hopeless_revision=hopeless)


def update(
    blueprint: Blueprint = SECOND, *, replicas: int = 1, visibility: Visibility = "private"
) -> Action:
    return lambda d: d.update(blueprint, replicas=replicas, visibility=visibility, by=ANNA)


def updated(
    revision: int = 2,
    previously: int = 1,
    blueprint: Blueprint = SECOND,
    replicas: int = 1,
    visibility: Visibility = "private",
) -> DeploymentUpdated:
    return DeploymentUpdated(
        revision=revision,
        previously=previously,
        blueprint=blueprint,
        replicas=replicas,
        visibility=visibility,
        updated_by=ANNA,
    )


def ready(name: str, revision: int) -> tuple[ReplicaStarted, ReplicaBecameReady]:
    return (
        ReplicaStarted(replica_id=name, revision=revision),
        ReplicaBecameReady(replica_id=name, address="127.0.0.1", port=9000),
    )


def resolved(revision: int) -> RevisionResolved:
    return RevisionResolved(revision=revision, image_digest=f"sha256:{revision}")


live = (
    requested,
    *ready("a", 1),
    RevisionBecameLive(revision=1, image_digest="sha256:1"),
    DeploymentBecameHealthy(ready=1),
)
live_again = (
    *live,
    updated(),
    *ready("b", 2),
    ReplicaStopped(replica_id="a"),
    RevisionBecameLive(revision=2, image_digest="sha256:2"),
    DeploymentBecameHealthy(ready=1),
)
stopped = (
    *live,
    DeploymentStopRequested(),
    ReplicaStopped(replica_id="a"),
    DeploymentStopped(),
)


def test_another_image_is_a_new_revision() -> None:
    (
        given(DEPLOYMENT, *live)
        .when(update())
        .then(updated())
        .then_state(status=Status.UPDATING, revision=2, blueprint=SECOND, target=1)
    )


def test_other_replicas_or_visibility_need_no_new_revision() -> None:
    given(DEPLOYMENT, *live).when(update(FIRST, replicas=3)).then(
        updated(revision=1, blueprint=FIRST, replicas=3)
    ).then_state(status=Status.SCALING, revision=1, replicas_wanted=3)
    given(DEPLOYMENT, *live).when(update(FIRST, visibility="public")).then(
        updated(revision=1, blueprint=FIRST, visibility="public")
    ).then_state(status=Status.RUNNING, visibility="public")


def test_an_update_to_what_there_is_changes_nothing() -> None:
    given(DEPLOYMENT, *live).when(update(FIRST)).then_nothing_happened()


def test_a_stopped_deployment_is_updated_and_stays_stopped() -> None:
    given(DEPLOYMENT, *stopped).when(update()).then(updated()).then_state(
        status=Status.STOPPED, revision=2, target=0
    )


def test_an_update_is_done_when_only_new_replicas_are_there() -> None:
    (
        given(DEPLOYMENT, *live, updated())
        .when(observe(seen("a", 1), seen("b", 2)))
        .then(*ready("b", 2), resolved(2))
        .then_state(status=Status.UPDATING)
        .and_then()
        .when(observe(seen("b", 2)))
        .then(
            ReplicaStopped(replica_id="a"),
            RevisionBecameLive(revision=2, image_digest="sha256:2"),
            DeploymentBecameHealthy(ready=1),
        )
        .then_state(status=Status.RUNNING, lived=(1, 2))
    )


def test_a_hopeless_revision_gives_way_to_the_one_before() -> None:
    (
        given(DEPLOYMENT, *live, updated())
        .when(observe(seen("a", 1), problem="no such image", hopeless=2))
        .then(
            RevisionFailed(revision=2, reason="no such image"),
            DeploymentRolledBack(
                revision=1,
                previously=2,
                to_revision=1,
                blueprint=FIRST,
                rolled_back_by="provisioner",
                reason="no such image",
            ),
        )
        .then_state(status=Status.UPDATING, revision=1, blueprint=FIRST)
        .and_then()
        .when(observe(seen("a", 1)))
        .then(DeploymentBecameHealthy(ready=1))
    )


def test_without_one_before_a_hopeless_revision_is_only_a_failure() -> None:
    given(DEPLOYMENT, requested).when(observe(problem="no such image", hopeless=1)).then(
        DeploymentFailed(reason="no such image")
    )


def test_a_revision_that_was_live_once_is_not_given_up() -> None:
    given(DEPLOYMENT, *live_again).when(observe(problem="it crashed", hopeless=2)).then(
        ReplicaStopped(replica_id="b"), DeploymentFailed(reason="it crashed")
    )


def test_a_verdict_about_an_older_revision_is_no_verdict_about_this_one() -> None:
    given(DEPLOYMENT, *live, updated()).when(
        observe(seen("a", 1), problem="x", hopeless=1)
    ).then_nothing_happened()


def test_while_the_old_revision_serves_a_failing_update_is_no_failed_deployment() -> None:
    given(DEPLOYMENT, *live, updated()).when(
        observe(seen("a", 1), seen("b", 2, ReplicaPhase.FAILED), problem="crash")
    ).then(resolved(2))


def test_which_image_a_revision_was_is_told_once_however_it_ends() -> None:
    failing = given(DEPLOYMENT, *live, updated()).when(
        observe(seen("a", 1), seen("b", 2, ReplicaPhase.STARTING))
    )
    failing.then(ReplicaStarted(replica_id="b", revision=2), resolved(2))
    known = failing.and_then()
    known.when(observe(seen("a", 1), seen("b", 2, ReplicaPhase.STARTING))).then_nothing_happened()
    back = known.when(observe(seen("a", 1), problem="crash", hopeless=2))
    assert [type(event) for event in back.events] == [
        ReplicaStopped,
        RevisionFailed,
        DeploymentRolledBack,
    ]
    back.and_then().when(observe(seen("a", 1))).then(DeploymentBecameHealthy(ready=1))


def test_a_revision_that_fails_at_once_tells_its_image_first() -> None:
    given(DEPLOYMENT, *live, updated()).when(
        observe(seen("a", 1), seen("b", 2, ReplicaPhase.FAILED), problem="crash", hopeless=2)
    ).then(
        resolved(2),
        RevisionFailed(revision=2, reason="crash"),
        DeploymentRolledBack(
            revision=1,
            previously=2,
            to_revision=1,
            blueprint=FIRST,
            rolled_back_by="provisioner",
            reason="crash",
        ),
    )


def test_of_an_image_that_a_registry_told_the_engine_need_not_tell() -> None:
    pinned = msgspec.structs.replace(SECOND, image_digest="sha256:told")
    given(DEPLOYMENT, *live, updated(2, 1, pinned)).when(observe(seen("a", 1), seen("b", 2))).then(
        *ready("b", 2)
    )


def test_where_no_engine_knows_an_image_nothing_is_told_of_it() -> None:
    process = msgspec.structs.replace(seen("b", 2), image_digest=None)
    given(DEPLOYMENT, *live, updated()).when(observe(seen("a", 1), process)).then(*ready("b", 2))


def test_a_restart_is_a_new_revision_of_the_same() -> None:
    given(DEPLOYMENT, *live).when(lambda d: d.restart(by=ANNA)).then(
        DeploymentRestarted(revision=2, previously=1, image="api:1", restarted_by=ANNA)
    ).then_state(status=Status.UPDATING, revision=2, blueprint=FIRST)


def test_what_is_stopped_cannot_be_restarted() -> None:
    given(DEPLOYMENT, *stopped).when(lambda d: d.restart(by=ANNA)).then_refused(DeploymentIsStopped)


@pytest.mark.parametrize("wanted", [None, 1])
def test_a_rollback_makes_a_new_revision_of_an_old_one(wanted: int | None) -> None:
    given(DEPLOYMENT, *live_again).when(lambda d: d.roll_back(wanted, by=ANNA)).then(
        DeploymentRolledBack(
            revision=3, previously=2, to_revision=1, blueprint=FIRST, rolled_back_by=ANNA
        )
    ).then_state(status=Status.UPDATING, revision=3, blueprint=FIRST)


def test_there_is_nothing_to_go_back_to_at_first() -> None:
    given(DEPLOYMENT, *live).when(lambda d: d.roll_back(None, by=ANNA)).then_refused(
        NoEarlierRevision
    )


@pytest.mark.parametrize("number", [0, 3, 7])
def test_what_never_was_cannot_be_gone_back_to(number: int) -> None:
    refused = given(DEPLOYMENT, *live_again).when(lambda d: d.roll_back(number, by=ANNA))
    refused.then_refused(UnknownRevision)
    assert refused.refusal is not None
    assert refused.refusal.details == {"first": 1, "last": 2}


def test_going_back_to_what_runs_changes_nothing() -> None:
    given(DEPLOYMENT, *live_again).when(lambda d: d.roll_back(2, by=ANNA)).then_nothing_happened()


def test_numbers_of_revisions_are_never_used_twice() -> None:
    failed = RevisionFailed(revision=2, reason="x")
    back = DeploymentRolledBack(
        revision=1, previously=2, to_revision=1, blueprint=FIRST, rolled_back_by="provisioner"
    )
    given(DEPLOYMENT, *live, updated(), failed, back).when(update()).then(updated(revision=3))


def many_updates() -> list[Event]:
    """The past of one that went live, and was then updated so often that the state forgets."""
    past: list[Event] = [*live]
    for number in range(2, BLUEPRINTS_KEPT + 10):
        blueprint = msgspec.structs.replace(FIRST, resources=Resources(cpu_millis=number + 10))
        past.append(updated(number, number - 1, blueprint))
    return past


def test_the_newest_blueprints_and_the_last_that_was_live_are_in_the_state() -> None:
    state = given(DEPLOYMENT, *many_updates()).state
    assert state is not None
    assert sorted(state.blueprints) == [1, *range(10, BLUEPRINTS_KEPT + 10)]
    given(DEPLOYMENT, *many_updates()).when(observe(hopeless=state.revision)).then(
        ReplicaStopped(replica_id="a"),
        RevisionFailed(revision=59, reason="it never became ready"),
        DeploymentRolledBack(
            revision=1,
            previously=59,
            to_revision=1,
            blueprint=FIRST,
            rolled_back_by="provisioner",
            reason="it never became ready",
        ),
    )


def test_what_the_state_forgot_can_be_gone_back_to_with_what_the_history_tells() -> None:
    scene = given(DEPLOYMENT, *many_updates())
    scene.when(lambda d: d.roll_back(5, by=ANNA)).then_refused(UnknownRevision)
    given(DEPLOYMENT, *many_updates()).when(lambda d: d.roll_back(5, by=ANNA, past=SECOND)).then(
        DeploymentRolledBack(
            revision=60, previously=59, to_revision=5, blueprint=SECOND, rolled_back_by=ANNA
        )
    )


def test_the_history_tells_what_every_revision_was_made_of() -> None:
    other = msgspec.structs.replace(SECOND, environment={"A": "sealed for the other"})
    past = [
        *live_again,
        DeploymentRestarted(revision=3, previously=2, image="api:2", restarted_by=ANNA),
        DeploymentRolledBack(
            revision=4, previously=3, to_revision=1, blueprint=FIRST, rolled_back_by=ANNA
        ),
        updated(4, 4, FIRST, replicas=2),
        DeploymentTransferred(
            team_id="org-0000000002",
            from_team_id="org-0000000001",
            revision=5,
            previously=4,
            blueprint=other,
            transferred_by=ANNA,
        ),
    ]
    told: dict[int, Blueprint] = {}
    revision = None
    for event in past:
        revision = revision_after(event, revision)
        assert revision is not None
        told[revision.number] = revision.blueprint
    assert told == {1: FIRST, 2: SECOND, 3: SECOND, 4: FIRST, 5: other}


def test_a_revision_has_an_id_of_its_own() -> None:
    ids = {revision_id("dpl-0000000001", number) for number in range(1, 200)}
    assert len(ids) == 199
    assert all(is_id(each, "rev") for each in ids)


def test_what_is_given_to_another_team_runs_anew_there_and_leaves_its_past_behind() -> None:
    sealed = msgspec.structs.replace(FIRST, environment={"A": "sealed for the other"})
    transferred = DeploymentTransferred(
        team_id="org-0000000002",
        from_team_id="org-0000000001",
        revision=3,
        previously=2,
        blueprint=sealed,
        transferred_by=ANNA,
    )
    given(DEPLOYMENT, *live_again).when(
        lambda d: d.transfer("org-0000000002", sealed, by=ANNA)
    ).then(transferred).then_state(
        team_id="org-0000000002", revision=3, blueprints={3: sealed}, lived=()
    )
    given(DEPLOYMENT, *live_again, transferred).when(
        lambda d: d.roll_back(None, by=ANNA)
    ).then_refused(NoEarlierRevision)
    for earlier in (1, 2):
        given(DEPLOYMENT, *live_again, transferred).when(
            lambda d, earlier=earlier: d.roll_back(earlier, by=ANNA, past=FIRST)  # type: ignore[misc]
        ).then_refused(UnknownRevision)
    given(DEPLOYMENT, *live_again).when(
        lambda d: d.transfer("org-0000000001", FIRST, by=ANNA)
    ).then_nothing_happened()
    given(DEPLOYMENT, *stopped).when(
        lambda d: d.transfer("org-0000000002", sealed, by=ANNA)
    ).then_state(team_id="org-0000000002", status=Status.STOPPED)
    given(DEPLOYMENT, *live, DeploymentDeletionRequested()).when(
        lambda d: d.transfer("org-0000000002", sealed, by=ANNA)
    ).then_refused(DeploymentIsGoing)
