"""What an OpenAPI document has to be so that a portal can show it.

The form is checked, at every place that a reader of the document looks at, and each problem is
named by its place (a JSON pointer). The schemas are not: a portal shows them as they are.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from domain.kernel.errors import RuleViolated
from domain.portals.values import METHODS

DEPTH_MAX = 64
PARTS_MAX = 200_000
"""Names and values."""
OPERATIONS_MAX = 2_000
PROBLEMS_MAX = 20
NAME_CHARACTERS_MAX = 512
TEXT_CHARACTERS_MAX = 200

_OPENAPI = re.compile(r"3\.[01]\.[0-9]{1,3}")
_STATUS = re.compile(r"[1-5](?:[0-9]{2}|XX)|default")
_UNSEEN = re.compile(
    r"[\x00-\x20\x7f-\xa0\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]",
)
"""Characters that no path and no parameter needs, and with which a line can be forged."""
_PLACES = ("query", "header", "path", "cookie")
_DATA = ("example", "examples", "default", "enum", "const")
"""Below these stands data, in which `$ref` is a name like any other."""


class InvalidDocument(RuleViolated):
    """This is not an OpenAPI 3.0 or 3.1 document. Each problem is named by its place."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a document without showing it."""

    title: str
    version: str
    operations: int


def checked(document: object) -> Facts:
    """Return the facts of a document; raises `InvalidDocument`."""
    if not isinstance(document, dict):
        raise InvalidDocument(**{"/": "is not an object"})
    _must_be_bounded(document)
    problems = dict(_first(_problems(document)))
    if problems:
        raise InvalidDocument(**problems)
    return Facts(
        title=document["info"]["title"],
        version=document["info"]["version"],
        operations=sum(1 for _ in _operations(document)),
    )


Problem = tuple[str, str]


def _first(problems: Iterator[Problem]) -> Iterator[Problem]:
    for number, problem in enumerate(problems):
        if number == PROBLEMS_MAX:
            return
        yield problem


def _must_be_bounded(document: object) -> None:
    parts = 0
    level: list[object] = [document]
    for _ in range(DEPTH_MAX):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, str) and "\0" in value:
                raise InvalidDocument(**{"/": "has the character NUL in a text"})
        parts += len(below)
        if parts > PARTS_MAX:
            raise InvalidDocument(**{"/": f"has more than {PARTS_MAX} parts"})
        if not below:
            return
        level = below
    raise InvalidDocument(**{"/": f"is nested deeper than {DEPTH_MAX} levels"})


def _problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _problems_of_head(document)
    paths = document.get("paths", {})
    if not isinstance(paths, dict):
        yield "/paths", "is not an object"
        return
    if not paths and not document.get("webhooks") and not document.get("components"):
        yield "/paths", "has nothing in it"
    names: dict[str, str] = {}
    for path, item in paths.items():
        yield from _problems_of_path(path, item, names)
    if sum(1 for _ in _operations(document)) > OPERATIONS_MAX:
        yield "/paths", f"has more than {OPERATIONS_MAX} operations"
    yield from _problems_of_components(document)
    yield from _problems_of_references(document)


def _problems_of_head(document: Mapping[str, Any]) -> Iterator[Problem]:
    if "swagger" in document:
        yield "/swagger", "is of OpenAPI 2; only 3.0 and 3.1 can be shown"
    elif not _is_text(document.get("openapi"), _OPENAPI):
        yield "/openapi", "is not 3.0.x or 3.1.x"
    info = document.get("info")
    if not isinstance(info, dict):
        yield "/info", "is missing" if info is None else "is not an object"
        return
    for name in ("title", "version"):
        text = info.get(name)
        if not isinstance(text, str) or not 0 < len(text.strip()) <= TEXT_CHARACTERS_MAX:
            yield f"/info/{name}", f"is not a text of 1 to {TEXT_CHARACTERS_MAX} characters"
    yield from _texts("/info", info, "description", "summary")
    for name in ("servers", "tags"):
        if not isinstance(document.get(name, []), list):
            yield f"/{name}", "is not a list"


def _problems_of_path(path: str, item: object, names: dict[str, str]) -> Iterator[Problem]:
    at = f"/paths/{_escaped(path)}"
    if path.startswith("x-"):
        return
    if not path.startswith("/"):
        yield at, "does not begin with a slash"
    if len(path) > NAME_CHARACTERS_MAX or _UNSEEN.search(path):
        yield at, "is too long, or has blanks or invisible characters"
    if not isinstance(item, dict):
        yield at, "is not an object"
        return
    yield from _problems_of_parameters(at, item)
    for method in METHODS:
        if method in item:
            yield from _problems_of_operation(f"{at}/{method}", item[method], names)


