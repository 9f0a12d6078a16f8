import gzip
import io
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infrastructure.archives import ArchiveRefused, ArchiveTooLarge, Limits
from infrastructure.archives.names import Names
from infrastructure.archives.packing import SourceChanged, pack, unpack_packed
from infrastructure.archives.unpacking import Unpacked, unpack
from tests.infrastructure.archives.hostile import (
    NAMES,
    REFUSED,
    TOO_LARGE,
    tar_of,
    tarred,
    zip_with_mode,
    zipped,
)

FILES = {"main.py": b"print('hello')\n", "lib/a.py": b"", "lib/deeper/data.bin": bytes(range(256))}


def taken_apart(sent: bytes, tmp_path: Path, limits: Limits | None = None) -> list[Unpacked]:
    archive, into = tmp_path / "archive", tmp_path / "into"
    archive.write_bytes(sent)
    into.mkdir()
    return unpack(archive, into, limits=limits or Limits())


@pytest.mark.parametrize("make", [zipped, tarred])
def test_the_files_come_out_as_they_went_in(
    make: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    files = taken_apart(make(FILES), tmp_path)
    assert {file.name: file.content.read_bytes() for file in files} == FILES
    assert {file.content.parent for file in files} == {tmp_path / "into"}, "names are not used"


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_plain_files_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveRefused):
        taken_apart(REFUSED[name](), tmp_path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_are_tricks_are_refused(kind: str, name: str, tmp_path: Path) -> None:
    if kind == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            entry = zipfile.ZipInfo("x")
            entry.filename = NAMES[name]
            archive.writestr(entry, b"x")
        sent = out.getvalue()
    else:
        entry_ = tarfile.TarInfo(NAMES[name])
        sent = tar_of([entry_])
        if "\0" in NAMES[name]:
            # A tar's header ends a name at its NUL; only the extended one can hold it.
            pax = tarfile.TarInfo("main.py").create_pax_header(
                {**tarfile.TarInfo("main.py").get_info(), "name": "ä" + NAMES[name]}, "utf-8"
            )
            sent = gzip.compress(pax + b"\0" * 1024)
    with pytest.raises(ArchiveRefused):
        taken_apart(sent, tmp_path)


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_would_grow_too_large_is_refused_before_it_does(name: str, tmp_path: Path) -> None:
    sent = TOO_LARGE[name]()
    with pytest.raises((ArchiveTooLarge, ArchiveRefused)):
        taken_apart(sent, tmp_path)
    written = sum(each.stat().st_size for each in (tmp_path / "into").iterdir())
    assert written <= Limits().inflated_max(len(sent))


@pytest.mark.parametrize("name", ["zeros in a zip", "a table of contents without end"])
def test_memory_does_not_grow_with_what_an_archive_says(name: str, tmp_path: Path) -> None:
    sent = TOO_LARGE[name]()
    tracemalloc.start()
    try:
        with pytest.raises((ArchiveTooLarge, ArchiveRefused)):
            taken_apart(sent, tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * 1024**2


def test_the_limit_on_everything_counts_what_comes_out(tmp_path: Path) -> None:
    with pytest.raises(ArchiveTooLarge, match="More than 1000 bytes"):
        taken_apart(zipped({"a": b"x" * 600, "b": b"y" * 600}), tmp_path, Limits(bytes_max=1000))


def test_histories_are_left_out(tmp_path: Path) -> None:
    files = {"main.py": b"", ".git/config": b"token", "sub/.git/x": b"", "__MACOSX/._main.py": b""}
    assert [file.name for file in taken_apart(zipped(files), tmp_path)] == ["main.py"]


def test_of_a_mode_only_whether_it_may_be_run_is_kept(tmp_path: Path) -> None:
    [file] = taken_apart(zip_with_mode(0o106755), tmp_path)
    packed = tmp_path / "packed"
    digest = pack([file], packed)
    unpack_packed(packed, tmp_path / "out", digest=digest)
    assert (tmp_path / "out" / "passwd").stat().st_mode & 0o7777 == 0o755


def test_the_same_files_have_one_digest_however_they_were_sent(tmp_path: Path) -> None:
    digests = set()
    backwards = dict(reversed(FILES.items()))
    for number, sent in enumerate([zipped(FILES), tarred(FILES), tarred(backwards)]):
        place = tmp_path / str(number)
        place.mkdir()
        digests.add(pack(taken_apart(sent, place), place / "packed"))
    assert len(digests) == 1
    out = tmp_path / "out"
    unpack_packed(tmp_path / "0" / "packed", out, digest=digests.pop())
    found = {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()
    }
    assert found == FILES


def test_what_was_changed_on_the_disk_is_not_unpacked(tmp_path: Path) -> None:
    digest = pack(taken_apart(zipped(FILES), tmp_path), tmp_path / "packed")
    (tmp_path / "packed").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(SourceChanged):
        unpack_packed(tmp_path / "packed", tmp_path / "out", digest=digest)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.text(alphabet="aA./\\\0é\u0301\u202e: \n", max_size=12), max_size=8))
def test_whatever_names_are_taken_are_inside_and_distinct(names: list[str]) -> None:
    checker = Names(Limits())
    taken = []
    for name in names:
        try:
            taken.append(checker.take(name, is_folder=False))
        except ArchiveRefused:
            continue
    kept = [name for name in taken if name is not None]
    for name in kept:
        assert not name.startswith("/")
        assert not {"", ".", ".."}.intersection(name.split("/"))
    assert len({name.casefold() for name in kept}) == len(kept)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_a_damaged_archive_is_refused_or_read_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    sent = bytearray(data.draw(st.sampled_from([zipped(FILES), tarred(FILES)])))
    if sent[:2] == b"\x1f\x8b" and data.draw(st.booleans()):  # damage the tar, not its wrapping
        plain = bytearray(gzip.decompress(bytes(sent)))
        _damage(plain, data)
        sent = bytearray(gzip.compress(bytes(plain), 1))
    else:
        _damage(sent, data)
    place = tmp_path_factory.mktemp("damaged")
    try:
        taken_apart(bytes(sent), place)
    except (ArchiveRefused, ArchiveTooLarge):
        return


def _damage(content: bytearray, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
