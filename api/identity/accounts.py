"""Joining, and who one is."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from api.answers import Answer, answer, respond
from api.errors import InvalidValue
from api.guard import OPEN_TO_ALL, GuardedRoute
from api.openapi import refusals
from api.requests import Read, Writing, reading
from api.schemas import EmailAddress, Input, Output
from commands.identity import Registered, RegisterUser
from domain.kernel.errors import NotFound
from projections.api_keys import count_keys
from projections.deployments import count_deployments
from projections.identity import user_by_id

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Identity"])

_GUESSED_FIRST = """
password password1 password12 password123 passw0rd p@ssw0rd 12345678 123456789 1234567890 11111111
00000000 87654321 qwertyui qwerty12 qwerty123 qwertyuiop 1q2w3e4r 1qaz2wsx abcd1234 abc12345
iloveyou sunshine princess football baseball superman letmein1 welcome1 trustno1 whatever computer
internet starwars michelle jennifer changeme administrator
"""
COMMON_PASSWORDS = frozenset(_GUESSED_FIRST.split())

Password = Annotated[str, Field(min_length=8, max_length=256)]


class Registration(Input):
    """A new account."""

    username: Annotated[str, Field(min_length=3, max_length=32)]
    email: EmailAddress
    password: Password
    confirm_password: Annotated[str, Field(max_length=256)]


class Account(Output):
    """The new account."""

    id: str
    username: str
    email: str
    team_id: str
    """The personal team, which owns what the person makes."""
    created_at: datetime
    status: str


class Profile(Output):
    """A person and what their team has."""

    id: str
    username: str
    email: str
    status: str
    team_id: str
    created_at: datetime
    last_login: datetime | None
    deployment_count: int
    api_key_count: int


@router.post(
    "/auth/register",
    status_code=201,
    response_model=Account,
    responses=refusals(409),
    openapi_extra=OPEN_TO_ALL,
)
async def register(body: Registration, write: Writing) -> Response:
    """Make an account."""
    if body.password != body.confirm_password:
        raise InvalidValue("They differ.", fields={"confirmPassword": "differs from password"})
    if body.password.casefold() in COMMON_PASSWORDS:
        raise InvalidValue("Everybody guesses it first.", fields={"password": "is too common"})

    def made(account: Registered) -> Answer:
        return answer(
            Account(
                id=account.user_id,
                username=account.username,
                email=account.email,
                team_id=account.team_id,
                created_at=account.created_at,
                status="active",
            ),
            status=201,
        )

    return await write.dispatch(
        RegisterUser(username=body.username, email=body.email, password=body.password), made
    )


@router.get("/user/profile", response_model=Profile, responses=refusals(401, 403))
async def profile(
    read: Annotated[Read, reading("users", "deployments", "api_keys")],
) -> Response:
    """Show who is signed in."""
    user = await user_by_id(read.views, read.must_be_a_person())
    if user is None:
        raise NotFound
    return respond(
        Profile(
            id=user.id,
            username=user.username,
            email=user.email,
            status=user.status,
            team_id=user.team_id,
            created_at=user.created_at,
            last_login=user.last_login,
            deployment_count=await count_deployments(read.views, team_ids=read.seen_teams),
            api_key_count=await count_keys(read.views, team_ids=read.seen_teams),
        )
    )
