"""Archives that are made to hurt, and the plain ones beside them."""

import gzip
import io
import random
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

Files = dict[str, bytes]


def zipped(files: Files) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(files: Files) -> bytes:
    return tar_of([_file(name, len(content)) for name, content in files.items()], files)


def tar_of(entries: list[tarfile.TarInfo], files: Files | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO((files or {}).get(entry.name, b"x" * entry.size)))
    return out.getvalue()


def _file(name: str, size: int = 1) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry


def special(name: str, kind: bytes, target: str = "") -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return tar_of([_file("main.py"), entry])


def zip_with_mode(mode: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        entry = zipfile.ZipInfo("passwd")
        entry.external_attr = mode << 16
        archive.writestr(entry, b"/etc/passwd")
    return out.getvalue()


def zip_that_lies_about_sizes() -> bytes:
    sent = zipped({"main.py": b"x" * 1000})
    lying = struct.pack("<L", 10)
    return sent.replace(struct.pack("<L", 1000), lying)


def zip_with_a_file_before_its_beginning() -> bytes:
    sent = bytearray(zipped({"main.py": b"x"}))
    at = sent.index(b"PK\5\6") + 16
    sent[at : at + 4] = struct.pack("<L", struct.unpack("<L", sent[at : at + 4])[0] + 100_000)
    return bytes(sent)


def zip_that_promises_more() -> bytes:
    return zipped({"main.py": b"x" * 1000}).replace(
        struct.pack("<L", 1000), struct.pack("<L", 9999)
    )


def overlapping_bomb() -> bytes:
    """One compressed kernel that many names share, as in 42.zip's successors."""
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = b"\0" * 1_000_000
    squeezed = kernel.compress(content) + kernel.flush()
    head = struct.pack(
        "<4sHHHHHLLLHH",
        b"PK\3\4", 20, 0, 8, 0, 0, zlib.crc32(content), len(squeezed), len(content), 1, 0,
    )  # fmt: skip
    out = head + b"a" + squeezed
    directory = b"".join(
        struct.pack(
            "<4sHHHHHHLLLHHHHHLL",
            b"PK\1\2", 20, 20, 0, 8, 0, 0, zlib.crc32(content), len(squeezed), len(content),
            1, 0, 0, 0, 0, 0, 0,
        ) + b"a"
        for _ in range(5000)
    )  # fmt: skip
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 5000, 5000, len(directory), len(out), 0)
    return out + directory + end


def zip_that_hides_how_much_it_lists() -> bytes:
    """Says that it has one entry, and has a table of contents of twelve megabytes."""
    row = zipped({"a": b""})
    listed = row[row.index(b"PK\1\2") : row.index(b"PK\5\6")]
    directory = listed * 250_000
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 1, 1, len(directory), 31, 0)
    return row[: row.index(b"PK\1\2")] + directory + end


def tar_with_a_negative_size() -> bytes:
    plain = gzip.decompress(tarred({"main.py": b"x"}))
    header = bytearray(plain[:512])
    header[124:136] = b"\xff" * 11 + b"\x00"  # base 256, below zero
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return gzip.compress(bytes(header) + plain[512:])


def tar_with_a_long_header() -> bytes:
    """A header that asks to be read into memory as a whole."""
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 2 * 1024**2
    return gzip.compress(
        entry.tobuf(tarfile.USTAR_FORMAT) + random.Random(1).randbytes(entry.size), 1
    )


def headers_without_end() -> bytes:
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 0
    return gzip.compress(entry.tobuf(tarfile.USTAR_FORMAT) * 2000 + b"\0" * 1024, 1)


def sparse() -> bytes:
    entry = tarfile.TarInfo("main.py")
    entry.type = tarfile.GNUTYPE_SPARSE
    return gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)


def broken_in_the_middle() -> bytes:
    plain = gzip.decompress(tarred({"a.py": b"x", "b.py": b"y"}))
    return gzip.compress(plain[:1024] + b"garbage!" * 64 + plain[1536:])


