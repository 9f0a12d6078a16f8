"""ClickHouse's engine (chDB) in this process: runs one statement at a time per handle.

What a reader would not guess: every request opens its own engine handle (0.2 ms) and drops it, so
a setting or a database chosen by one request can never leak into another. And an INSERT's data
goes in as a file in memory: the engine's streaming insert says "stored" of an insert that was
killed, and data inside the statement's text ends at its first empty line.
"""

import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple, Protocol, cast

import chdb

CONCURRENT_QUERIES_MAX = 32
QUEUE_WAIT_SECONDS = 30.0
STOP_WAIT_SECONDS = 10.0

ABORTED, TOO_MANY_QUERIES, UNKNOWN_EXCEPTION = 236, 202, 1002

_INSERT = re.compile(rb"(?:\s|--[^\n]*\n|/\*.*?\*/)*INSERT\b", re.IGNORECASE | re.DOTALL)
# Quoted text and comments are matched first so that nothing inside them is taken for a keyword.
_KEYWORD = re.compile(
    rb"""'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|--[^\n]*|/\*.*?\*/"""
    rb"""|\bFORMAT\s+(?P<format>\w+)[ \t\f]*\r?\n?|\b(?P<settings>SETTINGS)\b"""
    rb"""|\b(?P<no_data>SELECT|WITH|VALUES|INFILE)\b""",
    re.IGNORECASE | re.DOTALL,
)
_TRAILING_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_ERROR = re.compile(r"Code: (\d+)\..*", re.DOTALL)


class ClickHouseError(Exception):
    """An error with ClickHouse's number and ClickHouse's words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

    @classmethod
    def of(cls, error: Exception) -> "ClickHouseError":
        """Find code and text in what the engine raised."""
        found = _ERROR.search(str(error))
        if found is None:
            return cls(UNKNOWN_EXCEPTION, f"Code: 1002. DB::Exception: {error} (UNKNOWN_EXCEPTION)")
        return cls(int(found[1]), found[0])


class Request(NamedTuple):
    """One statement with everything that came with it."""

    text: bytes
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    database: str
    default_format: str


class Answer(NamedTuple):
    """What the engine said; `format` is None when the statement has no result at all."""

    body: bytes
    format: str | None
    summary: Mapping[str, str]


def split_insert(text: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Cut an INSERT that carries its data: target, settings and format, data. Else None."""
    if not _INSERT.match(text):
        return None
    target_end = None
    for token in _KEYWORD.finditer(text):
        if token["no_data"]:
            return None
        if token["settings"] and target_end is None:
            target_end = token.start()
        if token["format"]:
            target_end = target_end or token.start()
            return text[:target_end], text[target_end : token.end()], text[token.end() :]
    return None


@contextmanager
def file_in_memory(content: bytes) -> Iterator[str]:
    """Give the content a path that nobody has to clean up, whatever dies."""
    if not hasattr(os, "memfd_create"):
        with NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            yield file.name
        return
    descriptor = os.memfd_create("insert")
    with os.fdopen(descriptor, "wb") as memory:
        memory.write(content)
        memory.flush()
        yield f"/proc/self/fd/{descriptor}"


class _Handle(Protocol):
    """What is used of a chDB connection. Its own annotations ask for text where bytes do."""

    def query(
        self, text: str | bytes, result_format: str, /, params: Mapping[str, str] | None = None
    ) -> Any: ...  # noqa: ANN401 # chDB's result is untyped


class Engine:
    """The one engine of this process, used by many threads, each request on a handle of its own."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._root = chdb.connect(self._path)  # keeps the engine alive between requests
        self._slots = threading.BoundedSemaphore(CONCURRENT_QUERIES_MAX)
        self._closing = False
        version, timezone = self._root.query("SELECT version(), timezone()", "TSV").bytes().split()
        self.version: str = version.decode()
        self.timezone: str = timezone.decode()

    def run(self, request: Request) -> Answer:
        """Run one statement; raises `ClickHouseError`."""
        if self._closing or not self._slots.acquire(timeout=QUEUE_WAIT_SECONDS):
            code, name = (
                (ABORTED, "ABORTED")
                if self._closing
                else (TOO_MANY_QUERIES, "TOO_MANY_SIMULTANEOUS_QUERIES")
            )
            text = f"Code: {code}. DB::Exception: The server is stopping or too busy. ({name})"
            raise ClickHouseError(code, text)
        try:
            handle = chdb.connect(self._path)
            try:
                return _run(cast("_Handle", handle), request)
            finally:
                handle.close()
        except (chdb.ChdbError, RuntimeError) as error:  # from Python, from C++
            raise ClickHouseError.of(error) from error
        finally:
            self._slots.release()

    def close(self) -> None:
        """Refuse new statements, let the running ones finish (bounded), and close the engine."""
        self._closing = True
        deadline = time.monotonic() + STOP_WAIT_SECONDS
        for _ in range(CONCURRENT_QUERIES_MAX):
            self._slots.acquire(timeout=max(0.0, deadline - time.monotonic()))
        self._root.close()


def _run(handle: "_Handle", request: Request) -> Answer:
    if request.database not in {"", "default"}:
        handle.query(f"USE {_quoted(request.database, '`')}", "TSV")
    if request.settings:
        assignments = (f"{name} = {_quoted(v, chr(39))}" for name, v in request.settings.items())
        handle.query(f"SET {', '.join(assignments)}", "TSV")
    if not request.text.strip():
        raise ClickHouseError(62, "Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)")
    insert = split_insert(request.text)
    if insert:
        target, data_format, rows = insert
        # Cut into blocks of about a million rows, or as its settings say: each is one part per
        # table partition, stored whole or not at all.
        with file_in_memory(rows) as path:
            statement = b"%b FROM INFILE '%b' %b" % (target, path.encode(), data_format)
            written = handle.query(statement, "TabSeparated", params=request.parameters)
        return Answer(b"", None, _summary(written_rows=written.rows_written()))
    trailing = _TRAILING_FORMAT.search(request.text)
    # A statement without FORMAT is asked for names too: no first line means it has no result.
    asked = request.default_format or "TabSeparated"
    naming = not trailing and asked in {"TabSeparated", "TSV"}
    answer = handle.query(
        request.text,
        "TabSeparatedWithNames" if naming else asked,
        params=request.parameters,
    )
    summary = _summary(
        read_rows=answer.rows_read(),
        read_bytes=answer.bytes_read(),
        written_rows=answer.rows_written(),
        written_bytes=answer.bytes_written(),
    )
    body: bytes = answer.bytes() or b""
    if trailing:
        return Answer(body, trailing[1].decode(), summary)
    if not naming:
        return Answer(body, asked, summary)
    names, _, rows = body.partition(b"\n")
    return Answer(rows, asked if names else None, summary)


def _quoted(text: str, mark: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(mark, f"\\{mark}")
    return f"{mark}{escaped}{mark}"


def _summary(**counts: int) -> Mapping[str, str]:
    return {name: str(count) for name, count in counts.items()}
