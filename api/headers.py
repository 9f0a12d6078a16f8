"""The headers that the OpenAPI document tells of, of requests and of answers."""

from typing import Any

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "Repeated within a day, the request has one effect and one answer.",
}
IF_MATCH: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The `ETag` it was read with: in another version nothing is changed (412).",
}
ETAG: dict[str, Any] = {
    "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    "description": "The version of the thing, for `If-Match`",
}
WHOLE = {"type": "integer", "minimum": 0}
HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "required": True,
        "schema": {"type": "string"},
        "description": "The one that was sent, or a new one",
    },
    "X-RateLimit-Limit": {
        "required": True,
        "schema": WHOLE,
        "description": "Requests of this kind per minute",
    },
    "X-RateLimit-Remaining": {
        "required": True,
        "schema": WHOLE,
        "description": "How many more until the reset",
    },
    "X-RateLimit-Reset": {"required": True, "schema": WHOLE, "description": "Unix seconds"},
    "RateLimit": {
        "required": True,
        "schema": {"type": "string"},
        "description": "The same as the IETF draft has it",
    },
    "RateLimit-Policy": {
        "required": True,
        "schema": {"type": "string"},
        "description": "The limit as the IETF draft has it",
    },
}
HEADERS_OF_WRITES: dict[str, dict[str, Any]] = {
    "X-Tallyport-Position": {
        "schema": WHOLE,
        "description": "Position of the log that includes what was written",
    },
    "Idempotency-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "This is the answer that the same request got before",
    },
}
RETRY_AFTER = {"required": True, "schema": WHOLE, "description": "Seconds"}
HEADERS_OF_STATUS: dict[str, dict[str, dict[str, Any]]] = {
    "201": {
        "Location": {"schema": {"type": "string"}, "description": "Where it can be read, if it can"}
    },
    "401": {
        "WWW-Authenticate": {
            "required": True,
            "schema": {"type": "string"},
            "description": "How to sign in",
        }
    },
    "429": {"Retry-After": RETRY_AFTER},
    "503": {"Retry-After": RETRY_AFTER},
}


def of_answer(status: str, *, changes: bool, one: bool) -> dict[str, dict[str, Any]]:
    """Return an answer's headers; the request may change something, or be about one thing."""
    found = {**HEADERS, **HEADERS_OF_STATUS.get(status, {})}
    if status < "300":
        found |= HEADERS_OF_WRITES if changes else {}
        found |= {"ETag": ETAG} if one else {}
    return {name: dict(each) for name, each in found.items()}
