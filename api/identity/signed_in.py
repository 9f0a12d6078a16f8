"""Where one is signed in, and signing out there."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.addresses import opened_addresses
from api.answers import answer, respond
from api.guard import GuardedRoute
from api.identity.sessions import ended
from api.lists import PageQuery, Pagination, pagination_of, sorted_by, window_of
from api.openapi import refusals
from api.requests import Read, Writing, reading
from api.schemas import Message, Output, identifier
from commands.identity import EndOtherSessions, EndSession
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from projections.identity import SESSION_LISTING, list_sessions

router = APIRouter(route_class=GuardedRoute, prefix="/v1/user/sessions", tags=["Identity"])


class SessionShown(Output):
    """A sign-in that lasts."""

    id: str
    address: str | None
    """The network address it began from."""
    user_agent: str | None
    """What the program called itself."""
    created_at: datetime
    last_used_at: datetime
    """When its tokens were renewed last."""
    expires_at: datetime
    current: bool
    """Whether it is the one that asks."""


class Sessions(Output):
    """A part of the list of sign-ins."""

    sessions: list[SessionShown]
    pagination: Pagination


@router.get(
    "",
    response_model=Sessions,
    responses=refusals(401, 403),
    openapi_extra=sorted_by(SESSION_LISTING),
)
async def sessions(
    query: Annotated[PageQuery, Query()], read: Annotated[Read, reading("users", "sessions")]
) -> Response:
    """List where one is signed in."""
    user_id = read.must_be_a_person()
    window = window_of(query, SESSION_LISTING, "sessions", read.services)
    page = await list_sessions(read.views, window, user_id=user_id, now=read.services.clock())
    addresses = await opened_addresses(read.services.vault, [row.address for row in page.rows])
    shown = [
        SessionShown(
            id=row.id,
            address=address,
            user_agent=row.user_agent,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            expires_at=row.expires_at,
            current=row.id == read.caller.session_id,
        )
        for row, address in zip(page.rows, addresses, strict=True)
    ]
    return respond(
        Sessions(
            sessions=shown,
            pagination=pagination_of(page, window, query, "sessions", read.services),
        )
    )


@router.delete("", response_model=Message, responses=refusals(401, 403))
async def end_other_sessions(write: Writing) -> Response:
    """Sign out everywhere else."""
    write.must_be_a_person()
    return await write.dispatch(
        EndOtherSessions(kept_session_id=write.caller.session_id or ""),
        lambda _: answer(Message(message="Signed out everywhere else")),
    )


@router.delete("/{session_id}", response_model=Message, responses=refusals(401, 403, 404))
async def end_session(session_id: Annotated[str, identifier("ses")], write: Writing) -> Response:
    """Sign out there. The session's tokens are refused from now on."""
    write.must_be_a_person()
    if not is_id(session_id, "ses"):
        raise NotFound
    done = await write.run(
        EndSession(session_id=session_id), lambda _: answer(Message(message="Signed out there"))
    )
    return await ended(write, done, session_id)
