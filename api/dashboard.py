"""The web pages: files that `bin/dashboard` has built, and the one page that shows all of them.

Every page of the dashboard has an address of its own, and all of them are answered with the same
document; the script in it looks at the address. Only addresses of the dashboard are, and only to
who wants HTML: everything else is told that it is not there, as always.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.services import Services
from domain.kernel.errors import NotFound

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent.parent / "dashboard" / "dist"
SECTIONS = (
    "sign-in",
    "sign-up",
    "forgot-password",
    "reset-password",
    "verify-email",
    "invitations",
    "setup",
    "deployments",
    "keys",
    "alerts",
    "webhooks",
    "analytics",
    "usage",
    "audit",
    "history",
    "teams",
    "portal",
    "profile",
    "device",
    "admin",
)
"""The first part of every address, as `dashboard/src/pages/routes.tsx` has them."""
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
ENCODINGS = {"br": ".br", "gzip": ".gz"}
POLICY = (
    "default-src 'self'; connect-src 'self' {apps}; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
FOR_EVER = "public, max-age=31536000, immutable"
HOW_TO_BUILD = """\
<!doctype html>
<html lang="en">
<title>Tallyport</title>
<h1>The dashboard is not built</h1>
<p>Tallyport runs, and its API is complete without it: <a href="/docs">try it out</a>.</p>
<p>In the checkout, <code>bin/dashboard</code> builds the pages. It uses Node 20 or newer from this
machine, or else fetches one with pip. Then start Tallyport again.</p>
</html>
"""


@dataclass(frozen=True)
class Asset:
    """A file, as it is and compressed."""

    content: bytes
    media_type: str
    compressed: Mapping[str, bytes]


@router.get("/")
async def page(request: Request) -> Response:
    """Show the dashboard."""
    if "text/html" not in request.headers.get("accept", ""):
        raise NotFound
    services: Services = request.app.state.services
    apps = services.options.gateway_url.replace("://", "://*.")
    path = FOLDER / "index.html"
    content = path.read_text(encoding="utf-8") if path.is_file() else HOW_TO_BUILD
    headers = {"Content-Security-Policy": POLICY.format(apps=apps), "Cache-Control": "no-cache"}
    return Response(content, headers=headers, media_type="text/html")


@router.get("/assets/{name}")
async def asset(name: str, request: Request) -> Response:
    """Return a script, a style sheet or a picture. What is in it never changes under its name."""
    found = _assets().get(name)
    if found is None:
        raise NotFound
    headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"}
    accepted = {
        each.partition(";")[0].strip()
        for each in request.headers.get("accept-encoding", "").split(",")
    }
    for encoding, content in found.compressed.items():
        if encoding in accepted:
            headers["Content-Encoding"] = encoding
            return Response(content, headers=headers, media_type=found.media_type)
    return Response(found.content, headers=headers, media_type=found.media_type)


@cache
def _assets() -> Mapping[str, Asset]:
    return {
        path.name: Asset(
            content=path.read_bytes(),
            media_type=TYPES[path.suffix],
            compressed={
                encoding: packed.read_bytes()
                for encoding, suffix in ENCODINGS.items()
                if (packed := path.with_name(path.name + suffix)).is_file()
            },
        )
        for path in (FOLDER / "assets").glob("*")
        if path.suffix in TYPES
    }


for _section in SECTIONS:
    for _rest in ("", "/{first}", "/{first}/{second}"):
        router.add_api_route(f"/{_section}{_rest}", page, methods=["GET"])
