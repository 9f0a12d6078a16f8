"""What each team may run at once, and what it runs."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.deployments.events import CapacityAllotted, CapacityFreed, TeamQuotaChanged
from domain.deployments.values import Capacity
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Listing, Page, Reader, Window
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


class ResourcesRow(msgspec.Struct, frozen=True, kw_only=True):
    """A team with its quota and what it takes of the platform."""

    id: str
    name: str
    personal: bool
    created_at: datetime
    owner: str | None
    members: int
    requests: int
    own: dict[str, int]
    allotted: dict[str, Capacity]

    @property
    def quota(self) -> QuotaRow:
        """What it may run, and what it runs."""
        return QuotaRow(team_id=self.id, own=self.own, allotted=self.allotted)


RESOURCE_LISTING = Listing(
    sorts={"createdAt": "created_at", "name": "name", "requestsThisMonth": "requests"},
    sort_default="-createdAt",
    id_column="id",
    kinds={"id": "text", "name": "text", "created_at": "timestamptz", "requests": "bigint"},
)


async def list_resources(
    reader: Reader, window: Window, *, search: str | None, since: datetime
) -> Page[ResourcesRow]:
    """Return every team, or those whose name or owner has the text in it; requests since then."""
    return await reader.page(
        ResourcesRow,
        "SELECT t.id, t.name, t.personal, t.created_at, o.username AS owner,"
        " (SELECT count(*) FROM views.members AS m WHERE m.team_id = t.id) AS members,"
        " (SELECT coalesce(sum(r.requests), 0)::bigint FROM views.request_totals AS r"
        "  WHERE r.team_id = t.id AND r.hour >= %s) AS requests,"
        " coalesce(q.own, '{}') AS own, coalesce(q.allotted, '{}') AS allotted"
        " FROM views.teams AS t LEFT JOIN views.quotas AS q ON q.team_id = t.id"
        " LEFT JOIN LATERAL (SELECT u.username FROM views.members AS m"
        "  JOIN views.users AS u ON u.id = m.user_id WHERE m.team_id = t.id AND m.role = 'owner'"
        "  ORDER BY m.since, m.user_id LIMIT 1) AS o ON true"
        " WHERE (%s::text IS NULL OR strpos(lower(t.name), lower(%s)) > 0"
        "  OR strpos(lower(o.username), lower(%s)) > 0)",
        since,
        search,
        search,
        search,
        listing=RESOURCE_LISTING,
        window=window,
    )
