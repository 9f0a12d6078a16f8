"""The OpenAPI document: complete, so every status a route can answer with and every header."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.schemas import Output

DESCRIPTION = """
Run API containers, give keys to them, and see what was called, by whom, and what it costs.

Errors are `application/problem+json` (RFC 9457); `error.code` is stable. A write may carry an
`Idempotency-Key`: repeated within a day it is answered as the first time and has one effect. A
write is answered with `X-Tallyport-Position`; a read that sends it back as
`X-Tallyport-Min-Position` sees that write.
"""

MEANINGS = {
    400: "The request is not well formed.",
    401: "No credentials, or credentials that are not valid.",
    403: "Not allowed to this caller.",
    404: "There is no such resource, or it is not yours to see.",
    409: "A unique value belongs to something else.",
    412: "It was changed since it was read.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "A value cannot be accepted, or a rule forbids it.",
    429: "Asked too often.",
    500: "Something went wrong on our side.",
    503: "A part that this needs is away, or a view is behind.",
}
READING = (400, 422, 429, 500, 503)
WRITING = (413, 415)


class ProblemDetail(Output):
    """One thing that is wrong."""

    field: str
    message: str


class ProblemError(Output):
    """What went wrong, for programs."""

    code: str
    message: str
    details: list[ProblemDetail]


class ProblemDocument(Output):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    error: ProblemError


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of a route's errors: these, and those that any route may have."""
    return {
        status: {
            "description": MEANINGS[status],
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/ProblemDocument"}
                }
            },
        }
        for status in sorted({*statuses, *READING})
    }


def token_form() -> dict[str, Any]:
    """Return the description of OAuth 2's password form."""
    return {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["username", "password"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["password"]},
                        "username": {"type": "string", "description": "The e-mail address"},
                        "password": {"type": "string", "format": "password"},
                        "otp": {
                            "type": "string",
                            "description": "A code of the second factor, of who has one",
                        },
                        "scope": {"type": "string"},
                        "client_id": {"type": "string"},
                        "client_secret": {"type": "string"},
                    },
                }
            }
        },
    }


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document; made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=DESCRIPTION,
            routes=app.routes,
            openapi_version=app.openapi_version,
        )
        components = made.setdefault("components", {})
        components.setdefault("schemas", {}).update(_problem_schemas())
        components["securitySchemes"] = {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "An access token, or an API key.",
            },
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        made["security"] = [{"bearer": []}, {"apiKey": []}]
        for operations in made["paths"].values():
            for method, operation in operations.items():
                _complete(method, operation)
        app.openapi_schema = made
    return app.openapi_schema


def _problem_schemas() -> dict[str, Any]:
    schema = ProblemDocument.model_json_schema(
        by_alias=True, ref_template="#/components/schemas/{model}"
    )
    return {**schema.pop("$defs"), "ProblemDocument": schema}


def _complete(method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if responses.get("422", {}).get("content", {}).get("application/json"):
        responses["422"] = refusals()[422]
    if method != "get" and "requestBody" in operation:
        for status in WRITING:
            responses[str(status)] = refusals(status)[status]
    if operation.pop("x-form", False) or operation.get("security") == []:
        operation["security"] = []
    if method != "get":
        operation.setdefault("parameters", []).append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "description": "Repeated within a day, the request has one effect and one answer.",
            }
        )
    for status, response in responses.items():
        own = HEADERS_OF_STATUS.get(status, {})
        if method != "get" and status < "300":
            own = HEADERS_OF_WRITES
        response["headers"] = {name: dict(each) for name, each in {**HEADERS, **own}.items()}


HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {"schema": {"type": "string"}},
    "X-RateLimit-Limit": {"schema": {"type": "integer"}},
    "X-RateLimit-Remaining": {"schema": {"type": "integer"}},
    "X-RateLimit-Reset": {"schema": {"type": "integer"}, "description": "Unix seconds"},
    "RateLimit": {"schema": {"type": "string"}},
    "RateLimit-Policy": {"schema": {"type": "string"}},
}
HEADERS_OF_WRITES: dict[str, dict[str, Any]] = {
    "X-Tallyport-Position": {
        "schema": {"type": "integer"},
        "description": "Position of the log that includes what was written",
    },
    "Idempotency-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "This is the answer that the same request got before",
    },
}
HEADERS_OF_STATUS: dict[str, dict[str, dict[str, Any]]] = {
    "401": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    "429": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}},
    "503": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}},
}