def _problems_of_operation(at: str, operation: object, names: dict[str, str]) -> Iterator[Problem]:
    if not isinstance(operation, dict):
        yield at, "is not an object"
        return
    yield from _texts(at, operation, "summary", "description", "operationId")
    name = operation.get("operationId")
    if isinstance(name, str) and names.setdefault(name, at) != at:
        yield f"{at}/operationId", f"is the name of {names[name]} already"
    tags = operation.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        yield f"{at}/tags", "is not a list of texts"
    if not isinstance(operation.get("deprecated", False), bool):
        yield f"{at}/deprecated", "is not true or false"
    yield from _problems_of_parameters(at, operation)
    body = operation.get("requestBody", {})
    if not isinstance(body, dict):
        yield f"{at}/requestBody", "is not an object"
    else:
        yield from _problems_of_content(f"{at}/requestBody", body)
    yield from _problems_of_responses(at, operation.get("responses", {}))


def _problems_of_responses(at: str, responses: object) -> Iterator[Problem]:
    if not isinstance(responses, dict):
        yield f"{at}/responses", "is not an object"
        return
    for status, response in responses.items():
        where = f"{at}/responses/{_escaped(status)}"
        if status.startswith("x-"):
            continue
        if not _STATUS.fullmatch(status):
            yield where, "is not a status"
        if not isinstance(response, dict):
            yield where, "is not an object"
            continue
        yield from _texts(where, response, "description")
        yield from _problems_of_content(where, response)


def _problems_of_parameters(at: str, holder: Mapping[str, Any]) -> Iterator[Problem]:
    parameters = holder.get("parameters", [])
    if not isinstance(parameters, list):
        yield f"{at}/parameters", "is not a list"
        return
    for number, parameter in enumerate(parameters):
        yield from _problems_of_parameter(f"{at}/parameters/{number}", parameter)


def _problems_of_parameter(where: str, parameter: object) -> Iterator[Problem]:
    if not isinstance(parameter, dict):
        yield where, "is not an object"
        return
    if "$ref" in parameter:
        return
    name = parameter.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        yield f"{where}/name", "is not a name"
    elif _UNSEEN.search(name):
        yield f"{where}/name", "has blanks or invisible characters"
    if parameter.get("in") not in _PLACES:
        yield f"{where}/in", f"is none of {', '.join(_PLACES)}"
    yield from _texts(where, parameter, "description")


def _problems_of_content(at: str, holder: Mapping[str, Any]) -> Iterator[Problem]:
    content = holder.get("content", {})
    if not isinstance(content, dict):
        yield f"{at}/content", "is not an object"
        return
    for kind, media in content.items():
        where = f"{at}/content/{_escaped(kind)}"
        if _UNSEEN.search(kind.replace("; ", ";")):
            yield where, "has blanks or invisible characters"
        if not isinstance(media, dict):
            yield where, "is not an object"


def _problems_of_components(document: Mapping[str, Any]) -> Iterator[Problem]:
    components = document.get("components", {})
    if not isinstance(components, dict):
        yield "/components", "is not an object"
        return
    for kind, named in components.items():
        if kind.startswith("x-"):
            continue
        if not isinstance(named, dict):
            yield f"/components/{_escaped(kind)}", "is not an object"
        elif kind == "parameters":
            for name, parameter in named.items():
                yield from _problems_of_parameter(
                    f"/components/parameters/{_escaped(name)}", parameter
                )


def _problems_of_references(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Every reference stays inside the document: nothing is ever fetched because of one."""
    left: list[tuple[str, object]] = [("", document)]
    while left:
        at, value = left.pop()
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str) and not _leads_somewhere(document, reference):
                yield f"{at}/$ref", f"{reference[:TEXT_CHARACTERS_MAX]!r} is not in this document"
            is_named = at.endswith(("/properties", "/schemas", "/patternProperties", "/$defs"))
            left += [
                (f"{at}/{_escaped(name)}", part)
                for name, part in value.items()
                if is_named or (name not in _DATA and not name.startswith("x-"))
            ]
        elif isinstance(value, list):
            left += [(f"{at}/{number}", part) for number, part in enumerate(value)]


def _leads_somewhere(document: Mapping[str, Any], reference: str) -> bool:
    if not reference.startswith("#/"):
        return reference == "#"
    value: object = document
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            if name not in value:
                return False
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and name.isascii():
            if len(name) > len(str(len(value))) or int(name) >= len(value):
                return False
            value = value[int(name)]
        else:
            return False
    return True


def _operations(document: Mapping[str, Any]) -> Iterator[object]:
    for item in document.get("paths", {}).values():
        if isinstance(item, dict):
            yield from (item[method] for method in METHODS if method in item)


def _texts(at: str, holder: Mapping[str, Any], *names: str) -> Iterator[Problem]:
    for name in names:
        if not isinstance(holder.get(name, ""), str):
            yield f"{at}/{name}", "is not a text"


def _is_text(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _escaped(name: str) -> str:
    shown = name[:TEXT_CHARACTERS_MAX]
    return shown.replace("~", "~0").replace("/", "~1")
