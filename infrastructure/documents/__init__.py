"""Documents that people write, in JSON or YAML, as values and back.

YAML is read as its version 1.2 has it: `no` is a text and a day is a text, so that a document means
the same in both. It can also be a bomb: what its aliases stand for is counted while it is spelled
out, and a document that holds itself is refused. What asks a replica for one is a *fetcher*.
"""

import re
from typing import Any, Protocol

import msgspec
import yaml

BYTES_MAX = 2 * 1024 * 1024
PARTS_MAX = 200_000
YAML_EVENTS_MAX = 60_000
"""YAML costs twenty times what JSON does: what is longer has to come as JSON."""
DEPTH_MAX = 100


class Unreadable(Exception):
    """The text is neither JSON nor YAML, or not the kind that can be read safely."""


class NotFetched(Exception):
    """There was no document to be had, for a reason in words for the deployment's owner."""


class Fetcher(Protocol):
    """Asks a replica for a document."""

    async def fetch(self, address: str, port: int, path: str, *, host: str) -> bytes:
        """Return what it answers; raises `NotFetched`."""
        ...


def read(text: bytes) -> Any:  # noqa: ANN401 - whatever the document has in it
    """Return what JSON or YAML says; raises `Unreadable`."""
    if text.lstrip()[:1] in {b"{", b"["}:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, ValueError):
            pass  # YAML has braces too
    return _read_yaml(text)


def as_json(value: object) -> bytes:
    """Return a value that was read as compact JSON."""
    return msgspec.json.encode(value)


def as_yaml(value: object) -> bytes:
    """Return a value that was read as YAML, which says the same in versions 1.1 and 1.2."""
    lines: list[str] = []
    _write(value, "", "", lines)
    return ("\n".join(lines).lstrip("\n") + "\n").encode()


class _Loader(yaml.CSafeLoader):
    """Knows the values of JSON, by the words of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,39})", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:[0-9]{1,18}\.[0-9]{0,18}|[0-9]{1,18}(?:\.[0-9]{1,18})?[eE][-+]?[0-9]{1,2})",
        list("-+0123456789"),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first
    )


def _read_yaml(text: bytes) -> Any:  # noqa: ANN401 - whatever the document has in it
    try:
        _must_be_flat_enough(text)
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a safe one
    except (yaml.YAMLError, UnicodeError, ValueError, OverflowError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise Unreadable(f"It is neither JSON nor YAML{where}.") from error
    return _Spelling().out(value, 0)


def _must_be_flat_enough(text: bytes) -> None:
    """Look at the text from its beginning to its end before anything is built of it."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1
        if depth > DEPTH_MAX:
            raise Unreadable("It is nested too deeply.")
        if number > YAML_EVENTS_MAX:
            raise Unreadable("It has too many parts for YAML. Send it as JSON.")


class _Spelling:
    """Makes a tree of JSON's values out of what YAML may have shared."""

    def __init__(self) -> None:
        self._parts = 0

    def out(self, value: object, depth: int) -> object:
        """Return the value with nothing shared; raises `Unreadable` for what JSON does not have."""
        self._parts += 1
        if self._parts > PARTS_MAX or depth > DEPTH_MAX:
            raise Unreadable("It has too many parts, or its aliases stand for too much.")
        if isinstance(value, dict):
            return {_name(name): self.out(inner, depth + 1) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.out(inner, depth + 1) for inner in value]
        if value is None or isinstance(value, str | bool | int | float):
            return value
        raise Unreadable("It has values that JSON does not have.")


def _name(name: object) -> str:
    if isinstance(name, str):
        return name
    if name is None or isinstance(name, bool | int | float):
        return msgspec.json.encode(name).decode()
    raise Unreadable("It has a name that is not a text.")


_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.-]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
_UNPRINTABLE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def _write(value: object, first: str, indent: str, lines: list[str]) -> None:
    """Add the lines of a value; `first` is what stands before it on its own line."""
    if isinstance(value, dict) and value:
        if first:
            lines.append(first.rstrip())
        for name, inner in value.items():
            _write(inner, f"{indent}{_scalar(name)}: ", f"{indent}  ", lines)
    elif isinstance(value, list) and value:
        if first:
            lines.append(first.rstrip())
        for inner in value:
            _write(inner, f"{indent}- ", f"{indent}  ", lines)
    else:
        lines.append(first + _scalar(value))


def _scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    text = msgspec.json.encode(value).decode()
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
