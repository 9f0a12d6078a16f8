"""The OpenAPI document: complete, so every status a route can answer with and every header."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api import headers
from api.errors import known_problems
from api.examples import add_examples
from api.schemas import Output

DESCRIPTION = """
Run API containers, give keys to them, and see what was called, by whom, and what it costs.

**Errors** are `application/problem+json` (RFC 9457). `error.code` is stable, and every code has a
page under `/problems`; `requestId` finds the request in the logs and in the audit list.

**Writes** may carry an `Idempotency-Key`: repeated within a day the request is answered as the
first time and has one effect. A change of one thing may carry `If-Match` with the `ETag` it was
read with: that version is changed, or nothing (412). A write is answered with
`X-Tallyport-Position`; a read that sends it back as `X-Tallyport-Min-Position` sees that write.
Unknown fields are refused, never ignored.

**Lists** are paged by `page` and `limit`, or walked without gaps by `cursor`.

**Limits** per caller and minute are told by every answer (`X-RateLimit-*` and `RateLimit`).
"""
TAGS = {
    "Identity": "Accounts, sign-in, sessions.",
    "Teams": "Who works together, and who may do what.",
    "API keys": "What programs sign in with, here and at the gateway.",
    "Deployments": "Images that run under a name.",
    "Domains": "Names of your own for what is deployed.",
    "Portals": "How deployments are called, for whoever may read it.",
    "Analytics": "What was called and how it went.",
    "Usage and billing": "How much was served, and what it costs.",
    "Alerts": "Trouble with what is deployed, while it lasts, and what counts as trouble.",
    "Live events": "What happens, as it happens.",
    "Webhooks": "Your own servers, told of what happens.",
    "Audit": "Who did what, when, and from where.",
    "Administration": "For those who look after the platform.",
    "Operations": "Health and numbers of the installation itself.",
}

MEANINGS = {
    400: "The request is not well formed.",
    401: "No credentials, or credentials that are not valid.",
    403: "Not allowed to this caller.",
    404: "There is no such resource, or it is not yours to see.",
    409: "A unique value belongs to something else.",
    410: "It was there, and is over or erased.",
    412: "It was changed since it was read.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "A value cannot be accepted, or a rule forbids it.",
    429: "Asked too often.",
    500: "Something went wrong on our side.",
    503: "A part that this needs is away, or a view is behind.",
}
READING = (400, 422, 429, 500, 503)
CHANGING = (403, 409)
WITH_BODY = (413, 415)


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
            tags=[{"name": name, "description": TAGS[name]} for name in TAGS],
        )
        components = made.setdefault("components", {})
        components.setdefault("schemas", {}).update(_problem_schemas())
        components["securitySchemes"] = {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "An access token, or an API key.",
            },
            "apiKey": {
                "type": "apiKey",
                "in": "header",
                "name": "X-API-Key",
                "description": "An API key.",
            },
        }
        made["security"] = [{"bearer": []}, {"apiKey": []}]
        for schema in components["schemas"].values():
            for field in schema.get("properties", {}).values():
                field.pop("title", None)  # the name again, less legible
        for path, operations in made["paths"].items():
            for method, operation in operations.items():
                _complete(method, path, operation)
        add_examples(made)
        app.openapi_schema = made
    return app.openapi_schema


def operation_id(route: APIRoute) -> str:
    """Return the name by which generated clients call a route: `deployments_list_all`."""
    subject = str(route.tags[0]) if route.tags else "pages"
    return f"{subject.lower().replace(' ', '_')}_{route.name}"


def _problem_schemas() -> dict[str, Any]:
    schema = ProblemDocument.model_json_schema(
        by_alias=True, ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Any] = {**schema.pop("$defs"), "ProblemDocument": schema}
    schemas["ProblemError"]["properties"]["code"]["enum"] = sorted(known_problems())
    return schemas


def _complete(method: str, path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if responses.get("422", {}).get("content", {}).get("application/json"):
        responses["422"] = refusals()[422]
    if method != "get":
        for status in (*CHANGING, *(WITH_BODY if "requestBody" in operation else ())):
            responses[str(status)] = refusals(status)[status]
    if operation.pop("x-form", False) or operation.get("security") == []:
        operation["security"] = []
    operation.pop("x-upload", None)
    parameters = operation.setdefault("parameters", [])
    known = {"sort": operation.pop("x-sort", None)}
    for parameter in parameters:
        parameter["schema"] = known.get(parameter["name"]) or _as_sent(parameter["schema"])
        if parameter["name"] == "teamId":
            responses.setdefault("404", refusals(404)[404])
    if method != "get":
        parameters.append(headers.IDEMPOTENCY_KEY)
    if "412" in responses:
        parameters.append(headers.IF_MATCH)
    for status, response in responses.items():
        response["headers"] = headers.of_answer(
            status, changes=method != "get", one="{" in path or status == "201"
        )


def _as_sent(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter's schema without null, which an address or a header cannot say."""
    own = {name: value for name, value in schema.items() if name not in {"title", "anyOf"}}
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) > 1:
        return {**own, "anyOf": kinds}
    return {**kinds[0], **own} if kinds else own
