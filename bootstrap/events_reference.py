"""Writes docs/events.md from the catalogue of events, or tells that it is stale.

`python -m bootstrap.events_reference --write` and `--check`, from the root of the checkout.
"""

import inspect
import re
import sys
from itertools import groupby
from pathlib import Path

import msgspec

from bootstrap.generated import write_or_check
from domain.catalogue import EVENTS, UPCASTERS

_REMAKE = "python -m bootstrap.events_reference --write"
_PATH = Path("docs/events.md")
_HEAD = f"""\
# Events

Everything that can stand in the log, by context. A name and its version are promised for ever:
stored events of an older version are lifted to the newest when they are read.

`personal` fields are sealed with the key of the person in `user_id`; `secret` fields are sealed
with the key of a team or a person and stay sealed for every reader but the worker that needs them:
the provisioner or the mailer.

Written by `{_REMAKE}`."""


def markdown() -> str:
    """Return docs/events.md."""
    parts = [_HEAD]
    for context, topics in groupby(EVENTS, key=lambda topic: topic.partition(".")[0]):
        parts.append(f"\n## {context}")
        parts += [_event(topic, EVENTS[topic]) for topic in topics]
    return "\n".join(parts) + "\n"


def _event(topic: str, kind: type[msgspec.Struct]) -> str:
    meaning = " ".join((inspect.getdoc(kind) or "").split())
    older = [old for old in UPCASTERS if old.partition("@")[0] == topic.partition("@")[0]]
    lines = [f"\n### {topic}\n\n{meaning}\n"]
    if older:
        lines.append(f"Still read: {', '.join(older)}.\n")
    fields = msgspec.structs.fields(kind)
    if not fields:
        lines.append("It has no fields.")
        return "\n".join(lines)
    lines += ["| field | kind | |", "| - | - | - |"]
    lines += [_field(field) for field in fields]
    return "\n".join(lines)


def _field(field: msgspec.structs.FieldInfo) -> str:
    text = repr(field.type) if not isinstance(field.type, type) else field.type.__name__
    mark = "personal" if "'personal': True" in text else ""
    mark = "secret" if "'sealed': True" in text else mark
    text = re.sub(r"typing\.Annotated\[(\w+), msgspec\.Meta\([^)]*\)\]", r"\1", text)
    text = re.sub(r"\b(?:typing|datetime|domain(?:\.\w+)*)\.", "", text)
    return f"| `{field.name}` | {text.replace('|', 'or')} | {mark} |"


def main() -> int:
    """Write or check; return the exit code."""
    return write_or_check(__doc__, {_PATH: markdown()}, remake=_REMAKE)


if __name__ == "__main__":
    sys.exit(main())
