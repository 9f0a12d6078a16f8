"""The documentation as pages, from files of our own: no other host is ever asked."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.errors import known_problems
from api.openapi import document
from api.problems import Explanation, explain
from domain.kernel.errors import NotFound

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
FILES = {path.name: path for path in STATIC.iterdir() if path.suffix in TYPES}
PAGES = {name: (STATIC / f"{name}.html").read_bytes() for name in ("docs", "redoc")}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"
)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(document(request.app))


@router.get("/docs")
async def docs() -> Response:
    """Show the documentation to try things out."""
    return _page("docs")


@router.get("/redoc")
async def redoc() -> Response:
    """Show the documentation to read."""
    return _page("redoc")


@router.get("/problems")
async def problems(request: Request) -> Response:
    """Show every code that an error can have, the gateway's included."""
    return _html("Problems", "".join(_row(known) for known in _known(request).values()))


@router.get("/problems/{code}")
async def problem(request: Request, code: str) -> Response:
    """Show what one code means, and what to do."""
    known = _known(request).get(code)
    if known is None:
        raise NotFound
    return _html(code, _row(known))


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Return a script or style sheet of the documentation."""
    path = FILES.get(name)
    if path is None:
        raise NotFound
    return Response(path.read_bytes(), media_type=TYPES[path.suffix])


def _row(known: Explanation) -> str:
    said = "".join(f"<p>{escape(answer.meaning)}</p>" for answer in known.answers)
    return (
        f"<dt><code>{known.code}</code> ({known.answers[0].status})</dt>"
        f"<dd>{said}<p>{escape(known.what_to_do)}</p></dd>"
    )


def _html(title: str, content: str) -> Response:
    return Response(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<h1>{title}</h1><dl>{content}</dl></html>",
        media_type="text/html; charset=utf-8",
    )


def _page(name: str) -> Response:
    return Response(
        PAGES[name],
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": POLICY},
    )


def _known(request: Request) -> Mapping[str, Explanation]:
    gateway = request.app.state.services.gateway_problems
    return {known.code: known for known in explain(api=known_problems(), gateway=gateway)}
