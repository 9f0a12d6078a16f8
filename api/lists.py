"""Lists: a page by number, or the next part by a signed cursor that walks without gaps."""

import base64
import binascii
import hashlib
import hmac
import json
import math
from typing import Annotated, Any

import msgspec
from fastapi import Query

from api.errors import InvalidValue
from api.schemas import Input, Output
from api.services import Services
from projections.reading import Listing, Page, RowType, Window

PAGE_MAX = 100_000
SIGNATURE_BYTES = 16
CURSOR_LENGTH_MAX = 1000


class PageQuery(Input):
    """Which part of a list."""

    page: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 1
    limit: Annotated[int, Query(ge=1, le=100)] = 10
    cursor: Annotated[str | None, Query(max_length=CURSOR_LENGTH_MAX)] = None
    """`nextCursor` of the part before; instead of `page`."""
    sort: Annotated[str | None, Query(max_length=40)] = None
    """A field of the list; with `-` in front, the other way round."""


class TeamPageQuery(PageQuery):
    """Which part of a list, and whose."""

    team_id: Annotated[str | None, Query(max_length=40)] = None
    """One team; all of the caller's unless named."""


class Pagination(Output):
    """Where in the list this is."""

    page: int
    limit: int
    total: int
    total_pages: int
    next_cursor: str | None


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a part ended."""

    listing: str
    sort: str
    value: str
    id: str


def sorted_by(listing: Listing) -> dict[str, Any]:
    """Return what the OpenAPI document is told of a list: by what it can be sorted."""
    ways = [f"{turn}{name}" for name in sorted(listing.sorts) for turn in ("", "-")]
    return {"x-sort": {"type": "string", "enum": ways, "default": listing.sort_default}}


def window_of(query: PageQuery, listing: Listing, name: str, services: Services) -> Window:
    """Return the part that is asked for; raises `InvalidValue`."""
    cursor = _opened(query.cursor, services.secret) if query.cursor is not None else None
    if cursor is not None and (
        cursor.listing != _listing(name, query)
        or query.sort not in {None, cursor.sort}
        or query.page != 1
    ):
        raise InvalidValue("This cursor belongs to another list.", cursor="belongs to another list")
    sort = cursor.sort if cursor is not None else query.sort or listing.sort_default
    field = sort.removeprefix("-")
    if field not in listing.sorts:
        raise InvalidValue(
            "This list cannot be sorted so.", sort=f"one of {', '.join(sorted(listing.sorts))}"
        )
    return Window(
        sort=field,
        descending=sort.startswith("-"),
        limit=query.limit,
        offset=(query.page - 1) * query.limit,
        after=(cursor.value, cursor.id) if cursor is not None else None,
    )


def pagination_of(
    page: Page[RowType], window: Window, query: PageQuery, name: str, services: Services
) -> Pagination:
    """Return what is told about a part."""
    sort = f"-{window.sort}" if window.descending else window.sort
    cursor = None
    if page.last is not None:
        cursor = Cursor(_listing(name, query), sort, *page.last)
    return Pagination(
        page=query.page,
        limit=query.limit,
        total=page.total,
        total_pages=math.ceil(page.total / query.limit),
        next_cursor=_sealed(cursor, services.secret) if cursor is not None else None,
    )


def _listing(name: str, query: PageQuery) -> str:
    """Return what names the list together with its filters: another filter is another list."""
    filters = query.model_dump(mode="json", exclude=set(PageQuery.model_fields), exclude_none=True)
    if not filters:
        return name
    content = json.dumps(filters, sort_keys=True).encode()
    return f"{name} {hashlib.sha256(content).hexdigest()[:16]}"


def _sealed(cursor: Cursor, secret: bytes) -> str:
    content = msgspec.json.encode(cursor)
    return base64.urlsafe_b64encode(_signature(content, secret) + content).decode().rstrip("=")


def _opened(text: str, secret: bytes) -> Cursor:
    refusal = InvalidValue("This is not a cursor of ours.", cursor="is not one of ours")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise refusal from None
    signature, content = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(content, secret)):
        raise refusal
    return msgspec.json.decode(content, type=Cursor)


def _signature(content: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, b"cursor\0" + content, hashlib.sha256).digest()[:SIGNATURE_BYTES]
