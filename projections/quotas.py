"""What each team may run at once, and what it runs."""

from collections.abc import Sequence

import msgspec

from domain.deployments.events import CapacityAllotted, CapacityFreed, TeamQuotaChanged
from domain.deployments.values import Capacity
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Reader
from projections.view import Change, View


class QuotaRow(msgspec.Struct, frozen=True, kw_only=True):
    """One team's quota."""

    team_id: str
    own: dict[str, int] = {}
    """The limits that are the team's own, by the names of `Quota`."""
    allotted: dict[str, Capacity] = {}
    """By deployment."""

    @property
    def used(self) -> Capacity:
        """What all deployments take together."""
        each = self.allotted.values()
        return Capacity(
            **{
                name: sum(getattr(capacity, name) for capacity in each)
                for name in Capacity.__struct_fields__
            }
        )


def _changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, CapacityAllotted | CapacityFreed | TeamQuotaChanged):
        return [((event.team_id,), event)]
    return []


def _fold(row: QuotaRow | None, event: object, _: RecordedEvent) -> QuotaRow | None:
    change = msgspec.structs.replace
    match event:
        case TeamQuotaChanged():
            return change(row or QuotaRow(team_id=event.team_id), own=event.limits)
        case CapacityAllotted():
            row = row or QuotaRow(team_id=event.team_id)
            return change(row, allotted={**row.allotted, event.deployment_id: event.capacity})
        case CapacityFreed() if row is not None:
            kept = {each: has for each, has in row.allotted.items() if each != event.deployment_id}
            return change(row, allotted=kept)
    return row


QUOTAS = View(
    name="quotas",
    version=1,
    topic=Topic.EVENTS,
    row=QuotaRow,
    key=("team_id",),
    changes=_changes,
    fold=_fold,
)


async def quota_of(reader: Reader, team_id: str) -> QuotaRow:
    """Return a team's quota; nothing is known of a team that never deployed."""
    row = await reader.row(QuotaRow, "SELECT * FROM views.quotas WHERE team_id = %s", team_id)
    return row or QuotaRow(team_id=team_id)
