"""Teams and who is in them."""

import contextlib
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from api.answers import Answer, answer, respond
from api.guard import GuardedRoute
from api.lists import PageQuery, Pagination, pagination_of, sorted_by, window_of
from api.openapi import refusals
from api.requests import POSITION_HEADER, Read, Write, Writing, etag, reading
from api.schemas import Input, Message, Output, identifier
from commands.teams import (
    ChangedTeam,
    ChangeMemberRole,
    CreateTeam,
    DeleteTeam,
    RemoveMember,
    RenameTeam,
)
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from domain.teams.values import NAME_LENGTH_MAX, Role
from projections.api_keys import count_keys
from projections.deployments import count_deployments
from projections.reading import ViewBehind
from projections.teams import (
    MEMBER_LISTING,
    TEAM_LISTING,
    NamedMember,
    TheirTeam,
    list_members,
    list_teams,
    team_by_id,
)

router = APIRouter(route_class=GuardedRoute, prefix="/v1/teams", tags=["Teams"])

TEAM_VIEWS = ("teams", "members")
ME = "me"
TeamId = Annotated[str, identifier("org")]
UserId = Annotated[
    str, Path(description="`usr-` and ten characters, or `me`", examples=["usr-0a1b2c3d4e"])
]
TeamName = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH_MAX)]
CHANGING = refusals(401, 403, 404, 409, 412)
Reading = Annotated[Read, reading(*TEAM_VIEWS)]


class NewTeam(Input):
    """A team to be founded, or its new name."""

    name: TeamName


class NewRole(Input):
    """What a member is to be."""

    role: Role


class Team(Output):
    """A team, and what one is in it."""

    id: str
    name: str
    personal: bool
    """The team that its person always has, alone."""
    role: Role | None
    """The asking person's; null for a key."""
    created_at: datetime
    updated_at: datetime


class Teams(Output):
    """A part of the list of one's teams."""

    teams: list[Team]
    pagination: Pagination


class TeamRenamed(Output):
    """A team after a change."""

    id: str
    name: str
    updated_at: datetime


class Member(Output):
    """Who is in a team."""

    user_id: str
    username: str | None
    role: Role
    since: datetime


class Members(Output):
    """A part of the list of members."""

    members: list[Member]
    pagination: Pagination


class MemberRole(Output):
    """A member after a change."""

    user_id: str
    role: Role


@router.post("", status_code=201, response_model=Team, responses=refusals(401, 403, 409))
async def create(body: NewTeam, write: Writing) -> Response:
    """Found a team. Whoever founds it is its owner."""
    user_id = write.must_be_a_person()

    def made(team: ChangedTeam) -> Answer:
        return answer(
            Team(
                id=team.team_id,
                name=team.name,
                personal=False,
                role=Role.OWNER,
                created_at=team.at,
                updated_at=team.at,
            ),
            status=201,
            headers={"Location": f"/v1/teams/{team.team_id}"},
        )

    done = await write.run(CreateTeam(name=body.name), made)
    return await at_once(write, done, user_id)


@router.get(
    "", response_model=Teams, responses=refusals(401, 403), openapi_extra=sorted_by(TEAM_LISTING)
)
async def list_all(query: Annotated[PageQuery, Query()], read: Reading) -> Response:
    """List the teams that one is in; for a key, the one it belongs to."""
    window = window_of(query, TEAM_LISTING, "teams", read.services)
    page = await list_teams(
        read.views,
        window,
        team_ids=read.team_ids("team:read"),
        user_id=read.caller.actor.user_id,
    )
    return respond(
        Teams(
            teams=[_shown(team) for team in page.rows],
            pagination=pagination_of(page, window, query, "teams", read.services),
        )
    )


@router.get("/{team_id}", response_model=Team, responses=refusals(401, 403, 404))
async def get(team_id: TeamId, read: Reading) -> Response:
    """Show one team."""
    read.must_hold("team:read", team_id=team_id)
    team = await team_by_id(
        read.views, team_id, team_ids=read.seen_teams, user_id=read.caller.actor.user_id
    )
    if team is None:
        raise NotFound
    return respond(_shown(team), headers={"ETag": etag(team.version)})


