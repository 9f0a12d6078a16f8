"""Changing a password, and replacing a forgotten one."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from api.answers import answer, respond
from api.errors import InvalidValue
from api.guard import OPEN_TO_ALL, GuardedRoute
from api.identity.guesses import as_long_as_always, guessing, may_be_mailed, network
from api.openapi import refusals
from api.requests import Writing
from api.schemas import EmailAddress, Input, Message
from commands.identity import ChangePassword, RequestPasswordReset, ResetPassword

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Identity"])

Password = Annotated[str, Field(min_length=1, max_length=256)]
LinkText = Annotated[str, Field(min_length=1, max_length=200)]


class Forgotten(Input):
    """Whose password is forgotten."""

    email: EmailAddress


class Replacement(Input):
    """A new password for a forgotten one."""

    token: LinkText
    """What stands in the link of the mail."""
    new_password: Password


class PasswordChange(Input):
    """A new password for a known one."""

    current_password: Password
    new_password: Password
    confirm_new_password: Password


@router.post(
    "/auth/forgot-password",
    status_code=202,
    response_model=Message,
    responses=refusals(),
    openapi_extra=OPEN_TO_ALL,
)
async def forgot_password(body: Forgotten, write: Writing) -> Response:
    """Send a link to set a new password. The answer is the same for every address."""
    async with as_long_as_always(write):
        if await may_be_mailed(write, body.email):
            await write.run(
                RequestPasswordReset(email=body.email),
                lambda _: answer(Message(message="Asked for"), status=202),
            )
    # Without the log's position: it would tell whether anything happened.
    return respond(
        Message(message="If this address has an account, a mail with a link is on its way."),
        status=202,
    )


@router.post(
    "/auth/reset-password",
    response_model=Message,
    responses=refusals(410),
    openapi_extra=OPEN_TO_ALL,
)
async def reset_password(body: Replacement, write: Writing) -> Response:
    """Set a new password by the link. Every session ends; sign in with the new password."""
    return await write.dispatch(
        ResetPassword(
            token=body.token,
            new_password=body.new_password,
            network=network(write),
            password_length_min=write.options.password_length_min,
        ),
        lambda _: answer(Message(message="The password is set; every session has ended")),
    )


@router.put("/user/password", response_model=Message, responses=refusals(401, 403))
async def change_password(body: PasswordChange, write: Writing) -> Response:
    """Change the password. Every other session ends."""
    user_id = write.must_be_a_person()
    if body.new_password != body.confirm_new_password:
        raise InvalidValue(
            "They differ.", fields={"confirmNewPassword": "differs from newPassword"}
        )
    async with guessing(write, user_id):
        return await write.dispatch(
            ChangePassword(
                current_password=body.current_password,
                new_password=body.new_password,
                session_id=write.caller.session_id or "",
                password_length_min=write.options.password_length_min,
            ),
            lambda _: answer(Message(message="Password changed; every other session has ended")),
        )
