"""What a view is: a table that is a pure fold over the log.

A view says which rows an event changes (`changes`) and how (`fold`); everything else, from the
table's columns to positions, batches, rebuilds and parking, follows from that and is done once, in
`projections/tables.py` and `workers/projection_runner.py`.
"""

import hashlib
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec

from domain.identity.events import UserErased
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic

Row = TypeVar("Row", bound=msgspec.Struct)

Key = tuple[str | int | datetime, ...]
"""The values of a row's key columns."""

Change = tuple[Key, Any]
"""A row's key, and what the event means for that row (often just the event itself)."""


@dataclass(frozen=True, kw_only=True)
class View(Generic[Row]):
    """One table of answers. To change `changes` or `fold`, raise `version`: the view is rebuilt."""

    name: str
    version: int
    topic: Topic
    row: type[Row]
    key: tuple[str, ...]
    changes: Callable[[Any, RecordedEvent], Sequence[Change]]
    fold: Callable[[Row | None, Any, RecordedEvent], Row | None]
    indexes: tuple[str, ...] = ()
    """Index expressions: `team_id, created_at`; `UNIQUE secret_hash` for a unique one."""
    append_only: bool = False
    """Each change makes a new row, so no row has to be read before."""
    reads_raw: bool = False
    """The view looks at the record itself: events are not decoded for it, readable or not."""
    person: str | None = None
    """The column with the id of the person whom a row tells about: with their erasure it goes."""

    @property
    def columns(self) -> dict[str, str]:
        """The table's columns and their SQL types, from the row's fields."""
        hints = typing.get_type_hints(self.row)
        return {name: _sql_type(hints[name]) for name in self.row.__struct_fields__}

    @property
    def fingerprint(self) -> str:
        """Changes when the table has to be rebuilt."""
        shape = repr((self.version, self.columns, self.key, self.indexes, self.person))
        return hashlib.sha256(shape.encode()).hexdigest()[:16]


class Forget(msgspec.Struct, frozen=True):
    """What an erasure means for a view with rows about people: all of this person's go."""

    user_id: str


def forgotten_by(view: View[Any], event: object) -> Forget | None:
    """Return who has to be forgotten, if the event says so and the view knows people."""
    if view.person is not None and isinstance(event, UserErased):
        return Forget(event.user_id)
    return None


_SQL_TYPES: dict[object, str] = {
    str: "text",
    int: "bigint",
    float: "double precision",
    bool: "boolean",
    datetime: "timestamptz",
    Decimal: "numeric",
}


def _sql_type(hint: object) -> str:
    if isinstance(hint, types.UnionType):
        inner = [part for part in typing.get_args(hint) if part is not types.NoneType]
        return _sql_type(inner[0])
    if isinstance(hint, type) and issubclass(hint, str):
        return "text"
    return _SQL_TYPES.get(hint, "jsonb")
