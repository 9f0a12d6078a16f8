"""A folder of code as one archive: the same files make the same bytes."""

import contextlib
import gzip
import os
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cli.failures import Failed
from cli.ignores import ALWAYS, Pattern, is_ignored, patterns_of

IGNORE_FILES = (".gitignore", ".tallyportignore")
CHUNK_BYTES = 64 * 1024
IN_MEMORY_BYTES = 8 * 1024 * 1024
FILE_MODE, PROGRAM_MODE = 0o644, 0o755


@dataclass(frozen=True)
class Archive:
    """Code, packed."""

    file: IO[bytes]
    size: int
    files: int

    def chunks(self) -> Iterator[bytes]:
        """Yield it from the beginning."""
        self.file.seek(0)
        while chunk := self.file.read(CHUNK_BYTES):
            yield chunk


@contextlib.contextmanager
def packed(folder: Path) -> Iterator[Archive]:
    """Pack what is not ignored; raises `Failed` where that is nothing, or cannot be sent."""
    patterns = _patterns(folder)
    files = 0
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
        with (
            gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as compressed,
            tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for path, name in _files(folder, patterns):
                _add(archive, path, name)
                files += 1
        if not files:
            raise Failed(f"There is nothing to deploy in {folder}: no file, or all are ignored.")
        yield Archive(file, file.tell(), files)


def names_in(folder: Path) -> set[str]:
    """Return the files in the top of a folder, as far as they would be packed."""
    patterns = _patterns(folder)
    return {
        path.name
        for path in folder.iterdir()
        if path.is_file() and not is_ignored(path.name, patterns, is_folder=False)
    }


def _patterns(folder: Path) -> list[Pattern]:
    patterns = patterns_of(ALWAYS)
    for name in IGNORE_FILES:
        file = folder / name
        if file.is_file():
            patterns += patterns_of(file.read_text(encoding="utf-8", errors="replace").splitlines())
    return patterns


def _files(folder: Path, patterns: list[Pattern]) -> Iterator[tuple[Path, str]]:
    for place, folders, names in os.walk(folder):
        inside = Path(place).relative_to(folder)
        folders[:] = [
            each
            for each in sorted(folders)
            if not is_ignored((inside / each).as_posix(), patterns, is_folder=True)
        ]
        for name in sorted(names):
            path = inside / name
            if not is_ignored(path.as_posix(), patterns, is_folder=False):
                yield folder / path, path.as_posix()


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    if path.is_symlink() or not path.is_file():
        raise Failed(
            f"{name} is a link or no plain file, which cannot be deployed.",
            "Put a copy in its place, or leave it out: a line in .tallyportignore.",
        )
    try:
        with path.open("rb") as content:
            member = tarfile.TarInfo(name)
            member.size = os.fstat(content.fileno()).st_size
            member.mode = PROGRAM_MODE if os.access(path, os.X_OK) else FILE_MODE
            archive.addfile(member, content)
    except OSError as error:
        raise Failed(f"{name} cannot be read: {error.strerror}.") from error
