"""Writes docs/api.md from the OpenAPI document, or tells that it is stale.

`python -m bootstrap.api_reference --write` and `--check`, from the root of the checkout.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bootstrap.generated import write_or_check
from bootstrap.openapi_document import openapi_document

_REMAKE = "python -m bootstrap.api_reference --write"
_FILE = Path("docs/api.md")
_REQUIRED = "\\*"
_HEAD = """\
# The API

Every route in one line each. An installation shows all of it, every field and every error: at
`/redoc` to read, at `/docs` to try out, at `/openapi.json` for programs. Who asks says so with
`Authorization: Bearer` and an access token or an API key, or with `X-API-Key`.
"""


def page() -> str:
    """Return docs/api.md."""
    document = openapi_document()
    parts = [_HEAD, document["info"]["description"].strip() + "\n"]
    for tag in document["tags"]:
        rows = "".join(_rows(document, tag["name"]))
        if rows:
            head = "| route | what it does | takes |\n| - | - | - |\n"
            parts.append(f"## {tag['name']}\n\n{tag['description']}\n\n{head}{rows}")
    parts.append(f"`*` marks what has to be sent. Written by `{_REMAKE}`.\n")
    return "\n".join(parts)


def _rows(document: dict[str, Any], tag: str) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation.get("tags", [None])[0] == tag:
                text = operation.get("description", operation["summary"]).partition("\n\n")[0]
                text = " ".join(text.split()).replace("|", "\\|")
                takes = ", ".join(_taken(document, operation)) or "-"
                yield f"| `{method.upper()} {path}` | {text} | {takes} |\n"


def _taken(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[str]:
    """Yield what may be sent: the names in the address, then those of the body."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "query":
            yield f"`?{parameter['name']}`" + (_REQUIRED if parameter.get("required") else "")
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content.get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        schema = document["components"]["schemas"].get(name, schema)
        required = schema.get("required", ())
        for field in schema.get("properties", {}):
            yield f"`{field}`" + (_REQUIRED if field in required else "")


def main() -> int:
    """Write or check; return the exit code."""
    return write_or_check(__doc__, {_FILE: page()}, remake=_REMAKE)


if __name__ == "__main__":
    sys.exit(main())
