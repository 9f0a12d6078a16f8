"""Reads the log files that a keeper writes and rotates, without losing its place."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from infrastructure.containers import LOG_FILES_MAX, LogLine, LogPosition, Source
from infrastructure.containers.docker_logs import LineNumbering
from infrastructure.containers.process_keeper import LOG

READ_BYTES = 256 * 1024


class LogReader:
    """One pass through the files, oldest first, then along with the writer."""

    def __init__(self, folder: Path, after: LogPosition) -> None:
        self._folder = folder
        self._numbering = LineNumbering(after)
        self._file: IO[bytes] | None = None
        self._partial = b""

    def read(self) -> Sequence[LogLine]:
        """Return the next lines; an empty answer means that the end was reached, for now."""
        if self._file is None and not self._open_next():
            return []
        while True:
            content = cast("IO[bytes]", self._file).read(READ_BYTES)
            if content:
                *lines, self._partial = (self._partial + content).split(b"\n")
                numbered = self._numbering.number([parse(line) for line in lines])
                if numbered:
                    return numbered
            elif not self._open_next():
                return []

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _open_next(self) -> bool:
        """Open the file after the present one; False while there is none."""
        files = _oldest_first(self._folder)
        if self._file is not None:
            mine = os.fstat(self._file.fileno())
            for at, path in enumerate(files):
                if _is(path, mine):
                    files = files[at + 1 :]
                    break
        for path in files:
            try:
                opened = path.open("rb")
            except FileNotFoundError:
                continue
            self.close()
            self._file, self._partial = opened, b""
            return True
        return False


def last_lines(folder: Path, count: int) -> list[str]:
    """Return the texts of the log's last lines."""
    lines: list[str] = []
    for path in _oldest_first(folder):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - READ_BYTES))
            lines += [parse(line)[2] for line in file.read().split(b"\n") if line]
    return lines[-count:]


def parse(line: bytes) -> tuple[int, Source, str]:
    """Return time, source and text of a stored line; a torn one has time 0."""
    stamp, _, rest = line.partition(b" ")
    source, _, text = rest.partition(b" ")
    time_ns = int(stamp) if stamp.isdigit() else 0
    return time_ns, "stderr" if source == b"stderr" else "stdout", text.decode(errors="replace")


def _oldest_first(folder: Path) -> list[Path]:
    names = [f"{LOG}.{age}" for age in range(LOG_FILES_MAX - 1, 0, -1)]
    return [path for name in (*names, LOG) if (path := folder / name).exists()]


def _is(path: Path, mine: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), mine)
    except FileNotFoundError:
        return False
