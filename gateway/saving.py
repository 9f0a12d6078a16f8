"""The files beside the workers: written while changes go on, the newest wins.

A hundred thousand keys are ten megabytes, so nobody waits for them but a reload.
"""

import asyncio
from collections.abc import Mapping

import structlog

from gateway.configuration import CONFIG, Rendered
from gateway.snapshot import ConfigurationRefused, Snapshot

log = structlog.get_logger()


class Saver:
    """Makes one HAProxy's files equal to what is wanted."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._wanted: Rendered | None = None
        self._known: frozenset[str] = frozenset()
        self._written: tuple[Rendered, str] | None = None
        self._saving: asyncio.Task[None] | None = None
        self.refused: Rendered | None = None
        """What HAProxy itself found wrong: it is tried again when something else is wanted."""

    def save_soon(self, wanted: Rendered, *, known: frozenset[str]) -> None:
        """Begin to write; backends that no worker is known to have are checked before."""
        self._wanted, self._known = wanted, known
        if self._is_saving() or self.on_disk() is wanted or self.refused is wanted:
            return
        if self._saving is not None:
            self._saving.result()  # a defect in here must not stay in here
        self._saving = asyncio.create_task(self._save())

    def suffices_for(self, wanted: Rendered) -> bool:
        """Tell whether a worker that starts now would have every backend and option."""
        disk = None if self._is_saving() else self.on_disk()
        return (
            disk is not None
            and disk.config == wanted.config
            and wanted.servers.keys() <= disk.servers.keys()
        )

    def on_disk(self) -> Rendered | None:
        """Return what the files say, as far as we wrote them."""
        if self._written is None or self._written[1] != self._snapshot.version():
            return None
        return self._written[0]

    async def finish(self) -> None:
        """Wait for what was begun."""
        if self._saving is not None:
            await asyncio.wait({self._saving})

    def _is_saving(self) -> bool:
        return self._saving is not None and not self._saving.done()

    async def _save(self) -> None:
        saved: Rendered | None = None
        while self._wanted is not None and self._wanted is not saved:
            saved = self._wanted
            await self._write(saved, known=self._known)

    async def _write(self, wanted: Rendered, *, known: frozenset[str]) -> None:
        texts = await asyncio.to_thread(wanted.files)
        check = not wanted.servers.keys() <= known or self._snapshot.read(CONFIG) != wanted.config
        try:
            await asyncio.to_thread(self._snapshot.write, texts, check=check)
            self._written = (wanted, self._snapshot.version())
        except ConfigurationRefused as error:
            # The good configuration stays; rights that were taken away must still reach the disk.
            self.refused = wanted
            log.error("haproxy refuses the configuration", reason=str(error))  # noqa: TRY400 - its words say it all
            await self._write_maps(texts, wanted.maps)
        except OSError as error:
            # A full disk must not keep a revoked key working: the workers can still be told.
            log.error("snapshot cannot be written", reason=str(error))  # noqa: TRY400 - the same

    async def _write_maps(self, texts: Mapping[str, str], maps: Mapping[str, object]) -> None:
        try:
            only = {name: texts[name] for name in maps}
            await asyncio.to_thread(self._snapshot.write, only, check=False)
        except OSError as error:
            log.error("snapshot cannot be written", reason=str(error))  # noqa: TRY400 - the same
