"""The rules of one deployment."""

from collections.abc import Sequence

import msgspec

from domain.deployments.events import (
    DeploymentBecameHealthy,
    DeploymentDeleted,
    DeploymentDeletionRequested,
    DeploymentFailed,
    DeploymentRequested,
    DeploymentRestarted,
    DeploymentRolledBack,
    DeploymentScaled,
    DeploymentStartRequested,
    DeploymentStopped,
    DeploymentStopRequested,
    DeploymentTransferred,
    DeploymentUpdated,
    ReplicaStarted,
    RevisionBecameLive,
    RevisionFailed,
    RevisionResolved,
)
from domain.deployments.replicas import Replica, evolve_replicas, replica_changes
from domain.deployments.revisions import blueprint_of
from domain.deployments.values import (
    Blueprint,
    Capacity,
    ReplicaPhase,
    ReplicaReport,
    Status,
    Visibility,
)
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import RuleViolated
from domain.kernel.events import Event


class DeploymentIsStopped(RuleViolated):
    """The deployment is stopped; start it first."""


class DeploymentIsGoing(RuleViolated):
    """The deployment is being deleted."""


class NoEarlierRevision(RuleViolated):
    """There is no earlier revision that ever was live."""


class UnknownRevision(RuleViolated):
    """There is no such revision, or it ran before the deployment was transferred."""


