"""For those who look after the platform: who there is, and shutting people out."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.answers import answer, respond
from api.guard import GuardedRoute
from api.identity.passwords import LinkText
from api.lists import PageQuery, Pagination, pagination_of, sorted_by, window_of
from api.openapi import refusals
from api.proofs import must_be_proved_admin
from api.requests import Asking, Read, Writing, reading
from api.schemas import Input, Message, Output, Text, identifier
from commands.identity import FollowAdminLink, ReinstateUser, SendPasswordReset, SuspendUser
from domain.kernel.errors import NotAllowed, NotFound
from domain.kernel.ids import is_id
from projections.identity import USER_LISTING, UserRow, list_users

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Administration"])

UserId = Annotated[str, identifier("usr")]


class SetupLink(Input):
    """The link that was printed on the server."""

    token: LinkText


class PeopleQuery(PageQuery):
    """Whom to list."""

    search: Annotated[Text | None, Field(max_length=254)] = None
    """A part of the username or of the e-mail address."""


class PersonShown(Output):
    """A person, as an admin of the platform sees them."""

    id: str
    username: str
    email: str
    status: str
    platform_admin: bool
    team_id: str
    created_at: datetime
    last_login: datetime | None


class People(Output):
    """A part of the list of people."""

    users: list[PersonShown]
    pagination: Pagination


class Suspension(Input):
    """Why somebody is shut out."""

    reason: Annotated[Text, Field(max_length=200)] = ""


@router.post("/setup", response_model=Message, responses=refusals(401, 403, 410))
async def set_up(body: SetupLink, write: Writing) -> Response:
    """Look after the platform from now on, by the link printed on the server. It works once."""
    write.must_be_a_person()
    done = await write.run(
        FollowAdminLink(token=body.token),
        lambda _: answer(Message(message="You look after this platform now")),
    )
    write.doorkeeper.forget_session(write.caller.session_id or "")
    return done.response()


@router.get(
    "/admin/users",
    response_model=People,
    responses=refusals(401, 403),
    openapi_extra=sorted_by(USER_LISTING),
)
async def users(
    query: Annotated[PeopleQuery, Query()], read: Annotated[Read, reading("users")]
) -> Response:
    """List the people there are."""
    await must_be_platform_admin(read)
    window = window_of(query, USER_LISTING, "users", read.services)
    page = await list_users(read.views, window, search=query.search)
    return respond(
        People(
            users=[_shown(user) for user in page.rows],
            pagination=pagination_of(page, window, query, "users", read.services),
        )
    )


@router.post(
    "/admin/users/{user_id}/suspension",
    response_model=Message,
    responses=refusals(401, 403, 404),
)
async def suspend_user(user_id: UserId, body: Suspension, write: Writing) -> Response:
    """Shut a person out: their sessions end and none begins."""
    await must_be_platform_admin(write)
    if not is_id(user_id, "usr"):
        raise NotFound
    return await write.dispatch(
        SuspendUser(user_id=user_id, reason=body.reason),
        lambda _: answer(Message(message="Suspended")),
    )


@router.delete(
    "/admin/users/{user_id}/suspension",
    response_model=Message,
    responses=refusals(401, 403, 404),
)
async def reinstate_user(user_id: UserId, write: Writing) -> Response:
    """Let a person in again."""
    await must_be_platform_admin(write)
    if not is_id(user_id, "usr"):
        raise NotFound
    return await write.dispatch(
        ReinstateUser(user_id=user_id), lambda _: answer(Message(message="Reinstated"))
    )


@router.post(
    "/admin/users/{user_id}/password-reset",
    response_model=Message,
    status_code=202,
    responses=refusals(401, 403, 404),
)
async def send_password_reset(user_id: UserId, write: Writing) -> Response:
    """Send a person the link by which a password is replaced. It stays as it is until then."""
    await must_be_platform_admin(write)
    if not is_id(user_id, "usr"):
        raise NotFound
    return await write.dispatch(
        SendPasswordReset(user_id=user_id),
        lambda _: answer(Message(message="The link is on its way"), status=202),
    )


async def must_be_platform_admin(asking: Asking) -> None:
    """Refuse whoever does not look after the platform, or did not prove it lately and well."""
    if not asking.caller.actor.platform_admin:
        raise NotAllowed("Only an admin of the platform may do this.")
    await must_be_proved_admin(asking)


def _shown(user: UserRow) -> PersonShown:
    return PersonShown(
        id=user.id,
        username=user.username,
        email=user.email,
        status=user.status,
        platform_admin=user.platform_admin,
        team_id=user.team_id,
        created_at=user.created_at,
        last_login=user.last_login,
    )
