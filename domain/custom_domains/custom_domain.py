"""The rules of one custom domain."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from domain.custom_domains.events import (
    DomainAdded,
    DomainCheckFailed,
    DomainCheckPassed,
    DomainCheckRequested,
    DomainFailed,
    DomainMoved,
    DomainRemoved,
    DomainTransferred,
    DomainVerified,
)
from domain.custom_domains.values import (
    INCONCLUSIVE,
    DomainStatus,
    RecordProblem,
    Schedule,
    Target,
    Wanted,
)
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import LimitReached
from domain.kernel.events import Event

CHECK_INTERVAL_MIN = timedelta(seconds=10)


class CheckedJustNow(LimitReached):
    """The records were looked at a moment ago; wait a little before you ask again."""


class TooManyDomains(LimitReached):
    """A deployment cannot have more domains."""


class CustomDomain(msgspec.Struct, frozen=True, kw_only=True):
    """One name that shall lead to one deployment."""

    domain_id: str
    deployment_id: str
    team_id: str
    name: str
    token: str
    added_at: datetime
    status: DomainStatus = DomainStatus.PENDING
    removed: bool = False
    trying_since: datetime
    failures: int = 0
    """Checks in a row that failed."""
    next_check_at: datetime | None
    asked_at: datetime | None = None
    routed_until: datetime | None = None
    problems: tuple[RecordProblem, ...] = ()
    """What the last check found, unless somebody asked for another one since."""

    def wanted(self, app_name: str, target: Target) -> Wanted:
        """Return what DNS has to say about it."""
        return Wanted(
            name=self.name,
            token=self.token,
            host=target.host_of(app_name),
            addresses=target.addresses,
        )

    def ask_for_check(self, *, now: datetime, by: str) -> list[Event]:
        """Ask for the records to be looked at now; not more often than makes sense."""
        if self.asked_at is not None and now - self.asked_at < CHECK_INTERVAL_MIN:
            wait = self.asked_at + CHECK_INTERVAL_MIN - now
            raise CheckedJustNow(retry_after_seconds=int(wait.total_seconds()) + 1)
        return [DomainCheckRequested(requested_by=by, requested_at=now)]

    def checked(
        self,
        problems: Sequence[RecordProblem],
        *,
        due_at: datetime,
        now: datetime,
        schedule: Schedule,
    ) -> list[Event]:
        """Take in what a check found. Each due check counts once, however often it is reported."""
        if self.removed or self.next_check_at != due_at:
            return []
        if problems:
            return self._failed(tuple(problems), now, schedule)
        next_check_at = now + schedule.recheck
        if self.status is DomainStatus.ACTIVE:
            return [DomainCheckPassed(checked_at=now, next_check_at=next_check_at)]
        return [
            DomainVerified(
                name=self.name,
                deployment_id=self.deployment_id,
                previously=self.status,
                verified_at=now,
                next_check_at=next_check_at,
            )
        ]

    def give_way(self, problems: Sequence[RecordProblem], *, now: datetime) -> list[Event]:
        """Lose the name to the domain whose records are in DNS."""
        return [self._end(tuple(problems), now, displaced=True)]

    def transfer(self, team_id: str) -> list[Event]:
        """Go along to another team."""
        if self.removed or team_id == self.team_id:
            return []
        return [DomainTransferred(team_id=team_id, from_team_id=self.team_id)]

    def move(self, deployment_id: str, *, by: str, now: datetime) -> list[Event]:
        """Lead to another deployment; where it leads now, nothing happens."""
        if deployment_id == self.deployment_id:
            return []
        return [
            DomainMoved(
                name=self.name,
                deployment_id=deployment_id,
                from_deployment_id=self.deployment_id,
                moved_by=by,
                moved_at=now,
            )
        ]

    def remove(self, *, by: str) -> list[Event]:
        """Let it go. Removing twice changes nothing."""
        if self.removed:
            return []
        return [
            DomainRemoved(
                name=self.name,
                deployment_id=self.deployment_id,
                previously=self.status,
                removed_by=by,
            )
        ]

    def _failed(
        self, problems: tuple[RecordProblem, ...], now: datetime, schedule: Schedule
    ) -> list[Event]:
        routed_until = self.routed_until
        if self.status is DomainStatus.ACTIVE:
            if any(problem.fault not in INCONCLUSIVE for problem in problems):
                routed_until = routed_until or now + schedule.grace
                if now >= routed_until:
                    return [self._end(problems, now)]
            next_check_at = now + schedule.soon
            if routed_until is not None and routed_until > now:
                next_check_at = min(next_check_at, routed_until)
        else:
            if now - self.trying_since >= schedule.give_up:
                return [self._end(problems, now)]
            next_check_at = now + schedule.retry(self.failures + 1)
        return [
            DomainCheckFailed(
                name=self.name,
                deployment_id=self.deployment_id,
                problems=problems,
                checked_at=now,
                next_check_at=next_check_at,
                routed_until=routed_until,
                status=self.status,
                recurring=problems == self.problems,
            )
        ]

    def _end(
        self,
        problems: tuple[RecordProblem, ...],
        now: datetime,
        *,
        displaced: bool = False,
    ) -> Event:
        return DomainFailed(
            name=self.name,
            deployment_id=self.deployment_id,
            previously=self.status,
            problems=problems,
            failed_at=now,
            displaced=displaced,
        )


def evolve(state: CustomDomain | None, event: Event) -> CustomDomain | None:
    """Remember what happened to the domain."""
    if isinstance(event, DomainAdded):
        return CustomDomain(
            domain_id=event.domain_id,
            deployment_id=event.deployment_id,
            team_id=event.team_id,
            name=event.name,
            token=event.token,
            added_at=event.added_at,
            trying_since=event.added_at,
            next_check_at=event.added_at,
        )
    if state is None:
        return None
    return _evolve(state, event)


def _evolve(state: CustomDomain, event: Event) -> CustomDomain:
    changed: dict[str, object] = {}
    match event:
        case DomainCheckRequested():
            at = event.requested_at
            changed = {"next_check_at": at, "asked_at": at, "problems": ()}
            if state.status is not DomainStatus.ACTIVE:
                changed |= {"status": DomainStatus.PENDING, "trying_since": at, "failures": 0}
        case DomainVerified() | DomainCheckPassed():
            changed = {
                "status": DomainStatus.ACTIVE,
                "failures": 0,
                "next_check_at": event.next_check_at,
                "routed_until": None,
                "problems": (),
            }
        case DomainCheckFailed():
            changed = {
                "problems": event.problems,
                "failures": state.failures + 1,
                "next_check_at": event.next_check_at,
                "routed_until": event.routed_until,
            }
        case DomainFailed():
            changed = {
                "status": DomainStatus.FAILED,
                "next_check_at": None,
                "routed_until": None,
            }
        case DomainTransferred():
            changed = {"team_id": event.team_id}
        case DomainMoved():
            at = event.moved_at
            changed = {
                "deployment_id": event.deployment_id,
                "next_check_at": at,
                "problems": (),
            }
            if state.status is not DomainStatus.ACTIVE:
                changed |= {"status": DomainStatus.PENDING, "trying_since": at, "failures": 0}
        case DomainRemoved():
            changed = {"removed": True, "next_check_at": None}
    return msgspec.structs.replace(state, **changed)


CUSTOM_DOMAIN = Aggregate(
    name="custom domain", state=CustomDomain, evolve=evolve, snapshot_every=200
)
