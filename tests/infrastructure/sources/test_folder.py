import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infrastructure.archives import ArchiveRefused
from infrastructure.archives.packing import unpack_packed
from infrastructure.sources import TooManySources, UploadTooLarge, source_of
from infrastructure.sources.folder import INCOMING, FolderSources
from tests.infrastructure.archives.hostile import tarred, zipped

TEAM, OTHER = "org-0000000001", "org-0000000002"
NONE: frozenset[str] = frozenset()


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 1000):
        yield content[at : at + 1000]


def old(place: Path | None) -> Path:
    assert place is not None
    os.utime(place, (0, 0))
    return place


def files_below(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.name != INCOMING]


async def test_a_source_is_there_for_its_team_only(tmp_path: Path) -> None:
    sources = FolderSources(tmp_path)
    kept = await sources.keep(
        chunks(zipped({"main.py": b"x"})), team_id=TEAM, runtime=None, used=NONE
    )
    place = sources.locate(kept.reference.digest)
    assert place is not None
    unpack_packed(place, tmp_path / "out", digest=kept.reference.digest)
    assert (tmp_path / "out" / "main.py").read_bytes() == b"x"
    assert sources.claim(TEAM, kept.reference.digest)
    assert not sources.claim(OTHER, kept.reference.digest)
    again = await sources.keep(
        chunks(tarred({"main.py": b"x"})), team_id=TEAM, runtime=None, used=NONE
    )
    assert again.reference.digest == kept.reference.digest


async def test_what_is_refused_leaves_nothing(tmp_path: Path) -> None:
    sources = FolderSources(tmp_path, upload_bytes_max=5000)
    with pytest.raises(UploadTooLarge):
        await sources.keep(chunks(b"PK\3\4" + bytes(6000)), team_id=TEAM, runtime=None, used=NONE)
    with pytest.raises(ArchiveRefused):
        await sources.keep(chunks(zipped({"../x": b""})), team_id=TEAM, runtime=None, used=NONE)
    assert files_below(tmp_path) == []


def test_an_upload_that_was_killed_is_swept_away_and_one_under_way_is_not(
    tmp_path: Path,
) -> None:
    program = f"""
import asyncio, pathlib
from infrastructure.sources.folder import FolderSources
async def slowly():
    yield b"PK"
    print("begun", flush=True)
    await asyncio.sleep(600)
sources = FolderSources(pathlib.Path({str(tmp_path)!r}))
asyncio.run(sources.keep(slowly(), team_id="t", runtime=None, used=frozenset()))
"""
    uploading = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={"PYTHONPATH": str(Path.cwd())}
    )
    assert uploading.stdout is not None
    assert uploading.stdout.readline() == b"begun\n"
    incoming = tmp_path / INCOMING
    FolderSources(tmp_path).sweep()
    assert len(list(incoming.iterdir())) == 1
    uploading.send_signal(signal.SIGKILL)
    uploading.wait()
    uploading.stdout.close()
    FolderSources(tmp_path).sweep()
    assert list(incoming.iterdir()) == []


async def test_only_old_sources_that_no_deployment_uses_make_room(tmp_path: Path) -> None:
    first, second, third = (zipped({"main.py": os.urandom(1000)}) for _ in range(3))
    sources = FolderSources(tmp_path, team_bytes_max=2800)
    one = await sources.keep(chunks(first), team_id=TEAM, runtime=None, used=NONE)
    two = await sources.keep(chunks(second), team_id=TEAM, runtime=None, used=NONE)
    with pytest.raises(TooManySources):
        await sources.keep(chunks(third), team_id=TEAM, runtime=None, used=NONE)
    old(sources.locate(one.reference.digest))
    old(sources.locate(two.reference.digest))
    with pytest.raises(TooManySources):
        await sources.keep(
            chunks(third),
            team_id=TEAM,
            runtime=None,
            used=frozenset({one.reference.digest, two.reference.digest}),
        )
    three = await sources.keep(
        chunks(third), team_id=TEAM, runtime=None, used=frozenset({one.reference.digest})
    )
    assert [sources.locate(each.reference.digest) is not None for each in (one, two, three)] == [
        True,
        False,
        True,
    ]


def test_only_a_whole_reference_is_a_source() -> None:
    found = source_of(f"source/python:{'a' * 64}")
    assert found is not None
    assert (found.runtime, found.digest, str(found)) == (
        "python",
        "a" * 64,
        f"source/python:{'a' * 64}",
    )
    for image in ("source/python:1", f"source/perl:{'a' * 64}", f"x/source/python:{'a' * 64}"):
        assert source_of(image) is None
