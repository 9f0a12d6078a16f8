"""What each field looks like: one example per name, shown wherever the OpenAPI document has it.

A name means the same everywhere, so it needs one example only. A field whose schema has an example
of its own, or that can have few values only, needs no line here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

MOMENT = "2026-11-23T02:00:00Z"
LATER = "2027-11-23T02:00:00Z"

EXAMPLES: Mapping[str, object] = {
    # who
    "username": "anna",
    "email": "anna@example.com",
    "password": "violet trams at dawn",
    "confirmPassword": "violet trams at dawn",
    "currentPassword": "the present password",
    "newPassword": "violet river in spring",
    "confirmNewPassword": "violet river in spring",
    "userAgent": "Mozilla/5.0 (X11; Linux x86_64)",
    "reason": "Sends spam",
    "refreshToken": "ses-0a1b2c3d4e.1.Jw3pYx0Yk2MJw3pYx0Yk2MJw3pYx0Yk2MJw3pYx0Yk2",
    "accessToken": "eyJhbGciOiJFZERTQSJ9.e30.c2ln",
    "otp": "492039",
    "userCode": "BCDF-GHJK",
    "user_code": "BCDF-GHJK",
    "device_code": "dev-0a1b2c3d4e.Jw3pYx0Yk2MJw3pYx0Yk2M.Jw3pYx0Yk2MJw3pYx0Yk2MJw3pYx0Yk2",
    "teamId": "org-0a1b2c3d4e",
    "teamName": "Acme",
    "invitedBy": "anna",
    "userId": "usr-0a1b2c3d4e",
    "actor": "usr-0a1b2c3d4e",
    "address": "203.0.113.7",
    # keys
    "name": "till",
    "description": "For the till in the shop",
    "scopes": ["call:*"],
    "keyId": "key-0a1b2c3d4e",
    "apiKey": "tp_live_0123456789AbCdEf0123456789AbCdEf0123456789_0a1B2c",
    "prefix": "tp_live_0123456789Ab",
    "requestsPerMinute": 600,
    "token": "tp_live_0123456789AbCdEf0123456789AbCdEf0123456789_0a1B2c",
    "type": "tallyport_api_key",
    "source": "content",
    "expiresAt": LATER,
    # deployments
    "deploymentId": "dpl-0a1b2c3d4e",
    "appName": "shop",
    "image": "tallyport/echo",
    "port": 8080,
    "domain": "api.example.com",
    "certificate": "-----BEGIN CERTIFICATE-----\nMIIB...\n-----END CERTIFICATE-----\n",
    "privateKey": "-----BEGIN PRIVATE KEY-----\nMIGH...\n-----END PRIVATE KEY-----\n",
    "envVars": {"GREETING": "hello"},
    "envVarChanges": {"GREETING": "welcome", "DEBUG": None},
    "replicas": 2,
    "cpu": "250m",
    "memory": "128Mi",
    "storage": "64Mi",
    "pids": 256,
    "path": "/health",
    "url": "http://shop.apps.localhost:8080",
    "uptime": "2h 30m 45s",
    "search": "error",
    "tail": 100,
    # webhooks
    "eventTypes": ["deployment.*"],
    "eventType": "deployment.created",
    # alerts
    "rule": "error_rate",
    "threshold": 5,
    "enabled": True,
    "mail": True,
    # looking after the platform
    "text": "New prices from January on",
    "tone": "info",
    "startsAt": MOMENT,
    "endsAt": LATER,
    "view": "deployments",
    # times and places
    "from": MOMENT,
    "to": LATER,
    "since": MOMENT,
    "until": LATER,
    "asOf": MOMENT,
    "createdAt": MOMENT,
    "updatedAt": MOMENT,
    "deployedAt": MOMENT,
    "lastUsed": MOMENT,
    "lastLogin": MOMENT,
    "recordedAt": MOMENT,
    "timestamp": MOMENT,
    "day": "2026-11-23",
    # lists
    "page": 1,
    "limit": 10,
    "sort": "-createdAt",
    "nextCursor": "mEJ1tMkQ0TtQWmPoJbVvJ1siYXBpX2tleXMiXQ",
    # errors
    "requestId": "req-5b8f7c2e9d0a1b3c4d5e",
    "code": "not_found",
    "status": "running",
}


def add_examples(document: dict[str, Any]) -> None:
    """Give every named field of the document its example."""
    for name, schema in named_fields(document):
        if name in EXAMPLES and not {"enum", "const", "examples"} & schema.keys():
            example = EXAMPLES[name]
            if _fits(example, schema):
                schema["examples"] = [example]


def named_fields(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return name and schema of each property and parameter."""
    for schema in document["components"]["schemas"].values():
        yield from schema.get("properties", {}).items()
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    yield parameter["name"], parameter["schema"]


def _fits(example: object, schema: Mapping[str, Any]) -> bool:
    kinds = [schema, *schema.get("anyOf", ())]
    of = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}[
        type(example)
    ]
    return any(kind.get("type") == of for kind in kinds)
