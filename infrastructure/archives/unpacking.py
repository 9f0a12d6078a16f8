"""Takes a zip or a gzipped tar apart: its files become numbered files in a folder of ours.

The two libraries parse; what they would believe is checked around them. Entries are read in small
pieces, so memory does not grow with what an archive says or holds.
"""

import errno
import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import msgspec

from infrastructure.archives import ArchiveRefused, ArchiveTooLarge, Limits
from infrastructure.archives.names import Names, shown

PIECE_BYTES = 64 * 1024
ZIP_MAGIC, GZIP_MAGIC = b"PK\x03\x04", b"\x1f\x8b\x08"
ZIP_END, ZIP64_END = b"PK\x05\x06", b"PK\x06\x07"
ZIP_END_BYTES, ZIP_COMMENT_MAX = 22, 0xFFFF
DIRECTORY_BYTES_MAX = 4 * 1024**2
"""Of a zip's table of contents, which is read as a whole."""
HEADER_BYTES_MAX = 1024**2
"""Of one header of a tar: it is read as a whole."""
ENCRYPTED = 0x1
EXECUTABLE, PLAIN = 0o755, 0o644
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    gzip.BadGzipFile,
    struct.error,
    EOFError,
    ValueError,
    LookupError,
    OverflowError,
    RuntimeError,
)
"""What the libraries raise for an archive that is not as it should be."""


class Unpacked(msgspec.Struct, frozen=True):
    """One file of an archive."""

    name: str
    content: Path
    executable: bool


class Meter:
    """Counts what really comes out."""

    def __init__(self, limits: Limits, archive_bytes: int) -> None:
        self._left = self._allowed = limits.inflated_max(archive_bytes)
        self._bytes_max = limits.bytes_max

    def count(self, size: int) -> None:
        """Count some bytes; raises `ArchiveTooLarge` when they are too many."""
        self._left -= size
        if self._left < 0:
            why = "in all" if self._allowed == self._bytes_max else "out of one of this size"
            raise ArchiveTooLarge(
                f"More than {self._allowed} bytes come out of the archive; that is too much {why}."
            )


def unpack(archive: Path, into: Path, *, limits: Limits) -> list[Unpacked]:
    """Write the archive's files into an empty folder, under numbers; return them.

    Raises `ArchiveRefused` or `ArchiveTooLarge`; the folder is the caller's to remove.
    """
    with archive.open("rb") as file:
        magic = file.read(len(ZIP_MAGIC))
        file.seek(0)
        meter = Meter(limits, archive.stat().st_size)
        try:
            if magic == ZIP_MAGIC:
                files = list(_unzip(file, into, Names(limits), meter, limits))
            elif magic.startswith(GZIP_MAGIC):
                files = list(_untar(file, into, Names(limits), meter))
            else:
                raise ArchiveRefused("This is neither a zip archive nor a gzipped tar archive.")
        except BROKEN as error:
            raise ArchiveRefused("The archive is broken.") from error
        except OSError as error:
            if error.errno not in {None, errno.EINVAL}:
                raise  # a full disk is not the archive's fault; a place before its beginning is
            raise ArchiveRefused("The archive is broken.") from error
    if not files:
        raise ArchiveRefused("There is no file in the archive.")
    return files


def _unzip(
    file: IO[bytes], into: Path, names: Names, meter: Meter, limits: Limits
) -> Iterator[Unpacked]:
    _check_directory(file, limits)
    with zipfile.ZipFile(file) as archive:
        for number, entry in enumerate(archive.infolist()):
            # The library cuts a name at a NUL; the whole one is what was sent.
            name = names.take(entry.orig_filename, is_folder=entry.is_dir())
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in {0, stat.S_IFREG, stat.S_IFDIR} or entry.flag_bits & ENCRYPTED:
                raise ArchiveRefused(f"{shown(entry.filename)} is a link, special or encrypted.")
            if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise ArchiveRefused(f"{shown(entry.filename)} is compressed in a rare way.")
            place = into / str(number)
            with archive.open(entry) as content:
                size = _copy(content, place if name is not None else None, meter)
            if size != entry.file_size:
                raise ArchiveRefused(f"{shown(entry.filename)} has not the size that it says.")
            if name is not None:
                yield Unpacked(name, place, bool(entry.external_attr >> 16 & 0o111))


def _check_directory(file: IO[bytes], limits: Limits) -> None:
    """Refuse a table of contents that is too long, before the library reads all of it."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - ZIP_END_BYTES - ZIP_COMMENT_MAX))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(ZIP_END)
    if at < 0 or len(tail) - at < ZIP_END_BYTES:
        raise ArchiveRefused("The archive is broken.")
    entries = int.from_bytes(tail[at + 10 : at + 12], "little")
    directory_bytes = int.from_bytes(tail[at + 12 : at + 16], "little")
    if entries > limits.files_max or ZIP64_END in tail[max(0, at - ZIP_END_BYTES) : at]:
        raise ArchiveTooLarge(f"The archive has more than {limits.files_max} entries.")
    if directory_bytes > DIRECTORY_BYTES_MAX:
        raise ArchiveTooLarge("The archive's table of contents is too long.")


def _untar(file: IO[bytes], into: Path, names: Names, meter: Meter) -> Iterator[Unpacked]:
    plain = into / "tar"
    with gzip.open(file) as inflated:
        _copy(cast("IO[bytes]", inflated), plain, meter)
    with plain.open("rb") as opened:
        guarded = cast("IO[bytes]", _Guarded(opened))
        archive = tarfile.open(fileobj=guarded, mode="r:", encoding="utf-8", errors="strict")  # noqa: SIM115  it is closed with the file
        end = -1
        while (entry := archive.next()) is not None:
            if entry.size < 0 or entry.offset_data <= end:
                raise ArchiveRefused("The archive is broken.")
            end = entry.offset_data
            name = names.take(entry.name, is_folder=entry.isdir())
            if not (entry.isreg() or entry.isdir()) or entry.issparse():
                raise ArchiveRefused(f"{shown(entry.name)} is a link or special.")
            if name is None:
                continue
            content = archive.extractfile(entry)
            place = into / str(end)
            if content is None or _copy(content, place, None) != entry.size:
                raise ArchiveRefused(f"{shown(entry.name)} has not the size that it says.")
            yield Unpacked(name, place, bool(entry.mode & 0o111))
        opened.seek(archive.offset)
        if opened.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise ArchiveRefused("The archive is broken.")
    plain.unlink()


class _Guarded:
    """A file that is read in small pieces only, whatever a header says of its own length."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """Read; raises `ArchiveRefused` for too much at once."""
        if not 0 <= size <= HEADER_BYTES_MAX:
            raise ArchiveRefused("A header in the archive is too long.")
        return self._file.read(size)


def _copy(content: IO[bytes], place: Path | None, meter: Meter | None) -> int:
    """Copy piece by piece, to nowhere if there is no place; return the size."""
    size = 0
    with place.open("xb") if place is not None else io.BytesIO() as out:
        while piece := content.read(PIECE_BYTES):
            size += len(piece)
            if meter is not None:
                meter.count(len(piece))
            if place is not None:
                out.write(piece)
    return size