@router.patch("/{team_id}", response_model=TeamRenamed, responses=CHANGING)
async def rename(team_id: TeamId, body: NewTeam, write: Writing) -> Response:
    """Call a team something else."""
    must_be_an_id(team_id, "org")

    def made(team: ChangedTeam) -> Answer:
        return answer(TeamRenamed(id=team.team_id, name=team.name, updated_at=team.at))

    command = RenameTeam(team_id=team_id, name=body.name)
    return await write.dispatch(command, made, resource=team_id)


@router.delete("/{team_id}", response_model=Message, responses=CHANGING)
async def delete(team_id: TeamId, write: Writing) -> Response:
    """Let a team be no more. It must have no deployments and no keys left."""
    write.must_hold("admin:*", team_id=team_id)
    user_id = write.must_be_a_person()
    position = await write.services.log.last_position()
    for view in ("deployments", "api_keys"):
        await write.views.wait_for(view, position, timeout_seconds=write.options.wait_seconds_max)
    left = {
        "deployments": await count_deployments(write.views, team_ids=[team_id]),
        "apiKeys": await count_keys(write.views, team_ids=[team_id]),
    }
    done = await write.run(
        DeleteTeam(team_id=team_id, left=left),
        lambda _: answer(Message(message="Team deleted successfully")),
        resource=team_id,
    )
    return await at_once(write, done, user_id)


@router.get(
    "/{team_id}/members",
    response_model=Members,
    responses=refusals(401, 403, 404),
    openapi_extra=sorted_by(MEMBER_LISTING),
)
async def members(
    team_id: TeamId,
    query: Annotated[PageQuery, Query()],
    read: Annotated[Read, reading("members", "users")],
) -> Response:
    """List who is in a team."""
    read.must_hold("team:read", team_id=team_id)
    window = window_of(query, MEMBER_LISTING, "members", read.services)
    page = await list_members(read.views, window, team_id=team_id)
    return respond(
        Members(
            members=[_member(row) for row in page.rows],
            pagination=pagination_of(page, window, query, "members", read.services),
        )
    )


@router.patch("/{team_id}/members/{user_id}", response_model=MemberRole, responses=CHANGING)
async def change_role(team_id: TeamId, user_id: UserId, body: NewRole, write: Writing) -> Response:
    """Change what a member is; oneself only downwards."""
    must_be_an_id(team_id, "org")
    member_id = _member_id(user_id, write)
    done = await write.run(
        ChangeMemberRole(team_id=team_id, user_id=member_id, role=body.role),
        lambda role: answer(MemberRole(user_id=member_id, role=role)),
        resource=team_id,
    )
    return await at_once(write, done, member_id)


@router.delete("/{team_id}/members/{user_id}", response_model=Message, responses=CHANGING)
async def remove(team_id: TeamId, user_id: UserId, write: Writing) -> Response:
    """Put a member out; `me`, or one's own id: leave. Effective within a second."""
    must_be_an_id(team_id, "org")
    member_id = _member_id(user_id, write)
    own = member_id == write.caller.actor.user_id
    done = await write.run(
        RemoveMember(team_id=team_id, user_id=member_id),
        lambda _: answer(Message(message="You left the team" if own else "Member removed")),
        resource=team_id,
    )
    return await at_once(write, done, member_id)


async def at_once(write: Write, done: Answer, user_id: str) -> Response:
    """Answer when this process knows of a person's new membership; others do within a second."""
    with contextlib.suppress(ViewBehind):  # it has happened, also when the view is late
        await write.views.wait_for(
            "members",
            int(done.headers[POSITION_HEADER]),
            timeout_seconds=write.options.wait_seconds_max,
        )
    write.doorkeeper.forget_person(user_id)
    return done.response()


def _member_id(user_id: str, write: Write) -> str:
    if user_id == ME:
        return write.must_be_a_person()
    must_be_an_id(user_id, "usr")
    return user_id


def must_be_an_id(text: str, prefix: str) -> None:
    """Refuse, as missing, what has not even the form of an id."""
    if not is_id(text, prefix):
        raise NotFound


def _shown(team: TheirTeam) -> Team:
    return Team(
        id=team.id,
        name=team.name,
        personal=team.personal,
        role=team.role,
        created_at=team.created_at,
        updated_at=team.updated_at,
    )


def _member(row: NamedMember) -> Member:
    return Member(user_id=row.user_id, username=row.username, role=row.role, since=row.since)