BLUEPRINTS_KEPT = 50
"""So many are in the state; what older revisions were made of, the history tells."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One image kept running under one name."""

    deployment_id: str
    team_id: str
    app_name: str
    blueprint: Blueprint
    replicas_wanted: int
    visibility: Visibility = "private"
    revision: int = 1
    blueprints: dict[int, Blueprint] = {}
    """By revision: the newest ones, the present one, and the last that was live."""
    first_revision: int = 1
    """Of the team whose it is: what was before it is sealed for another one."""
    lived: tuple[int, ...] = ()
    """The revisions that were live once, in the order in which they became it."""
    status: Status = Status.PENDING
    replicas: dict[str, Replica] = {}
    restarts: dict[str, int] = {}
    """How often each replica of this revision was started again, where it was."""
    resolved: bool = False
    """Whether the engine told the digest of this revision's image."""
    failure: str | None = None

    @property
    def target(self) -> int:
        """How many replicas should run now."""
        wound_down = {Status.STOPPING, Status.STOPPED, Status.DELETING, Status.DELETED}
        return 0 if self.status in wound_down else self.replicas_wanted

    @property
    def capacity(self) -> Capacity:
        """What it takes of its team's quota: what shall run, not what runs at the moment."""
        each = self.blueprint.resources
        return Capacity(
            replicas=self.target,
            cpu_millis=self.target * each.cpu_millis,
            memory_bytes=self.target * each.memory_bytes,
        )

    def scale(self, *, replicas: int) -> list[Event]:
        """Ask for another number of replicas. Asking for the present number changes nothing."""
        self._must_run()
        if replicas == self.replicas_wanted:
            return []
        return [DeploymentScaled(replicas=replicas, previously=self.replicas_wanted)]

    def update(
        self,
        blueprint: Blueprint,
        *,
        replicas: int,
        visibility: Visibility,
        by: str,
    ) -> list[Event]:
        """Ask for something else to run. Asking for what there is changes nothing.

        A stopped deployment stays stopped, and starts as what was asked for last.
        """
        self._must_stay()
        wished = (blueprint, replicas, visibility)
        if wished == (self.blueprint, self.replicas_wanted, self.visibility):
            return []
        return [
            DeploymentUpdated(
                revision=self.revision if blueprint == self.blueprint else self._next_revision,
                previously=self.revision,
                blueprint=blueprint,
                replicas=replicas,
                visibility=visibility,
                updated_by=by,
            )
        ]

    def restart(self, *, by: str) -> list[Event]:
        """Ask for all replicas to be replaced, a few at a time."""
        self._must_run()
        return [
            DeploymentRestarted(
                revision=self._next_revision,
                previously=self.revision,
                image=self.blueprint.image,
                image_digest=self.blueprint.image_digest,
                restarted_by=by,
            )
        ]

    def roll_back(
        self, to_revision: int | None, *, by: str, past: Blueprint | None = None
    ) -> list[Event]:
        """Ask for an earlier revision to run again: the last live one unless told which.

        `past`: what it was made of, where the state no longer knows.
        """
        number = self.rollback_target(to_revision)
        blueprint = self.blueprints.get(number, past)
        if blueprint is None:
            raise self._unknown_revision()
        if blueprint == self.blueprint:
            return []
        return [
            DeploymentRolledBack(
                revision=self._next_revision,
                previously=self.revision,
                to_revision=number,
                blueprint=blueprint,
                rolled_back_by=by,
            )
        ]

    def rollback_target(self, to_revision: int | None) -> int:
        """Return the revision to go back to: the last one that was live unless told which."""
        self._must_stay()
        if to_revision is None:
            earlier = [number for number in self.lived if number != self.revision]
            if not earlier:
                raise NoEarlierRevision
            return earlier[-1]
        if not self.first_revision <= to_revision < self._next_revision:
            raise self._unknown_revision()
        return to_revision

    def transfer(self, team_id: str, blueprint: Blueprint, *, by: str) -> list[Event]:
        """Give it to another team, for which the blueprint is sealed. To its own: nothing."""
        self._must_stay()
        if team_id == self.team_id:
            return []
        return [
            DeploymentTransferred(
                team_id=team_id,
                from_team_id=self.team_id,
                revision=self._next_revision,
                previously=self.revision,
                blueprint=blueprint,
                transferred_by=by,
            )
        ]

    def stop(self) -> list[Event]:
        """Ask for nothing to run. Stopping twice changes nothing."""
        self._must_stay()
        if self.status in {Status.STOPPING, Status.STOPPED}:
            return []
        return [DeploymentStopRequested()]

    def start(self) -> list[Event]:
        """Ask for it to run again. Starting what runs changes nothing."""
        self._must_stay()
        if self.status not in {Status.STOPPING, Status.STOPPED}:
            return []
        return [DeploymentStartRequested()]

    def delete(self) -> list[Event]:
        """Ask for it to disappear. Deleting twice changes nothing."""
        if self.status in {Status.DELETING, Status.DELETED}:
            return []
        return [DeploymentDeletionRequested()]

    def observe(
        self,
        reports: Sequence[ReplicaReport],
        *,
        problem: str | None,
        in_rotation: bool = True,
        hopeless_revision: int | None = None,
        by: str = "provisioner",
    ) -> list[Event]:
        """Take in what the provisioner found.

        The reports are everything there is of the deployment now. They come at least once, so
        only a difference from what the log knows becomes an event. `hopeless_revision` is one
        that was tried often enough: if another one was live before, that one goes on.
        """
        if self.status is Status.DELETED:
            return []
        events = replica_changes(self.replicas, reports, restarts=self.restarts)
        events += self._resolution(reports)
        after = DEPLOYMENT.replay(events, self) or self
        if hopeless_revision == self.revision and self.revision not in self.lived:
            reason = problem or _first_failure(reports) or "it never became ready"
            failed = after._give_up(reason, by=by)  # noqa: SLF001 - our own
            if failed:
                return events + failed
        return events + after._status_changes(  # noqa: SLF001 - our own
            reports, problem=problem, in_rotation=in_rotation
        )

    @property
    def _next_revision(self) -> int:
        return max(self.blueprints) + 1

    def _unknown_revision(self) -> UnknownRevision:
        return UnknownRevision(first=self.first_revision, last=self._next_revision - 1)

    def _must_stay(self) -> None:
        if self.status in {Status.DELETING, Status.DELETED}:
            raise DeploymentIsGoing

    def _must_run(self) -> None:
        self._must_stay()
        if self.status in {Status.STOPPING, Status.STOPPED}:
            raise DeploymentIsStopped

    def _give_up(self, reason: str, *, by: str) -> list[Event]:
        """Go back to what was live before; without that, there is nothing to do but to go on."""
        earlier = [number for number in self.lived if number in self.blueprints]
        if not earlier or self.target == 0:
            return []
        return [
            RevisionFailed(revision=self.revision, reason=reason),
            DeploymentRolledBack(
                revision=earlier[-1],
                previously=self.revision,
                to_revision=earlier[-1],
                blueprint=self.blueprints[earlier[-1]],
                rolled_back_by=by,
                reason=reason,
            ),
        ]

    def _resolution(self, reports: Sequence[ReplicaReport]) -> list[Event]:
        """Tell once which image is run, however the revision ends, unless a registry told it."""
        if self.resolved or self.blueprint.image_digest or self.revision in self.lived:
            return []
        digest = _image_digest(reports, self.revision)
        return [RevisionResolved(revision=self.revision, image_digest=digest)] if digest else []

    def _status_changes(
        self, reports: Sequence[ReplicaReport], *, problem: str | None, in_rotation: bool
    ) -> list[Event]:
        if self.status is Status.STOPPING and not self.replicas:
            return [DeploymentStopped()]
        if self.status is Status.DELETING and not self.replicas:
            return [DeploymentDeleted()]
        if self.target == 0 and self.status not in {Status.SCALING, Status.PENDING}:
            return []
        serving = [r for r in self.replicas.values() if r.phase is ReplicaPhase.READY]
        ready = sum(1 for replica in serving if replica.revision == self.revision)
        if ready == self.target == len(self.replicas):
            # It is healthy for its owner when requests come through, not a moment before.
            return self._became_healthy(ready, reports) if in_rotation else []
        reason = problem or _first_failure(reports)
        if not serving and reason is not None and reason != self.failure:
            return [DeploymentFailed(reason=reason)]
        return []

    def _became_healthy(self, ready: int, reports: Sequence[ReplicaReport]) -> list[Event]:
        events: list[Event] = []
        if self.revision not in self.lived and ready > 0:
            digest = _image_digest(reports, self.revision)
            events.append(RevisionBecameLive(revision=self.revision, image_digest=digest))
        if self.status is not Status.RUNNING:
            events.append(DeploymentBecameHealthy(ready=ready))
        return events


