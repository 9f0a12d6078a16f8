"""One part under supervision: how it is started, and its life from birth to rebirth.

A life is: prepare, start the process, wait until it is ready, look after it, and at its end sweep
up what is left of it. `Part.tend` strings lives together until it is told to stop. A part that
never becomes ready the first time is a failure to report with the end of its log; one that was
ready before is started again for ever, with growing pauses.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import structlog

from bootstrap.embedded import processes
from bootstrap.embedded.home import Home
from bootstrap.embedded.processes import MARK, Account, Registry

log = structlog.get_logger()

QUICK_DEATHS_MAX = 5
PAUSE_MIN_SECONDS = 0.1
PAUSE_MAX_SECONDS = 10.0
STEADY_SECONDS = 30.0
READY_POLL_MIN_SECONDS = 0.01
READY_POLL_MAX_SECONDS = 0.25
CHECK_TIMEOUT_SECONDS = 5.0
LOG_BYTES_MAX = 16 * 1024 * 1024
LOG_TAIL_LINES = 20
LOG_TAIL_BYTES = 8 * 1024

Progress = Callable[[str, str], None]
"""Called with the name of a part and what happened to it, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """How to start, check and stop one part."""

    name: str
    argv: Sequence[str] | Callable[[], Sequence[str]]
    """The command; a callable is asked again at each start."""
    cwd: Path
    env: Mapping[str, str] = field(default_factory=lambda: {"PATH": os.defpath, "LANG": "C.UTF-8"})
    """The whole environment: nothing is inherited."""
    account: Account | None = None
    """Whom the process runs as; None is us."""
    stdout: Path | None = None
    """Where its output is appended; None is `logs/<name>.log`, which is kept bounded."""
    prepare: Callable[[], Awaitable[None]] | None = None
    """Run before each start: make its folder, clear away what a killed life left."""
    ready: Callable[[], Awaitable[bool]] | None = None
    """Is it usable? Asked until yes, then from time to time. None: it is when it runs."""
    ready_timeout_seconds: float = 60.0
    health_interval_seconds: float = 5.0
    health_failures_max: int = 6
    """So many checks in a row fail before a part that is alive is started again."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = 10.0
    depends_on: tuple[str, ...] = ()
    restart: bool = True
    """False: a step that is done when it ends with exit code 0."""


class PartFailed(Exception):
    """A part did not become ready."""

    def __init__(self, part: str, reason: str, log_tail: str) -> None:
        self.part = part
        self.reason = reason
        self.log_tail = log_tail
        shown = f"\nThe end of its log:\n{log_tail}" if log_tail else ""
        super().__init__(f"{part} does not start: {reason}{shown}")


class State(StrEnum):
    """Where a part is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class PartStatus:
    """What is known about a part right now."""

    name: str
    state: State
    pid: int | None
    restarts: int


