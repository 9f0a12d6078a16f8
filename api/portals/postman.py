"""A document as a Postman collection (v2.1), for whoever calls the API from there.

It has requests and nothing else: no script is ever made, and every request goes to the deployment.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from api.portals.samples import Node, Sampler, base_path, items, mapping, resolved, text
from domain.portals.values import METHODS

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_PLACEHOLDER = re.compile(r"\{([^{}/]+)\}")

Collection = dict[str, Any]


def collection_of(document: Node, *, url: str, needs_key: bool) -> Collection:
    """Return the collection: a folder for each tag, a request for each operation."""
    info = mapping(document.get("info"))
    folders: dict[str, list[Collection]] = {}
    for tag, request in _requests(document):
        folders.setdefault(tag, []).append(request)
    collection: Collection = {
        "info": {
            "name": text(info.get("title")),
            "description": text(info.get("description")),
            "version": text(info.get("version")),
            "schema": SCHEMA,
        },
        "item": [{"name": tag, "item": requests} for tag, requests in folders.items()],
        "variable": [{"key": "baseUrl", "value": url + base_path(document)}],
    }
    if needs_key:
        collection["variable"].append({"key": "apiKey", "value": ""})
        collection["auth"] = {
            "type": "apikey",
            "apikey": [
                {"key": "key", "value": "X-API-Key", "type": "string"},
                {"key": "value", "value": "{{apiKey}}", "type": "string"},
                {"key": "in", "value": "header", "type": "string"},
            ],
        }
    return collection


def _requests(document: Node) -> Iterator[tuple[str, Collection]]:
    for path, item in mapping(document.get("paths")).items():
        shared = items(mapping(item).get("parameters"))
        for method in METHODS:
            operation = mapping(mapping(item).get(method))
            if operation:
                tags = [tag for tag in items(operation.get("tags")) if isinstance(tag, str)]
                tag = tags[0] if tags else "Operations"
                yield tag, _request(document, method, path, shared, operation)


def _request(
    document: Node, method: str, path: str, shared: list[Any], operation: Node
) -> Collection:
    parameters = {}
    for parameter in (*shared, *items(operation.get("parameters"))):
        found = resolved(document, parameter)
        parameters[text(found.get("in")), text(found.get("name"))] = found
    fields = {
        place: [
            _field(document, name, parameter)
            for (each, name), parameter in parameters.items()
            if each == place and name
        ]
        for place in ("query", "header", "path")
    }
    parts = [_PLACEHOLDER.sub(r":\1", part) for part in path.strip("/").split("/")]
    request: Collection = {
        "method": method.upper(),
        "description": text(operation.get("description")),
        "header": fields["header"],
        "url": {
            "raw": "{{baseUrl}}/" + "/".join(parts),
            "host": ["{{baseUrl}}"],
            "path": parts,
            "query": fields["query"],
            "variable": fields["path"],
        },
    }
    body = _body(document, operation)
    if body is not None:
        kind, request["body"] = body
        request["header"] = [*fields["header"], {"key": "Content-Type", "value": kind}]
    name = text(operation.get("summary")) or f"{method.upper()} {path}"
    return {"name": name, "request": request}


def _field(document: Node, name: str, parameter: Node) -> Collection:
    sample = parameter.get("example")
    if sample is None:
        sample = Sampler(document).schema(parameter.get("schema"))
    field: Collection = {
        "key": name,
        "value": sample if isinstance(sample, str) else msgspec.json.encode(sample).decode(),
        "description": text(parameter.get("description")),
    }
    if parameter.get("in") != "path" and parameter.get("required") is not True:
        field["disabled"] = True
    return field


def _body(document: Node, operation: Node) -> tuple[str, Collection] | None:
    content = mapping(resolved(document, operation.get("requestBody")).get("content"))
    if not content:
        return None
    kind = "application/json" if "application/json" in content else next(iter(content))
    sample = Sampler(document).media(mapping(content[kind]))
    if "json" not in kind:
        return kind, {"mode": "raw", "raw": sample if isinstance(sample, str) else ""}
    pretty = msgspec.json.format(msgspec.json.encode(sample), indent=2).decode()
    return kind, {"mode": "raw", "raw": pretty, "options": {"raw": {"language": "json"}}}
