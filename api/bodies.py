"""What a JSON body may be, before anybody looks at what it says.

One object or array in UTF-8, not compressed, not deep, not of very many parts, no name twice in
one object, no NUL and no half of a surrogate pair in any text (PostgreSQL takes neither).
"""

import json
import re
from itertools import islice
from typing import Any

import msgspec
from starlette.requests import Request

from api.errors import InvalidValue, Malformed, UnsupportedMediaType

DEPTH_MAX = 32
PARTS_MAX = 20_000
DOCUMENT_DEPTH_MAX = 64
DOCUMENT_PARTS_MAX = 200_000
JSON_TYPES = ("application/json",)
ARCHIVE_TYPES = ("application/zip", "application/gzip", "application/octet-stream")
DOCUMENT_TYPES = ("application/json", "application/yaml", "application/x-yaml", "text/yaml")
FORM_TYPES = ("application/x-www-form-urlencoded",)
_TEXT_OR_COMMA = re.compile(rb'"(?:[^"\\]|\\.)*+"|,', re.DOTALL)


async def checked_body(request: Request, *, form: bool) -> bytes:
    """Read the body and refuse what no route takes; the route finds it in `request.body()`."""
    body = await request.body()
    if not body:
        return body
    _check_type(request, FORM_TYPES if form else JSON_TYPES)
    if not form:
        check_json(body)
    return body


def check_archive_type(request: Request) -> None:
    """Refuse what does not say that it is an archive; what it is shows when it is unpacked."""
    try:
        _check_type(request, ARCHIVE_TYPES)
    except UnsupportedMediaType:
        raise UnsupportedMediaType(f"Send the archive as {' or '.join(ARCHIVE_TYPES)}.") from None


def check_document(request: Request, body: bytes) -> None:
    """Refuse what does not say that it is JSON or YAML, and JSON that is malformed."""
    try:
        _check_type(request, DOCUMENT_TYPES)
    except UnsupportedMediaType:
        raise UnsupportedMediaType(
            "Send the document as application/json or application/yaml."
        ) from None
    _check_commas(body, DOCUMENT_PARTS_MAX)
    if "json" in request.headers["content-type"].lower():
        check_json(body, parts_max=DOCUMENT_PARTS_MAX, depth_max=DOCUMENT_DEPTH_MAX)


def _check_type(request: Request, allowed: tuple[str, ...]) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity")
    if media_type not in allowed or encoding != "identity":
        raise UnsupportedMediaType


def check_json(body: bytes, *, parts_max: int = PARTS_MAX, depth_max: int = DEPTH_MAX) -> None:
    """Refuse malformed JSON with 400, and JSON that is only meant to hurt with 422."""
    _check_commas(body, parts_max)
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise InvalidValue("The body is nested too deeply.") from None
    except (msgspec.DecodeError, ValueError):
        raise Malformed("The body is not JSON.") from None
    _check_parts(value, parts_max, depth_max)
    try:
        json.loads(body, object_pairs_hook=_pairs)
    except InvalidValue:
        raise
    except (ValueError, RecursionError):
        raise Malformed("The body is not JSON.") from None


def _check_commas(body: bytes, parts_max: int) -> None:
    """Refuse very many parts before they take thirty times the body's length in memory."""
    if body.count(b",") > parts_max:
        commas = (1 for found in _TEXT_OR_COMMA.finditer(body) if found[0] == b",")
        if next(islice(commas, parts_max, None), 0):
            raise InvalidValue("The body has too many parts.", parts_max=parts_max)


def _check_parts(value: object, parts_max: int, depth_max: int) -> None:
    level, parts = [value], 0
    for _ in range(depth_max):
        below: list[object] = []
        for part in level:
            parts += 1
            if isinstance(part, dict):
                for name in part:
                    check_text(name)
                below += part.values()
                parts += len(part)
            elif isinstance(part, list):
                below += part
            elif isinstance(part, str):
                check_text(part)
            if parts + len(below) > parts_max:
                raise InvalidValue("The body has too many parts.", parts_max=parts_max)
        if not below:
            return
        level = below
    raise InvalidValue("The body is nested too deeply.", depth_max=depth_max)


def check_text(text: str) -> str:
    """Return the text; raises `InvalidValue` for one that cannot be stored."""
    if "\0" in text:
        raise InvalidValue("A text has a NUL character.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidValue("A text has half of a surrogate pair.")
    return text


def _pairs(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise InvalidValue("An object has the same name twice.")
