"""Which web pages may use the API: those of its own origin, and those of the origins on a list.

One cookie there is counts for nothing without a header that no page of another origin may send
(`api/identity/browsers.py`), so such a page has no credentials to abuse. It is refused all the same
when a browser says that it comes from elsewhere (`Sec-Fetch-Site`, `Origin: null`).
"""

from collections.abc import Collection

from starlette.datastructures import Headers

from api.errors import CrossSiteRequest

ALLOWED_METHODS = b"GET, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = (
    b"Authorization, X-API-Key, Content-Type, Idempotency-Key, If-Match, X-Request-Id,"
    b" X-Tallyport-Min-Position"
)
EXPOSED_HEADERS = (
    b"ETag, Location, Idempotency-Replayed, RateLimit, RateLimit-Policy, Retry-After,"
    b" X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id,"
    b" X-Tallyport-Position"
)
PREFLIGHT = "access-control-request-method"
READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Origins:
    """The list, and what follows from it."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = frozenset(allowed)

    def headers(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Return what tells a browser that the page may read the answer; nothing if it may not."""
        origin = headers.get("origin")
        if origin is None or origin not in self._allowed:
            return []
        found = [
            (b"access-control-allow-origin", origin.encode()),
            (b"access-control-expose-headers", EXPOSED_HEADERS),
        ]
        if PREFLIGHT in headers:
            found += [
                (b"access-control-allow-methods", ALLOWED_METHODS),
                (b"access-control-allow-headers", ALLOWED_HEADERS),
                (b"access-control-max-age", b"600"),
            ]
        return found

    def check(self, method: str, headers: Headers) -> None:
        """Refuse a change that a page of another site asks for."""
        if method in READING:
            return
        origin = headers.get("origin")
        elsewhere = headers.get("sec-fetch-site") == "cross-site" or origin == "null"
        if elsewhere and origin not in self._allowed:
            raise CrossSiteRequest
