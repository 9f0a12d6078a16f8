"""The documentation as pages, to everybody: no script, no cookie, nothing from another host."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import Response

from api.documentation.documents import ROOT, document, files, find, groups
from domain.kernel.errors import NotFound

router = APIRouter(include_in_schema=False)

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
WORDS_MAX = 100
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
)


@router.get("/help")
def index() -> Response:
    """Show the first page."""
    return _document(ROOT)


@router.get("/help/search")
def search(request: Request) -> Response:
    """Show where words are found."""
    words = request.query_params.get("q", "")[:WORDS_MAX].strip()
    return _page(
        "search.html", path=f"{ROOT}/search", title="Search", words=words, found=find(words)
    )


@router.get("/help/{name}")
def one(name: str) -> Response:
    """Show a document."""
    return _document(f"{ROOT}/{name}")


@router.get("/help/{folder}/{name}")
def one_of_folder(folder: str, name: str) -> Response:
    """Show a document of a folder."""
    return _document(f"{ROOT}/{folder}/{name}")


@router.get("/problems")
def problems() -> Response:
    """Show every code that an error can have, the gateway's included."""
    return _document(f"{ROOT}/errors")


@router.get("/problems/{code}")
def problem(code: str) -> Response:
    """Show what one code means, and what to do. Every error names this page as its `type`."""
    return _document(f"{ROOT}/errors/{code}")


def _document(path: str) -> Response:
    if path not in files():
        raise NotFound
    found = document(path)
    return _page("document.html", path=path, title=found.title, document=found)


def _page(template: str, **values: Any) -> Response:  # noqa: ANN401 - what the template shows
    html = _TEMPLATES.get_template(template).render(groups=groups(), root=ROOT, **values)
    headers = {"Content-Security-Policy": POLICY}
    return Response(html, headers=headers, media_type="text/html")
