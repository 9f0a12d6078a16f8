"""Joining, and who one is."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from api.answers import Answer, answer, respond
from api.errors import InvalidValue
from api.guard import OPEN_TO_ALL, GuardedRoute
from api.identity.guesses import as_long_as_always, may_be_mailed
from api.identity.passwords import LinkText
from api.openapi import refusals
from api.proofs import must_be_recent
from api.requests import POSITION_HEADER, Read, Writing, etag, reading
from api.schemas import EmailAddress, Input, Message, Output
from commands.identity import (
    Changed,
    ChangeProfile,
    Registered,
    RegisterUser,
    ResendVerification,
    VerifyEmail,
)
from domain.kernel.errors import NotFound
from projections.api_keys import count_keys
from projections.deployments import count_deployments
from projections.identity import user_by_id

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Identity"])


class Registration(Input):
    """A new account."""

    username: Annotated[str, Field(min_length=3, max_length=32)]
    email: EmailAddress
    password: Annotated[str, Field(min_length=1, max_length=256)]
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


class Verification(Input):
    """The link that went to an address."""

    token: LinkText


class Waiting(Input):
    """An address that waits to be verified."""

    email: EmailAddress


class ProfileChange(Input):
    """What is to be changed."""

    username: Annotated[str | None, Field(min_length=3, max_length=32)] = None
    email: EmailAddress | None = None


class ChangedProfile(Output):
    """The account as it is now."""

    id: str
    username: str
    email: str
    pending_email: str | None
    """Takes the place of `email` once it is verified."""
    updated_at: datetime


class Profile(Output):
    """A person and what their team has."""

    id: str
    username: str
    email: str
    pending_email: str | None
    """Takes the place of `email` once it is verified."""
    status: str
    platform_admin: bool
    mailbox_kept: bool
    """Whether this admin of the platform can read here what mails it wrote."""
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
    """Make an account. Where addresses are verified, a link is sent to this one first."""
    if body.password != body.confirm_password:
        raise InvalidValue("They differ.", fields={"confirmPassword": "differs from password"})
    options = write.options
    command = RegisterUser(
        username=body.username,
        email=body.email,
        password=body.password,
        password_length_min=options.password_length_min,
        verify=options.verify_email,
    )
    if not options.verify_email:
        return await write.dispatch(command, _made)
    async with as_long_as_always(write):
        return (await write.run(command, _made)).without(POSITION_HEADER).response()


@router.post(
    "/auth/verify-email",
    response_model=Message,
    responses=refusals(409, 410),
    openapi_extra=OPEN_TO_ALL,
)
async def verify_email(body: Verification, write: Writing) -> Response:
    """Show that an address is one's own, by the link that went there."""
    return await write.dispatch(
        VerifyEmail(token=body.token),
        lambda _: answer(Message(message="The address is verified; sign in")),
    )


@router.post(
    "/auth/verify-email/resend",
    status_code=202,
    response_model=Message,
    responses=refusals(),
    openapi_extra=OPEN_TO_ALL,
)
async def resend_verification(body: Waiting, write: Writing) -> Response:
    """Send the link once more. The answer is the same for every address."""
    async with as_long_as_always(write):
        if await may_be_mailed(write, body.email):
            await write.run(
                ResendVerification(email=body.email),
                lambda _: answer(Message(message="Asked for"), status=202),
            )
    return respond(
        Message(message="If this address waits to be verified, a mail with a link is on its way."),
        status=202,
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
            pending_email=user.pending_email,
            status=user.status,
            platform_admin=user.platform_admin,
            mailbox_kept=user.platform_admin and read.services.mailbox is not None,
            team_id=user.team_id,
            created_at=user.created_at,
            last_login=user.last_login,
            deployment_count=await count_deployments(read.views, team_ids=read.seen_teams),
            api_key_count=await count_keys(read.views, team_ids=read.seen_teams),
        ),
        headers={"ETag": etag(user.version)},
    )


@router.put("/user/profile", response_model=ChangedProfile, responses=refusals(401, 403, 409, 412))
async def change_profile(body: ProfileChange, write: Writing) -> Response:
    """Go by another name, or be reached at another address."""
    user_id = write.must_be_a_person()
    if body.username is None and body.email is None:
        raise InvalidValue("Say what is to be changed: username, email.")
    if body.email is not None:
        await must_be_recent(write)  # where links to a new password go
    command = ChangeProfile(
        username=body.username, email=body.email, verify=write.options.verify_email
    )
    return await write.dispatch(command, _changed, resource=user_id)


def _made(account: Registered) -> Answer:
    return answer(
        Account(
            id=account.user_id,
            username=account.username,
            email=account.email,
            team_id=account.team_id,
            created_at=account.created_at,
            status="pending" if account.pending else "active",
        ),
        status=201,
    )


def _changed(account: Changed) -> Answer:
    return answer(
        ChangedProfile(
            id=account.user_id,
            username=account.username,
            email=account.email,
            pending_email=account.pending_email,
            updated_at=account.changed_at,
        )
    )
