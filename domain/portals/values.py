"""The words of portals: who sees one, where a document is fetched from, how it is stored."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import zstandard

from domain.kernel.errors import NotFound, RuleViolated

Visibility = Literal["off", "team", "public"]

DOCUMENT_BYTES_MAX = 2 * 1024 * 1024
"""Of a document as compact JSON."""
PACKED_BYTES_MAX = 640 * 1024
"""Compressed, as its event carries it: with its Base64 below a record of the stream."""
PATH_CHARACTERS_MAX = 512
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
CHANGES_MAX = 50
"""So many publications back does a changelog go."""
NAMED_MAX = 100
"""So many operations of one kind are named in one entry of a changelog."""

_PATH = re.compile(r"/(?!/)[!-~]*")


class InvalidDocumentPath(RuleViolated):
    """A document is fetched from a path of the deployment itself, such as /openapi.json."""


class DocumentTooLarge(RuleViolated):
    """The document is too large."""


class NoDocument(NotFound):
    """The deployment has published no OpenAPI document."""


def fetch_path(text: str) -> str:
    """Return the path if it is one: no host, no fragment, nothing that ends a line of HTTP."""
    if len(text) > PATH_CHARACTERS_MAX or not _PATH.fullmatch(text) or "#" in text or "\\" in text:
        raise InvalidDocumentPath
    return text


def portal_id(deployment_id: str) -> str:
    """Return the stream of a deployment's portal."""
    return f"portal-{deployment_id}"


def packed(text: bytes) -> bytes:
    """Return a document as its event carries it; raises `DocumentTooLarge`."""
    if len(text) > DOCUMENT_BYTES_MAX:
        raise DocumentTooLarge(f"A document has at most {DOCUMENT_BYTES_MAX} bytes as JSON.")
    small = zstandard.compress(text)
    if len(small) > PACKED_BYTES_MAX:
        raise DocumentTooLarge(f"A document has at most {PACKED_BYTES_MAX} bytes compressed.")
    return small


def unpacked(small: bytes) -> bytes:
    """Return the document's JSON."""
    return zstandard.ZstdDecompressor().decompress(small, max_output_size=DOCUMENT_BYTES_MAX)


def digest_of(text: bytes) -> str:
    """Return by what one document is told from another."""
    return hashlib.sha256(text).hexdigest()


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """A document as its changelog remembers it: each part with a short digest."""

    operations: dict[str, str] = {}
    """By method and path: `GET /orders`."""
    deprecated: tuple[str, ...] = ()
    schemas: dict[str, str] = {}


class DocumentChange(msgspec.Struct, frozen=True, kw_only=True):
    """What one publication changed. Each list has its first `NAMED_MAX` names."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deprecated: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()
    """Schemas that were added, removed or changed."""


def outline_of(document: Mapping[str, Any]) -> Outline:
    """Return the outline of a document of which only its JSON is certain."""
    operations: dict[str, str] = {}
    deprecated: list[str] = []
    for path, item in _mapping(document.get("paths")).items():
        shared = _mapping(item).get("parameters")
        for method in METHODS:
            operation = _mapping(item).get(method)
            if operation is None:
                continue
            name = f"{method.upper()} {path}"
            operations[name] = _short([shared, operation])
            if _mapping(operation).get("deprecated") is True:
                deprecated.append(name)
    schemas = _mapping(_mapping(document.get("components")).get("schemas"))
    return Outline(
        operations=operations,
        deprecated=tuple(deprecated),
        schemas={name: _short(schema) for name, schema in schemas.items()},
    )


def change_between(before: Outline, after: Outline) -> DocumentChange:
    """Return what is new, gone and otherwise."""
    had, has = before.operations, after.operations
    both = before.schemas.keys() | after.schemas.keys()
    newly = set(after.deprecated) - set(before.deprecated)
    return DocumentChange(
        added=_named(has.keys() - had.keys()),
        removed=_named(had.keys() - has.keys()),
        changed=_named({name for name in had.keys() & has.keys() if had[name] != has[name]}),
        deprecated=_named(newly),
        schemas=_named(
            {name for name in both if before.schemas.get(name) != after.schemas.get(name)}
        ),
    )


def _named(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names)[:NAMED_MAX])


def _short(part: object) -> str:
    return hashlib.sha256(msgspec.json.encode(part, order="sorted")).hexdigest()[:16]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
