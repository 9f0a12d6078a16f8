"""ClickHouse, as the analytics see it: statements, rows, inserts.

It has no transaction with anybody else. So an insert that fails may have happened all the same;
who inserts must be able to ask what is there.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

RowType = TypeVar("RowType", bound=msgspec.Struct)


class ClickHouseAway(Exception):
    """ClickHouse does not answer. What was being inserted may be stored, or not."""


class ClickHouseRefused(Exception):
    """ClickHouse answered with an error: the statement or the data is wrong."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        """ClickHouse's own error number."""


class ClickHouse(Protocol):
    """One database of one ClickHouse. Values are bound by name (``{name:Type}``), not formatted."""

    async def command(self, statement: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run a statement without a result. It may be tried more than once: make it repeatable."""
        ...

    async def query(
        self,
        kind: type[RowType],
        statement: str,
        parameters: Mapping[str, object] | None = None,
    ) -> list[RowType]:
        """Return a statement's rows, each as a `kind`: a Struct with the columns as its fields."""
        ...

    async def insert(self, table: str, rows: Sequence[msgspec.Struct], *, writer: str) -> None:
        """Insert rows (fields named as the columns) as one block, once, without a retry.

        All rows must fall into one partition of the table: then all are stored, or none.
        `writer` names the insert so that `stop_inserts` finds it.
        """
        ...

    async def stop_inserts(self, writer: str) -> None:
        """Return when no insert of this writer is running any more, whoever started it."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...
