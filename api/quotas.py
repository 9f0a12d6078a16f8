"""How much a team may run at once, and how much it runs."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.admin import must_be_platform_admin
from api.answers import answer, respond
from api.guard import GuardedRoute
from api.lists import PageQuery, Pagination, pagination_of, sorted_by, window_of
from api.moments import month_of
from api.openapi import refusals
from api.requests import Read, Write, Writing, reading
from api.schemas import Input, Integer, Output, Text, checked, identifier
from commands.deployments import ChangeTeamQuota
from domain.deployments.values import (
    Quota,
    any_cpu_millis,
    any_memory_bytes,
    cpu_text,
    memory_text,
)
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from projections.quotas import RESOURCE_LISTING, QuotaRow, list_resources, quota_of
from projections.teams import team_by_id

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Teams"])

AMOUNT_MAX = 1_000_000
TeamId = Annotated[str, identifier("org")]
Whole = Annotated[Integer | None, Field(ge=0, le=AMOUNT_MAX)]


class OwnLimits(Input):
    """The limits that shall be the team's own. What is not given is as for every team."""

    deployments: Whole = None
    replicas: Whole = None
    cpu: Annotated[str, checked(any_cpu_millis)] | None = None
    memory: Annotated[str, checked(any_memory_bytes)] | None = None

    def by_name(self) -> dict[str, int]:
        """Return them by the names that the domain has for them."""
        wanted = {
            "deployments": self.deployments,
            "replicas": self.replicas,
            "cpu_millis": None if self.cpu is None else any_cpu_millis(self.cpu),
            "memory_bytes": None if self.memory is None else any_memory_bytes(self.memory),
        }
        return {name: amount for name, amount in wanted.items() if amount is not None}


class TeamLimits(Output):
    """What a team may run at once."""

    team_id: str
    deployments: int
    replicas: int
    cpu: str
    memory: str


class CountedQuota(Output):
    """How many there are, and how many there may be."""

    used: int
    limit: int
    own: bool
    """The limit is this team's own, not everybody's."""


class MeasuredQuota(Output):
    """How much is taken, and how much may be."""

    used: str
    limit: str
    own: bool
    """The limit is this team's own, not everybody's."""


class TeamQuota(Output):
    """What a team may run at once, and what it runs. What is stopped takes no replicas."""

    team_id: str
    deployments: CountedQuota
    replicas: CountedQuota
    cpu: MeasuredQuota
    memory: MeasuredQuota


class TeamResources(TeamQuota):
    """A team, and what it takes of the platform."""

    name: str
    personal: bool
    owner: str | None
    """The username of its first owner."""
    members: int
    requests_this_month: int
    created_at: datetime


class TeamList(Output):
    """A part of the list of teams."""

    teams: list[TeamResources]
    pagination: Pagination


class TeamsQuery(PageQuery):
    """Which teams."""

    search: Annotated[Text | None, Field(max_length=80)] = None
    """A part of the team's name or of its owner's."""


@router.get(
    "/admin/teams",
    response_model=TeamList,
    responses=refusals(401, 403),
    tags=["Administration"],
    openapi_extra=sorted_by(RESOURCE_LISTING),
)
async def resources(
    query: Annotated[TeamsQuery, Query()],
    read: Annotated[Read, reading("teams", "members", "quotas", "request_totals")],
) -> Response:
    """List every team with what it may run, what it runs, and how often it was called."""
    await must_be_platform_admin(read)
    window = window_of(query, RESOURCE_LISTING, "resources", read.services)
    month = month_of(read.services.clock())
    page = await list_resources(read.views, window, search=query.search, since=month)
    return respond(
        TeamList(
            teams=[
                TeamResources(
                    name=row.name,
                    personal=row.personal,
                    owner=row.owner,
                    members=row.members,
                    requests_this_month=row.requests,
                    created_at=row.created_at,
                    **_shown(row.quota, read.options.quota),
                )
                for row in page.rows
            ],
            pagination=pagination_of(page, window, query, "resources", read.services),
        )
    )


@router.get("/teams/{team_id}/quota", response_model=TeamQuota, responses=refusals(401, 403, 404))
async def quota(team_id: TeamId, read: Annotated[Read, reading("quotas")]) -> Response:
    """Show how much the team may run at once, and how much it runs."""
    read.must_hold("team:read", team_id=team_id)
    row = await quota_of(read.views, team_id)
    return respond(TeamQuota(**_shown(row, read.options.quota)))


@router.put(
    "/admin/teams/{team_id}/quota", response_model=TeamLimits, responses=refusals(401, 403, 404)
)
async def change_quota(team_id: TeamId, body: OwnLimits, write: Writing) -> Response:
    """Give a team limits of its own. What it runs already goes on, also above them."""
    await must_be_platform_admin(write)
    await _must_be_a_team(team_id, write)
    own = body.by_name()
    limit = _limits(write.options.quota, own)
    limits = TeamLimits(
        team_id=team_id,
        deployments=limit.deployments,
        replicas=limit.replicas,
        cpu=cpu_text(limit.cpu_millis),
        memory=memory_text(limit.memory_bytes),
    )
    return await write.dispatch(
        ChangeTeamQuota(team_id=team_id, limits=own), lambda _: answer(limits)
    )


async def _must_be_a_team(team_id: str, write: Write) -> None:
    if not is_id(team_id, "org"):
        raise NotFound
    position = await write.services.log.last_position()
    await write.views.wait_for("teams", position, timeout_seconds=write.options.wait_seconds_max)
    if await team_by_id(write.views, team_id, team_ids=[team_id], user_id=None) is None:
        raise NotFound


def _limits(default: Quota, own: dict[str, int]) -> Quota:
    known = {name: own.get(name, getattr(default, name)) for name in Quota.__struct_fields__}
    return Quota(**known)


def _shown(row: QuotaRow, default: Quota) -> dict[str, Any]:
    used, own = row.used, row.own
    limit = _limits(default, own)
    return {
        "team_id": row.team_id,
        "deployments": CountedQuota(
            used=len(row.allotted), limit=limit.deployments, own="deployments" in own
        ),
        "replicas": CountedQuota(used=used.replicas, limit=limit.replicas, own="replicas" in own),
        "cpu": MeasuredQuota(
            used=cpu_text(used.cpu_millis),
            limit=cpu_text(limit.cpu_millis),
            own="cpu_millis" in own,
        ),
        "memory": MeasuredQuota(
            used=memory_text(used.memory_bytes),
            limit=memory_text(limit.memory_bytes),
            own="memory_bytes" in own,
        ),
    }
