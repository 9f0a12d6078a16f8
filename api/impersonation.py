"""Acting as another person, for a quarter of an hour, to see what they see.

What is done meanwhile has the admin as its actor, in the audit list of whom it is about.
Credentials, people and teams cannot be changed, and nothing can be deleted (`api/guard.py`).
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from api.admin import UserId, must_be_platform_admin
from api.answers import Answer, answer
from api.guard import GuardedRoute
from api.openapi import refusals
from api.requests import Writing
from api.schemas import Input, Message, Output, Text
from commands.identity import BeginImpersonation, EndSession, Impersonation
from domain.kernel.errors import NotFound, RuleViolated
from domain.kernel.ids import is_id

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Administration"])


class NotImpersonating(RuleViolated):
    """You act as yourself."""


class Why(Input):
    """Why somebody acts as another person. The person can read it."""

    reason: Annotated[Text, Field(min_length=1, max_length=200)]


class ImpersonatedPerson(Output):
    """As whom."""

    id: str
    username: str
    email: str


class ImpersonationBegun(Output):
    """What to act with. It cannot be renewed."""

    access_token: str
    expires_at: datetime
    user: ImpersonatedPerson


@router.post(
    "/admin/users/{user_id}/impersonation",
    response_model=ImpersonationBegun,
    status_code=201,
    responses=refusals(401, 403, 404),
)
async def begin_impersonation(user_id: UserId, body: Why, write: Writing) -> Response:
    """Act as a person for at most 15 minutes, with a mark in their audit list."""
    await must_be_platform_admin(write)
    if not is_id(user_id, "usr"):
        raise NotFound
    now = write.services.clock()

    def made(begun: Impersonation) -> Answer:
        token, ends_at = write.services.tokens.issue(
            user_id=begun.user_id, session_id=begun.session_id, now=now
        )
        return answer(
            ImpersonationBegun(
                access_token=token,
                expires_at=min(ends_at, begun.ends_at),
                user=ImpersonatedPerson(
                    id=begun.user_id, username=begun.username, email=begun.email
                ),
            ),
            status=201,
        )

    return await write.dispatch(BeginImpersonation(user_id=user_id, reason=body.reason), made)


@router.delete("/impersonation", response_model=Message, responses=refusals(401, 403))
async def end_impersonation(write: Writing) -> Response:
    """Act as oneself again. The token stops working."""
    write.must_be_a_person()
    if not write.caller.actor.impersonates:
        raise NotImpersonating
    session_id = write.caller.session_id or ""
    done = await write.run(
        EndSession(session_id=session_id, reason="impersonation ended"),
        lambda _: answer(Message(message="You are yourself again")),
    )
    write.doorkeeper.forget_session(session_id)
    return done.response()