def _image_digest(reports: Sequence[ReplicaReport], revision: int) -> str | None:
    digests = {each.image_digest for each in reports if each.revision == revision}
    return next(iter(sorted(filter(None, digests))), None)


def _first_failure(reports: Sequence[ReplicaReport]) -> str | None:
    for report in reports:
        if report.phase is ReplicaPhase.FAILED and report.reason:
            return report.reason
    return None


def evolve(state: Deployment | None, event: Event) -> Deployment | None:
    """Remember what happened to the deployment."""
    if isinstance(event, DeploymentRequested):
        first = blueprint_of(event)
        return Deployment(
            deployment_id=event.deployment_id,
            team_id=event.team_id,
            app_name=event.app_name,
            blueprint=first,
            blueprints={1: first},
            replicas_wanted=event.replicas,
            visibility=event.visibility,
        )
    if state is None:
        return None
    return (
        _evolve_revision(state, event)
        or _evolve_wish(state, event)
        or _evolve_replicas(state, event)
        or state
    )


def _evolve_revision(state: Deployment, event: Event) -> Deployment | None:
    match event:
        case DeploymentUpdated():
            scaled = event.replicas != state.replicas_wanted
            state = msgspec.structs.replace(
                state, replicas_wanted=event.replicas, visibility=event.visibility
            )
            if event.revision == event.previously:
                return _status(state, Status.SCALING) if scaled else state
            return _begin(state, event.revision, event.blueprint)
        case DeploymentRestarted():
            return _begin(state, event.revision, state.blueprint)
        case DeploymentRolledBack() | DeploymentTransferred():
            if isinstance(event, DeploymentTransferred):  # nothing of before is for the new team
                state = msgspec.structs.replace(
                    state,
                    team_id=event.team_id,
                    first_revision=event.revision,
                    blueprints={},
                    lived=(),
                )
            return _begin(state, event.revision, event.blueprint)
        case RevisionResolved():
            state = msgspec.structs.replace(state, resolved=True)
        case RevisionBecameLive():
            state = _lived(state, event.revision)
        case _:
            return None
    return state


def _begin(state: Deployment, revision: int, blueprint: Blueprint) -> Deployment:
    """Make a revision the present one."""
    known = {**state.blueprints, revision: blueprint}
    kept = {*sorted(known)[-BLUEPRINTS_KEPT:], revision, *state.lived[-1:]}
    state = msgspec.structs.replace(
        state,
        revision=revision,
        blueprint=blueprint,
        blueprints={number: known[number] for number in sorted(kept & known.keys())},
        restarts={},
        resolved=False,
    )
    return _status(state, Status.UPDATING)


def _lived(state: Deployment, revision: int) -> Deployment:
    before = tuple(number for number in state.lived if number != revision)
    return msgspec.structs.replace(state, lived=(*before, revision)[-BLUEPRINTS_KEPT:])


def _status(state: Deployment, status: Status) -> Deployment:
    """Change the status of what runs; what is stopped stays stopped."""
    if state.status in {Status.STOPPING, Status.STOPPED}:
        return state
    return msgspec.structs.replace(state, status=status, failure=None)


def _evolve_wish(state: Deployment, event: Event) -> Deployment | None:
    match event:
        case DeploymentScaled():
            state = msgspec.structs.replace(state, replicas_wanted=event.replicas)
            status, failure = Status.SCALING, None
        case DeploymentStopRequested():
            status, failure = Status.STOPPING, None
        case DeploymentStartRequested():
            status, failure = Status.STARTING, None
        case DeploymentDeletionRequested():
            status, failure = Status.DELETING, None
        case DeploymentBecameHealthy():
            state = _lived(state, state.revision) if event.ready else state
            status, failure = Status.RUNNING, None
        case DeploymentFailed():
            status, failure = Status.FAILED, event.reason
        case DeploymentStopped():
            status, failure = Status.STOPPED, None
        case DeploymentDeleted():
            status, failure = Status.DELETED, None
        case _:
            return None
    return msgspec.structs.replace(state, status=status, failure=failure)


def _evolve_replicas(state: Deployment, event: Event) -> Deployment | None:
    replicas = evolve_replicas(state.replicas, event)
    if replicas is None:
        return None
    if isinstance(event, ReplicaStarted) and event.restarts:
        restarts = {**state.restarts, event.replica_id: event.restarts}
        state = msgspec.structs.replace(state, restarts=restarts)
    return msgspec.structs.replace(state, replicas=replicas)


DEPLOYMENT = Aggregate(name="deployment", state=Deployment, evolve=evolve, snapshot_every=200)
