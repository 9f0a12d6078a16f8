"""What an event is, and the two facts that every context shares: a value was claimed, or released.

An event is a promise: it is never edited once stored. Its stable name and schema version stand in
`domain/catalogue.py`.
"""

import functools
from typing import Annotated

import msgspec

Personal = Annotated[str, msgspec.Meta(extra={"personal": True})]
"""Text about a person. Stored sealed with that person's key; once the key is destroyed it reads
`ERASED`. The event must have a field `user_id`: whose key it is."""

SealedText = Annotated[str, msgspec.Meta(extra={"sealed": True})]
"""A secret, already sealed when the event is made. Stays sealed until somebody with the vault
opens it on purpose; a view, a log or an export only ever sees the sealed form."""

ERASED = "[erased]"


@functools.cache
def personal_fields(event_type: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the names of the fields that are `Personal`, or `Personal | None`."""
    info = msgspec.inspect.type_info(event_type)
    if not isinstance(info, msgspec.inspect.StructType):
        raise TypeError(f"{event_type} is not a struct")
    return tuple(field.name for field in info.fields if _is_personal(field.type))


def _is_personal(kind: msgspec.inspect.Type) -> bool:
    if isinstance(kind, msgspec.inspect.UnionType):
        return any(_is_personal(part) for part in kind.types)
    return isinstance(kind, msgspec.inspect.Metadata) and bool((kind.extra or {}).get("personal"))


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened. Past tense, and about the business."""


class ValueClaimed(Event, frozen=True, kw_only=True):
    """A unique value (an e-mail address, an app name) now belongs to `owner_id`.

    The value itself is not here: the stream's id is a keyed hash of it.
    """

    scope: str
    owner_id: str


class ValueReleased(Event, frozen=True, kw_only=True):
    """The value is free again."""

    scope: str
    owner_id: str