NAMES: dict[str, str] = {
    "leads out": "../main.py",
    "leads out further in": "a/../../main.py",
    "absolute": "/etc/cron.d/x",
    "a drive": "C:\\x",
    "a drive with a slash": "c:/x",
    "a backslash": "..\\main.py",
    "a NUL": "main.py\0.txt",
    "turns the reading direction": "main\u202eyp.exe",
    "a line end": "main\n.py",
    "an escape": "main\x1b[2J.py",
    "no width": "ma\u200bin.py",
    "too long": "x" * 250,
    "too long in all": "/".join(["x" * 150] * 8),
    "too deep": "/".join("d" * 21),
}
REFUSED: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no archive": lambda: b"#!/bin/sh\nrm -rf /\n",
    "another archive": lambda: b"7z\xbc\xaf\x27\x1c" + b"\0" * 100,
    "only the magic of a zip": lambda: b"PK\3\4",
    "only the magic of a gzip": lambda: b"\x1f\x8b\x08",
    "a gzip of no tar": lambda: gzip.compress(b"hello" * 1000),
    "a zip cut short": lambda: zipped({"main.py": b"x" * 5000})[:-30],
    "a tar cut short": lambda: tarred({"main.py": b"x" * 5000})[:-30],
    "a tar that is garbage from its second file on": broken_in_the_middle,
    "no file": lambda: zipped({"folder/": b""}),
    "a symlink": lambda: special("etc", tarfile.SYMTYPE, "/etc"),
    "a symlink to inside": lambda: special("x", tarfile.SYMTYPE, "main.py"),
    "a hard link": lambda: special("etc", tarfile.LNKTYPE, "/etc/passwd"),
    "a device": lambda: special("sda", tarfile.BLKTYPE),
    "a character device": lambda: special("mem", tarfile.CHRTYPE),
    "a pipe": lambda: special("pipe", tarfile.FIFOTYPE),
    "a sparse file": sparse,
    "a symlink in a zip": lambda: zip_with_mode(stat.S_IFLNK | 0o777),
    "a socket in a zip": lambda: zip_with_mode(stat.S_IFSOCK | 0o777),
    "sizes that lie": zip_that_lies_about_sizes,
    "sizes that promise more": zip_that_promises_more,
    "a file before the beginning": zip_with_a_file_before_its_beginning,
    "a size below zero": tar_with_a_negative_size,
    "a header of two megabytes": tar_with_a_long_header,
    "headers about headers": headers_without_end,
    "names that differ in case": lambda: tarred({"Main.py": b"", "main.py": b""}),
    "folders that differ in case": lambda: zipped({"Lib/a.py": b"", "lib/b.py": b""}),
    "names that differ in composition": lambda: tarred({"\u00e9.py": b"", "e\u0301.py": b""}),
    "one name twice": lambda: tar_of([_file("main.py"), _file("main.py")]),
    "one name in two spellings": lambda: tarred({"./main.py": b"", "main.py": b""}),
    "a file that is a folder": lambda: tarred({"a": b"", "a/b": b""}),
    "a folder that is a file": lambda: tarred({"a/b": b"", "a": b""}),
}
TOO_LARGE: dict[str, Callable[[], bytes]] = {
    "zeros in a zip": lambda: zipped({"zeros": b"\0" * 30_000_000}),
    "zeros in a tar": lambda: tarred({"zeros": b"\0" * 30_000_000}),
    "a kernel shared by many names": overlapping_bomb,
    "many empty files in a zip": lambda: zipped({f"{n}": b"" for n in range(10_001)}),
    "many empty files in a tar": lambda: gzip.compress(
        b"".join(tarfile.TarInfo(f"{n}").tobuf() for n in range(10_001)) + b"\0" * 1024
    ),
    "a table of contents without end": zip_that_hides_how_much_it_lists,
}
