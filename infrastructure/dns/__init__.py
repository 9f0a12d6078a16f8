"""Asking DNS. The port, and what an answer is; `dnspython.py` asks."""

from enum import StrEnum
from typing import Literal, Protocol

import msgspec

RecordType = Literal["A", "AAAA", "CNAME", "TXT"]


class Outcome(StrEnum):
    """How a question ended."""

    FOUND = "found"
    NO_RECORD = "no_record"
    """The name is there, but has no record of this type."""
    NO_SUCH_NAME = "no_such_name"
    SERVER_FAILURE = "server_failure"
    """The servers said that they cannot answer, or said nothing that could be understood."""
    TIMEOUT = "timeout"


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """What DNS says to one question."""

    outcome: Outcome
    values: tuple[str, ...] = ()
    """Names in lower case without a dot at the end; addresses; texts, made printable."""


class Resolver(Protocol):
    """Asks DNS. Never raises for what DNS does."""

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        """Return the records of one type that a name has itself."""
        ...
