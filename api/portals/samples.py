"""Reads an OpenAPI document that is only known to have the right form: references and examples.

A document may refer to itself without end, and fan out without measure. So every sample has a
depth and a number of parts that it does not exceed.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

DEPTH_MAX = 6
PARTS_MAX = 500
REFERENCES_MAX = 20

_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*")
_BY_FORMAT = {
    "date": "2026-11-23",
    "date-time": "2026-11-23T02:00:00Z",
    "email": "anna@example.com",
    "uuid": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "uri": "https://example.com/",
}
_BY_TYPE: Mapping[str, Any] = {
    "string": "text",
    "integer": 0,
    "number": 0,
    "boolean": True,
    "null": None,
}

Node = Mapping[str, Any]


def mapping(value: object) -> Node:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """Return the value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """Return the value if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def resolved(document: Node, value: object) -> Node:
    """Return what a reference leads to, over a few steps at most."""
    node = mapping(value)
    for _ in range(REFERENCES_MAX):
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return node
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal():
                found = found[int(name)] if int(name) < len(found) else None
            else:
                found = mapping(found).get(name)
        node = mapping(found)
    return {}


def base_path(document: Node) -> str:
    """Return the path of the first server. Its host is never used: it is anybody's."""
    servers = items(document.get("servers"))
    try:
        path = urlsplit(text(mapping(servers[0] if servers else None).get("url"))).path.rstrip("/")
    except ValueError:
        return ""
    return path if _BASE_PATH.fullmatch(path) else ""


class Sampler:
    """Makes one sample value."""

    def __init__(self, document: Node) -> None:
        self._document = document
        self._parts = 0

    def media(self, media: Node) -> Any:  # noqa: ANN401 - whatever the document has
        """Return the example of a body, or one made of its schema."""
        if "example" in media:
            return media["example"]
        for example in mapping(media.get("examples")).values():
            named = resolved(self._document, example)
            if "value" in named:
                return named["value"]
        return self.schema(media.get("schema"))

    def schema(self, schema: object, depth: int = 0) -> Any:  # noqa: ANN401 - the same
        """Return a value that the schema may mean."""
        self._parts += 1
        node = resolved(self._document, schema)
        if depth > DEPTH_MAX or self._parts > PARTS_MAX:
            return None
        for name in ("example", "default", "const"):
            if name in node:
                return node[name]
        for name in ("examples", "enum"):
            if items(node.get(name)):
                return node[name][0]
        if items(node.get("allOf")):
            return self._merged(node, depth)
        for name in ("oneOf", "anyOf"):
            if items(node.get(name)):
                return self.schema(node[name][0], depth + 1)
        return self._of_type(node, depth)

    def _of_type(self, node: Node, depth: int) -> Any:  # noqa: ANN401 - the same
        kind = node.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        if kind == "object" or "properties" in node:
            return self._properties(node, depth)
        if kind == "array" or "items" in node:
            return [self.schema(node.get("items"), depth + 1)]
        if kind == "string":
            return _BY_FORMAT.get(text(node.get("format")), "text")
        if kind in {"integer", "number"} and isinstance(node.get("minimum"), int | float):
            return node["minimum"]
        return _BY_TYPE.get(text(kind))

    def _properties(self, node: Node, depth: int) -> dict[str, Any]:
        sample: dict[str, Any] = {}
        for name, schema in mapping(node.get("properties")).items():
            if self._parts > PARTS_MAX:
                break
            if resolved(self._document, schema).get("readOnly") is not True:
                sample[name] = self.schema(schema, depth + 1)
        return sample

    def _merged(self, node: Node, depth: int) -> Any:  # noqa: ANN401 - the same
        merged = self._properties(node, depth)
        for part in node["allOf"]:
            sample = self.schema(part, depth + 1)
            if isinstance(sample, dict):
                merged |= sample
        return merged
