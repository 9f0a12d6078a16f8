"""Packs files canonically, and unpacks what was packed so."""

import gzip
import hashlib
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from infrastructure.archives.unpacking import EXECUTABLE, PLAIN, Unpacked

PIECE_BYTES = 64 * 1024


class SourceChanged(Exception):
    """What is stored is not what its digest says."""


def pack(files: Sequence[Unpacked], place: Path) -> str:
    """Write the files as a gzipped tar; return the digest of what is in it.

    Names are sorted, owners and times are left out, and of the mode only whether it may be run.
    The digest is of the tar itself: another version of the compressor changes nothing.
    """
    with place.open("xb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as zipped:
        hashing = _Hashing(cast("IO[bytes]", zipped))
        with tarfile.open(
            fileobj=cast("IO[bytes]", hashing), mode="w", format=tarfile.PAX_FORMAT
        ) as archive:
            for each in sorted(files, key=lambda file: file.name):
                entry = tarfile.TarInfo(each.name)
                entry.size = each.content.stat().st_size
                entry.mode = EXECUTABLE if each.executable else PLAIN
                with each.content.open("rb") as content:
                    archive.addfile(entry, content)
    return hashing.digest.hexdigest()


def unpack_packed(archive: Path, into: Path, *, digest: str) -> None:
    """Write what `pack` packed into a folder; raises `SourceChanged` if it is something else."""
    found = hashlib.sha256()
    with gzip.open(archive) as inflated:
        while piece := inflated.read(PIECE_BYTES):
            found.update(piece)
    if found.hexdigest() != digest:
        raise SourceChanged(f"what is stored as {digest} is something else")
    with tarfile.open(archive, "r:gz", encoding="utf-8") as packed:
        for entry in packed:
            place = into / entry.name
            place.parent.mkdir(parents=True, exist_ok=True)
            content = packed.extractfile(entry)
            if content is None:
                raise SourceChanged(f"{entry.name} is not a file")
            with place.open("xb") as out:
                shutil.copyfileobj(content, out)
            place.chmod(EXECUTABLE if entry.mode & 0o111 else PLAIN)


class _Hashing:
    """Hashes what is written on its way."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._written = 0
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        """Hash and write."""
        self.digest.update(content)
        self._written += len(content)
        return self._out.write(content)

    def tell(self) -> int:
        """Return how much was written."""
        return self._written
