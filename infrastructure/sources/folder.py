"""Keeps sources in a folder that the API and the provisioner share.

An upload is written, taken apart and packed again in a folder of its own, and only then renamed
into its place: whatever is in place is whole. The lock on an upload's folder lives as long as the
process that made it; the next start removes every folder whose lock is free, however its maker
ended.
"""

import asyncio
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infrastructure.archives import Limits
from infrastructure.archives.packing import pack
from infrastructure.archives.unpacking import Unpacked, unpack
from infrastructure.sources import (
    Runtime,
    SourceReference,
    StoredSource,
    TooManySources,
    UploadTooLarge,
)
from infrastructure.sources.conventions import READ, READ_BYTES_MAX, start_plan

INCOMING, UPLOAD = ".incoming", "upload"
UNUSED_SECONDS_MIN = 3600
"""So long an upload waits for its deployment before it may make room for another one."""
UNPACKING_AT_ONCE = 2
_TEAM = re.compile(r"[A-Za-z0-9-]{1,64}")
_SUFFIX = ".tar.gz"


class FolderSources:
    """Sources below one folder."""

    def __init__(
        self,
        folder: Path,
        *,
        upload_bytes_max: int = 50 * 1024**2,
        team_bytes_max: int = 1024**3,
        limits: Limits | None = None,
    ) -> None:
        self._folder = folder
        self._upload_bytes_max = upload_bytes_max
        self._team_bytes_max = team_bytes_max
        self._limits = limits or Limits()
        self._turns = asyncio.Semaphore(UNPACKING_AT_ONCE)

    async def keep(
        self,
        chunks: AsyncIterator[bytes],
        *,
        team_id: str,
        runtime: Runtime | None,
        used: frozenset[str],
    ) -> StoredSource:
        """Take in an archive as it comes, or nothing of it."""
        with self._workplace() as place:
            await self._receive(chunks, place / UPLOAD)
            async with self._turns:
                return await asyncio.to_thread(self._store, place, team_id, runtime, used)

    def claim(self, team_id: str, digest: str) -> bool:
        """Tell whether the team has the source; it stays for a while if so."""
        place = self._team_folder(team_id) / f"{digest}{_SUFFIX}"
        try:
            os.utime(place)
        except FileNotFoundError:
            return False
        return True

    def locate(self, digest: str) -> Path | None:
        """Return the source, whosever it was."""
        return next(self._folder.glob(f"*/{digest}{_SUFFIX}"), None)

    def sweep(self) -> None:
        """Remove what processes that are gone left of unfinished uploads."""
        if not (self._folder / INCOMING).is_dir():
            return
        with self._incoming() as incoming:
            for place in incoming.iterdir():
                if not place.is_dir():
                    continue
                lock = os.open(place, os.O_RDONLY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(place, ignore_errors=True)
                except BlockingIOError:
                    continue  # somebody is at it
                finally:
                    os.close(lock)

    @contextmanager
    def _incoming(self) -> Iterator[Path]:
        """Hold the folder of all uploads, so that none is swept away while it begins."""
        incoming = self._folder / INCOMING
        incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(incoming, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield incoming
        finally:
            os.close(held)

    @contextmanager
    def _workplace(self) -> Iterator[Path]:
        with self._incoming() as incoming:
            place = Path(tempfile.mkdtemp(dir=incoming))
            lock = os.open(place, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
            os.close(lock)

    async def _receive(self, chunks: AsyncIterator[bytes], archive: Path) -> None:
        received = 0
        with archive.open("xb") as file:
            async for chunk in chunks:
                received += len(chunk)
                if received > self._upload_bytes_max:
                    raise UploadTooLarge(limit_bytes=self._upload_bytes_max)
                file.write(chunk)

    def _store(
        self, place: Path, team_id: str, runtime: Runtime | None, used: frozenset[str]
    ) -> StoredSource:
        content = place / "content"
        content.mkdir()
        files = unpack(place / UPLOAD, content, limits=self._limits)
        plan = start_plan([file.name for file in files], _read(files), runtime=runtime)
        packed = place / "packed"
        digest = pack(files, packed)
        size = packed.stat().st_size
        folder = self._team_folder(team_id)
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        kept = folder / f"{digest}{_SUFFIX}"
        if kept.exists():
            kept.touch()  # it waits for a deployment from now on
        else:
            self._make_room(folder, size, used)
            with packed.open("rb") as written:
                os.fsync(written.fileno())
            packed.rename(kept)
        reference = SourceReference(plan.runtime, digest)
        return StoredSource(reference=reference, files=len(files), stored_bytes=size)

    def _make_room(self, folder: Path, size: int, used: frozenset[str]) -> None:
        """Let go of what no deployment uses, oldest first, where there is no room otherwise."""
        there = sorted(
            ((each.stat().st_mtime, each, each.stat().st_size) for each in folder.glob("*.tar.gz")),
            key=lambda found: found[0],
        )
        total = sum(bytes_ for _, _, bytes_ in there) + size
        for changed_at, each, bytes_ in there:
            if total <= self._team_bytes_max:
                return
            is_old = time.time() - changed_at > UNUSED_SECONDS_MIN
            if is_old and each.name.removesuffix(_SUFFIX) not in used:
                each.unlink(missing_ok=True)
                total -= bytes_
        if total > self._team_bytes_max:
            raise TooManySources(limit_bytes=self._team_bytes_max)

    def _team_folder(self, team_id: str) -> Path:
        if _TEAM.fullmatch(team_id) is None:
            raise ValueError(team_id)
        return self._folder / team_id


def _read(files: Sequence[Unpacked]) -> dict[str, bytes]:
    """Return the files that say how the code is started."""
    return {
        file.name: file.content.read_bytes()
        for file in files
        if file.name in READ and file.content.stat().st_size <= READ_BYTES_MAX
    }
