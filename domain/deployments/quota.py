"""The rules of how much one team may run at once.

What each deployment of the team takes is remembered in one stream per team. It is appended to
together with the change that takes it, so two changes at the same moment are one version conflict,
and cannot both have the last replica.
"""

import msgspec

from domain.deployments.events import CapacityAllotted, CapacityFreed, TeamQuotaChanged
from domain.deployments.values import Capacity, Quota, cpu_text, memory_text
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import LimitReached
from domain.kernel.events import Event

_FIELDS = {"cpu_millis": "cpu", "memory_bytes": "memory"}
"""What a name of `Quota` is called where people write amounts as text."""


class QuotaExceeded(LimitReached):
    """This is more than the team may run at once."""


class TeamQuota(msgspec.Struct, frozen=True, kw_only=True):
    """What a team may run, and what it runs."""

    team_id: str
    own: dict[str, int] = {}
    """What an admin of the platform set for this team, by the names of `Quota`."""
    allotted: dict[str, Capacity] = {}
    """By deployment; one that is stopped has nothing, and is there all the same."""

    def limit(self, default: Quota) -> Quota:
        """Return what the team may run."""
        return msgspec.structs.replace(default, **self.own)

    def change(self, own: dict[str, int]) -> list[Event]:
        """Give the team limits of its own; what is not among them is as for everybody."""
        if own == self.own:
            return []
        return [TeamQuotaChanged(team_id=self.team_id, **own)]

    def allot(self, deployment_id: str, wanted: Capacity, default: Quota | None) -> list[Event]:
        """Let a deployment take so much instead of what it has; raises `QuotaExceeded`.

        Only what becomes more is asked about: who is above a limit that was lowered may still go
        down. Without a default nothing is refused: it has happened already.
        """
        now = self.allotted.get(deployment_id)
        if now == wanted:
            return []
        if default is not None:
            self._must_fit(now, wanted, self.limit(default))
        return [
            CapacityAllotted(team_id=self.team_id, deployment_id=deployment_id, capacity=wanted)
        ]

    def free(self, deployment_id: str) -> list[Event]:
        """Take back what a deployment had. Twice changes nothing."""
        if deployment_id not in self.allotted:
            return []
        return [CapacityFreed(team_id=self.team_id, deployment_id=deployment_id)]

    def _must_fit(self, now: Capacity | None, wanted: Capacity, limit: Quota) -> None:
        used = _used(self.allotted)
        have = {"deployments": 0 if now is None else 1, **_amounts(now or Capacity())}
        lacking = {}
        for name, needed in {"deployments": 1, **_amounts(wanted)}.items():
            more, left = needed - have[name], max(0, getattr(limit, name) - used[name])
            if more > 0 and more > left:
                field = _FIELDS.get(name, name)
                lacking[field] = _in_words(name, more, left, getattr(limit, name))
        if lacking:
            words = "; ".join(lacking.values())
            raise QuotaExceeded(f"{words[:1].upper()}{words[1:]}.", **lacking)


def _used(allotted: dict[str, Capacity]) -> dict[str, int]:
    used = {"deployments": len(allotted), **_amounts(Capacity())}
    for capacity in allotted.values():
        for name, amount in _amounts(capacity).items():
            used[name] += amount
    return used


def _amounts(capacity: Capacity) -> dict[str, int]:
    return msgspec.structs.asdict(capacity)


def _in_words(name: str, needed: int, left: int, limit: int) -> str:
    match name:
        case "cpu_millis":
            word, amounts = " of processor", [cpu_text(n) for n in (needed, left, limit)]
        case "memory_bytes":
            word, amounts = " of memory", [memory_text(n) for n in (needed, left, limit)]
        case _:
            word = f" more {name if needed > 1 else name.removesuffix('s')}"
            amounts = [str(n) for n in (needed, left, limit)]
    return f"needs {amounts[0]}{word}, {amounts[1]} left of {amounts[2]}"


def evolve(state: TeamQuota | None, event: Event) -> TeamQuota | None:
    """Remember what a team may run and what it runs."""
    if not isinstance(event, TeamQuotaChanged | CapacityAllotted | CapacityFreed):
        return state
    state = state or TeamQuota(team_id=event.team_id)
    match event:
        case TeamQuotaChanged():
            return msgspec.structs.replace(state, own=event.limits)
        case CapacityAllotted():
            allotted = {**state.allotted, event.deployment_id: event.capacity}
        case CapacityFreed():
            allotted = {
                each: capacity
                for each, capacity in state.allotted.items()
                if each != event.deployment_id
            }
    return msgspec.structs.replace(state, allotted=allotted)


TEAM_QUOTA = Aggregate(name="team quota", state=TeamQuota, evolve=evolve, snapshot_every=200)
