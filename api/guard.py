"""Before every route: somebody must be there, unless the route is open to all, and the body sane.

In this order, so that a stranger's body is not even read.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.bodies import ARCHIVE_TYPES, checked_body
from api.callers import Caller, Doorkeeper
from api.denials import Denials
from api.errors import Unauthenticated, problem_of
from domain.kernel.errors import NotAllowed, NotFound

OPEN_TO_ALL: dict[str, Any] = {"security": []}
"""Marks a route, in its `openapi_extra`, that asks for no credentials."""
FORM = {**OPEN_TO_ALL, "x-form": True}
"""The same for one that takes a form instead of JSON."""
UPLOAD: dict[str, Any] = {
    "x-upload": True,
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in ARCHIVE_TYPES
        },
    },
}
"""Marks a route that takes an archive, and checks and reads it itself as it comes."""
PERHAPS_OPEN: dict[str, Any] = {"security": [{}, {"bearer": []}, {"apiKey": []}]}
"""Marks a route that some things are open to all at, and that looks itself at who asks."""

DENIED = {403, 404}
WRITABLE_AS_ANOTHER = (
    "/v1/deployments",
    "/v1/estimate",
    "/v1/alerts",
    "/v1/events/ticket",
    "/v1/impersonation",
)
"""Where an admin who acts as another person may change something ..."""
NEVER_AS_ANOTHER = ("/v1/admin", "/v1/user/export")
"""... and what they may not even read."""
DELICATE = ("/transfer", "/certificate")


class NotAsAnother(NotAllowed):
    """Acting as another person, nobody changes credentials, people or teams, or deletes."""


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class GuardedRoute(APIRoute):
    """A route behind the guard."""

    def get_route_handler(self) -> Handler:
        """Return the route's handler with the guard before it."""
        handle = super().get_route_handler()
        extra = self.openapi_extra or {}
        upload = extra.get("x-upload", False)
        security = extra.get("security")
        is_open = security == [] or security == PERHAPS_OPEN["security"]
        form = extra.get("x-form", False)

        async def guarded(request: Request) -> Response:
            if not is_open:
                if request.state.refusal is not None:
                    raise request.state.refusal
                if request.state.caller is None:
                    raise Unauthenticated
            if request.state.caller is not None and request.state.caller.actor.impersonates:
                _must_be_harmless(request)
            if not upload:
                await checked_body(request, form=form)
            try:
                return await _handled(request, handle, again=not upload)
            except (NotFound, NotAllowed) as error:
                _note(error, request, route=self.path_format)
                raise

        return guarded


async def _handled(request: Request, handle: Handler, *, again: bool) -> Response:
    """Answer; once more if nothing was found and, by now, the caller may see more than before.

    Another process may have let them into a team a moment ago. A request that changed something
    already is not tried again.
    """
    request.state.changed = False
    try:
        return await handle(request)
    except NotFound:
        caller: Caller | None = request.state.caller
        if not again or caller is None or request.state.changed:
            raise
        doorkeeper: Doorkeeper = request.app.state.doorkeeper
        known = await doorkeeper.look_again(caller)
        if known.actor.grants == caller.actor.grants:
            raise
        request.state.caller = known
    return await handle(request)


def _must_be_harmless(request: Request) -> None:
    """Refuse what nobody may do in another person's name: credentials, deletions, people, teams."""
    path = request.url.path
    if request.method in {"GET", "HEAD"}:
        refused = path.startswith(NEVER_AS_ANOTHER)
    elif path == "/v1/impersonation":
        return
    else:
        refused = (
            request.method == "DELETE"
            or not path.startswith(WRITABLE_AS_ANOTHER)
            or path.endswith(DELICATE)
        )
    if refused:
        raise NotAsAnother


def _note(error: NotFound | NotAllowed, request: Request, *, route: str) -> None:
    """Remember that somebody known was refused what is not for them, for the audit list."""
    caller: Caller | None = request.state.caller
    status = problem_of(error).status
    if caller is None or status not in DENIED:
        return
    actor = caller.actor
    team_id = error.team_id if isinstance(error, NotAllowed) else None
    asked = request.path_params.get("team_id")
    if team_id is None and isinstance(asked, str) and actor.sees(asked):
        team_id = asked
    team_id = team_id or actor.home_team_id
    if team_id is None:
        return
    denials: Denials = request.app.state.denials
    denials.saw(
        status,
        actor=actor,
        team_id=team_id,
        method=request.method,
        route=route,
        address=request.state.address,
        request_id=request.state.request_id,
    )
