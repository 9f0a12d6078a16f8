"""Before every route: somebody must be there, unless the route is open to all, and the body sane.

In this order, so that a stranger's body is not even read.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.bodies import ARCHIVE_TYPES, checked_body
from api.errors import Unauthenticated

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

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class GuardedRoute(APIRoute):
    """A route behind the guard."""

    def get_route_handler(self) -> Handler:
        """Return the route's handler with the guard before it."""
        handle = super().get_route_handler()
        extra = self.openapi_extra or {}
        upload = extra.get("x-upload", False)
        is_open, form = extra.get("security") == [], extra.get("x-form", False)

        async def guarded(request: Request) -> Response:
            if not is_open:
                if request.state.refusal is not None:
                    raise request.state.refusal
                if request.state.caller is None:
                    raise Unauthenticated
            if not upload:
                await checked_body(request, form=form)
            return await handle(request)

        return guarded
