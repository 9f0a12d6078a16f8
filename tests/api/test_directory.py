"""The directory finds what asking every route in order would find, or nothing."""

import re
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match

from api.app import ROUTERS
from api.directory import Directory

ROUTES = [route for router in ROUTERS for route in router.routes]


def asked(method: str, path: str, **scope: Any) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": [], **scope}


def in_order(scope: dict[str, Any]) -> tuple[object, object]:
    for route in ROUTES:
        match, found = route.matches(scope)
        if match is Match.FULL and isinstance(route, APIRoute):
            return route, found["path_params"]
    return None, None


def test_every_route_is_found_as_an_ordered_search_finds_it() -> None:
    directory = Directory(ROUTES)
    paths = {route.path for route in ROUTES if isinstance(route, APIRoute)}
    paths |= {re.sub(r"\{[^}]+\}", "dpl-0a1b2c3d4e", path) for path in paths}
    paths |= {f"{path}/" for path in paths} | {f"{path}/more" for path in paths}
    paths |= {"", "/", "//", "/v1", "/v1/nope", "/v1/deployments//status"}
    for path in sorted(paths):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            scope = asked(method, path)
            _, found = directory.matches(scope)
            assert (found.get("route"), found.get("path_params")) == in_order(scope), (method, path)


def test_it_leaves_websockets_and_other_roots_to_the_others() -> None:
    directory = Directory(ROUTES)
    for scope in (
        asked("GET", "/v1/deployments", type="websocket"),
        asked("GET", "/v1/deployments", root_path="/v1"),
    ):
        assert directory.matches(scope) == (Match.NONE, {})


def test_a_parameter_that_may_have_slashes_is_refused_at_the_start() -> None:
    router = APIRouter()
    router.add_api_route("/files/{name:path}", lambda name: name)
    with pytest.raises(ValueError, match="more than one part"):
        Directory(router.routes)
