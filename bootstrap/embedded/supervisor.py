"""Start parts in the order they need, keep them alive, stop them in reverse, leave nothing behind.

    async with Supervisor(home) as supervisor:      # takes the home, ends leftovers of a killed one
        await supervisor.start(specs, progress)     # parallel where dependencies allow
        await supervisor.run_until(stop_event)      # parts that die are started again meanwhile
    # everything has ended here

Use it from the event loop of the main thread: the kernel ends a part when the *thread* that
started it ends.
"""

import asyncio
import contextlib
import datetime as dt
import fcntl
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from bootstrap.embedded.home import Home
from bootstrap.embedded.parts import Part, PartFailed, PartStatus, ProcessSpec, Progress
from bootstrap.embedded.processes import Registry

__all__ = ["HomeInUse", "PartFailed", "PartStatus", "ProcessSpec", "Progress", "Supervisor"]

log = structlog.get_logger()

LEFTOVER_SECONDS = 15.0


class HomeInUse(Exception):
    """Another supervisor runs in this home."""


class Supervisor:
    """Looks after all parts of one home; there is one per home at a time."""

    def __init__(self, home: Home, *, leftover_seconds: float = LEFTOVER_SECONDS) -> None:
        self._home = home
        self._leftover_seconds = leftover_seconds
        self._registry = Registry(home.run)
        self._parts: dict[str, Part] = {}
        self._tending: dict[str, asyncio.Task[None]] = {}
        self._broken = asyncio.Event()
        self._lock: int | None = None

    async def __aenter__(self) -> Self:
        self._lock = _take_lock(self._home.run / "supervisor.lock")
        try:
            left = await self._registry.end_leftovers(timeout_seconds=self._leftover_seconds)
        except BaseException:
            self._give_lock_back()
            raise
        if left:
            log.warning("ended what a killed supervisor left behind", parts=left)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.stop()
        finally:
            self._give_lock_back()

    async def start(
        self,
        specs: Sequence[ProcessSpec],
        progress: Progress | None = None,
        *,
        stop_event: asyncio.Event | None = None,
    ) -> None:
        """Start parts and return when all are ready; may be called again to add more.

        Returns early when `stop_event` is set. Raises `PartFailed` for the first part that cannot
        start. Stopping the rest is up to the caller: leaving the `async with` does it.
        """
        self._check(specs)
        parts = [Part(spec, self._home, self._registry, progress or _keep_quiet) for spec in specs]
        self._parts |= {part.spec.name: part for part in parts}
        for part in parts:
            needed = [self._parts[name] for name in part.spec.depends_on]
            task = asyncio.create_task(part.tend(needed), name=f"tend {part.spec.name}")
            task.add_done_callback(self._notice)
            self._tending[part.spec.name] = task
        all_ready = asyncio.gather(*(asyncio.shield(part.first_ready) for part in parts))
        await _first_of(all_ready, stop_event or asyncio.Event())

    async def run_until(self, stop_event: asyncio.Event) -> None:
        """Return when told to stop; raise if looking after a part itself went wrong."""
        await _first_of(asyncio.ensure_future(self._broken.wait()), stop_event)
        for task in self._tending.values():
            if task.done():
                task.result()

    async def restart(self, name: str) -> None:
        """Replace the process of a part and return when the new one is ready."""
        part = self._parts[name]
        part.replace()
        async with asyncio.timeout(
            part.spec.stop_timeout_seconds + part.spec.ready_timeout_seconds
        ):
            await part.ready.wait()

    def status(self) -> dict[str, PartStatus]:
        """Return what is known about each part right now."""
        return {name: part.status for name, part in self._parts.items()}

    async def stop(self) -> None:
        """Stop every part after those that depend on it. Harmless to repeat."""
        await asyncio.gather(*(self._stop_part(name) for name in self._parts))
        self._parts.clear()
        self._tending.clear()

    async def _stop_part(self, name: str) -> None:
        dependents = [
            self._tending[other]
            for other, part in self._parts.items()
            if name in part.spec.depends_on
        ]
        if dependents:
            await asyncio.wait(dependents)
        self._parts[name].stop()
        await asyncio.wait([self._tending[name]])

    def _notice(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("looking after a part went wrong", task=task.get_name())
            self._broken.set()

    def _check(self, specs: Sequence[ProcessSpec]) -> None:
        """Refuse what could never start: two of a name, an unknown dependency, a circle."""
        known = set(self._parts)
        waiting = list(specs)
        names = [spec.name for spec in specs]
        if len({*names, *known}) != len(names) + len(known):
            raise ValueError(f"every part needs a name of its own: {sorted(names)}")
        while waiting:
            able = [spec for spec in waiting if known.issuperset(spec.depends_on)]
            if not able:
                stuck = {spec.name: spec.depends_on for spec in waiting}
                raise ValueError(f"these parts wait for one another or for unknown ones: {stuck}")
            known.update(spec.name for spec in able)
            waiting = [spec for spec in waiting if spec not in able]

    def _give_lock_back(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGINT, SIGTERM or SIGHUP sets, for `run_until`."""
    stop_event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, stop_event.set)
    return stop_event


async def _first_of(future: asyncio.Future[Any], stop_event: asyncio.Event) -> None:
    """Wait for a result, which may be an error, or for the event."""
    stopping = asyncio.ensure_future(stop_event.wait())
    waiting: list[asyncio.Future[Any]] = [future, stopping]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            future.result()
    finally:
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _take_lock(path: Path) -> int:
    """Hold the home until this process ends, in whatever way; say who has it if another does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = ""
        with contextlib.suppress(OSError):
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise HomeInUse(
            f"Tallyport already runs in {path.parent.parent} ({holder or 'process unknown'}): "
            "stop it first, or choose another TALLYPORT_HOME"
        ) from None
    since = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()}, since {since}\n".encode(), 0)
    return descriptor


def _keep_quiet(_part: str, _happened: str) -> None:
    """Show no progress."""
