"""Deleting one's account."""

import contextlib
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from api.answers import OK, answer
from api.guard import GuardedRoute
from api.identity.second_factors import Otp
from api.openapi import refusals
from api.requests import Writing
from api.schemas import Input, Message
from commands.identity import EraseUser
from projections.reading import ViewBehind
from projections.teams import shared_teams_of

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Identity"])

DONE = (
    "Your account is deleted. What is personal becomes unreadable within seconds; your personal"
    " team's keys are revoked, and its deployments are taken down."
)


class Erasure(Input):
    """The last proof that it is really you."""

    password: Annotated[str, Field(min_length=1, max_length=256)]
    otp: Otp | None = None
    """A code or a recovery code, where there is a second factor."""


@router.delete("/user", response_model=Message, responses=refusals(401, 403, 404, 409))
async def erase(body: Erasure, write: Writing) -> Response:
    """Delete one's own account, for ever. What is personal can never be read again by anybody."""
    user_id = write.must_be_a_person()
    await write.views.wait_for(
        "members",
        await write.services.log.last_position(),
        timeout_seconds=write.options.wait_seconds_max,
    )
    command = EraseUser(
        password=body.password,
        otp=body.otp,
        team_ids=tuple(await shared_teams_of(write.views, user_id)),
    )
    done = await write.run(command, lambda _: answer(Message(message=DONE)))
    if done.status != OK:
        return done.response()
    position = int(done.headers["X-Tallyport-Position"])
    with contextlib.suppress(ViewBehind):  # it has happened, also when the view is late
        await write.views.wait_for(
            "users", position, timeout_seconds=write.options.wait_seconds_max
        )
    write.doorkeeper.forget_session(write.caller.session_id or "")
    return done.response()
