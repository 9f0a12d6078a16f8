"""The reference of the API as pages, from files of our own: no other host is ever asked."""

from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.openapi import document
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


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Return a script or style sheet of the documentation."""
    path = FILES.get(name)
    if path is None:
        raise NotFound
    return Response(path.read_bytes(), media_type=TYPES[path.suffix])


def _page(name: str) -> Response:
    return Response(
        PAGES[name],
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": POLICY},
    )