class Part:
    """One supervised part. `tend` is its whole story; everything else asks or tells it."""

    def __init__(
        self, spec: ProcessSpec, home: Home, registry: Registry, progress: Progress
    ) -> None:
        self.spec = spec
        self.first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready = asyncio.Event()
        self._log_path = spec.stdout or home.logs / f"{spec.name}.log"
        self._log_start = self._log_path.stat().st_size if self._log_path.exists() else 0
        self._registry = registry
        self._progress = progress
        self._state = State.WAITING
        self._process: subprocess.Popen[bytes] | None = None
        self._restarts = 0
        self._stopping = asyncio.Event()
        self._replace = asyncio.Event()

    @property
    def status(self) -> PartStatus:
        """What is known about it right now."""
        pid = None if self._process is None else self._process.pid
        return PartStatus(self.spec.name, self._state, pid, self._restarts)

    def stop(self) -> None:
        """Ask it to end; `tend` returns when it has."""
        self._stopping.set()

    def replace(self) -> None:
        """Ask for a new process in place of this one; `ready` tells when it is there."""
        self.ready.clear()
        self._replace.set()

    async def tend(self, after: Sequence["Part"]) -> None:
        """Live, once the parts it depends on are ready, until told to stop (or failed at first)."""
        try:
            await self._wait_for(after)
            await self._live_again_and_again()
        except Exception as failure:
            if self.first_ready.done():
                raise
            self.first_ready.set_exception(failure)
        finally:
            self._state = State.STOPPED
            self.ready.clear()
            if not self.first_ready.done():
                self.first_ready.cancel()

    async def _wait_for(self, parts: Sequence["Part"]) -> None:
        stopping = asyncio.ensure_future(self._stopping.wait())
        others = asyncio.gather(*(asyncio.shield(part.first_ready) for part in parts))
        try:
            waiting: list[asyncio.Future[Any]] = [stopping, others]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if others.done() and not others.cancelled():
                others.result()
        finally:
            await _cancel(stopping, others)

    async def _live_again_and_again(self) -> None:
        loop = asyncio.get_running_loop()
        pause = PAUSE_MIN_SECONDS
        quick_deaths = 0
        while not self._stopping.is_set():
            born_at = loop.time()
            ending = await self._life()
            if self._stopping.is_set() or ending is _DONE:
                return
            self._restarts += 1
            if ending is _REPLACED:
                continue
            if not self.first_ready.done():
                quick_deaths += 1
                lasting = ending.lasting or not self.spec.restart
                if lasting or quick_deaths >= QUICK_DEATHS_MAX:
                    raise PartFailed(self.spec.name, ending.reason, self._log_tail())
            if loop.time() - born_at > STEADY_SECONDS:
                pause = PAUSE_MIN_SECONDS
            log.warning(
                "part ended and will be started again",
                part=self.spec.name,
                reason=ending.reason,
                pause_seconds=pause,
            )
            if self.first_ready.done():
                self._progress(self.spec.name, f"{ending.reason}, starting it again")
            await self._stopped_within(pause)
            pause = min(pause * 2, PAUSE_MAX_SECONDS)

    async def _life(self) -> "_Ending":
        """Live once, and say how it ended. Whatever happens, no process stays behind."""
        self._state = State.STARTING
        self._replace.clear()
        started_at = asyncio.get_running_loop().time()
        try:
            if self.spec.prepare is not None:
                await self.spec.prepare()
            process = self._spawn()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is why the part did not start
            return _Ending(str(error) or type(error).__name__)
        self._process = process
        end = asyncio.ensure_future(processes.ended(process))
        care = asyncio.ensure_future(self._look_after(started_at))
        orders = [asyncio.ensure_future(e.wait()) for e in (self._stopping, self._replace)]
        try:
            waiting: list[asyncio.Future[Any]] = [end, care, *orders]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not end.done():
                await self._ask_to_end(process, end)
                if self._stopping.is_set() or self._replace.is_set():
                    return _REPLACED
                return care.result()
        finally:
            self.ready.clear()
            code = processes.reap(process)
            self._process = None
            self._state = State.WAITING
            await processes.group_gone(process.pid)
            self._registry.forget(self.spec.name)
            await _cancel(end, care, *orders)
        return self._ending_of(code)

    def _spawn(self) -> subprocess.Popen[bytes]:
        argv = self.spec.argv() if callable(self.spec.argv) else self.spec.argv
        mark = self._registry.new_mark(self.spec.name)
        process = processes.spawn(
            argv,
            cwd=self.spec.cwd,
            env={**self.spec.env, MARK: mark},
            account=self.spec.account,
            output=self._log_path,
            death_signal=self.spec.stop_signal,
        )
        try:
            self._registry.record(self.spec.name, process.pid, mark, self.spec.stop_signal)
        except BaseException:  # a process nobody would find again
            processes.reap(process)
            raise
        return process

    async def _look_after(self, started_at: float) -> "_Ending":
        """Wait until it is ready, then check it now and then; return when it should be replaced."""
        loop = asyncio.get_running_loop()
        if not self.spec.restart:
            await asyncio.Event().wait()  # a step is ready when it is done
        pause = READY_POLL_MIN_SECONDS
        while not await self._is_healthy():
            if loop.time() - started_at > self.spec.ready_timeout_seconds:
                return _Ending(
                    f"not ready after {self.spec.ready_timeout_seconds:g} s", lasting=True
                )
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, READY_POLL_MAX_SECONDS)
        self._became_ready(loop.time() - started_at)
        failures = 0
        while failures < self.spec.health_failures_max:
            await asyncio.sleep(self.spec.health_interval_seconds)
            failures = 0 if await self._is_healthy() else failures + 1
            if self.spec.stdout is None:
                await asyncio.to_thread(_bound_log, self._log_path)
        return _Ending(f"alive, but failed {failures} checks in a row")

    async def _is_healthy(self) -> bool:
        if self.spec.ready is None:
            return True
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                return await self.spec.ready()
        except Exception:  # noqa: BLE001 - a check that fails in any way is a failed check
            return False

    def _became_ready(self, seconds: float) -> None:
        self._state = State.READY
        self.ready.set()
        if not self.first_ready.done():
            self.first_ready.set_result(None)
        self._progress(self.spec.name, f"ready in {seconds:.1f} s")

    async def _ask_to_end(
        self, process: subprocess.Popen[bytes], end: asyncio.Future[None]
    ) -> None:
        """Signal and wait; the caller kills what is still there."""
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.spec.stop_signal)
        done, _ = await asyncio.wait({end}, timeout=self.spec.stop_timeout_seconds)
        if not done:
            log.warning("part did not stop in time and is killed", part=self.spec.name)

    def _ending_of(self, code: int) -> "_Ending":
        if code == 0 and not self.spec.restart:
            if not self.first_ready.done():
                self.first_ready.set_result(None)
            return _DONE
        if code < 0:
            return _Ending(f"killed by {signal.Signals(-code).name}")
        return _Ending(f"ended with exit code {code}")

    async def _stopped_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _log_tail(self) -> str:
        """Return the last lines it wrote since the supervisor started."""
        if not self._log_path.exists():
            return ""
        with self._log_path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, size - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])


@dataclass(frozen=True)
class _Ending:
    """How a life ended, in words; `lasting` if another life would end the same way."""

    reason: str
    lasting: bool = False


# Endings that need no words: told to end, and a step that is done.
_REPLACED = _Ending("replaced")
_DONE = _Ending("done")


async def _cancel(*waiting: asyncio.Future[Any]) -> None:
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def _bound_log(path: Path) -> None:
    """Keep one older piece and begin anew; its writer appends, so it goes on at the new end."""
    try:
        if path.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)
    except OSError as error:  # a full disk, a removed file: no reason to end a part that works
        log.warning("a log file cannot be bounded", path=str(path), error=str(error))
