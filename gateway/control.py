"""The agent: keeps one HAProxy equal to the routing table.

What a reader would not guess: it compares, it does not follow. Each turn it looks at which workers
live, asks one it does not know what it has, and sends the difference. So a HAProxy that was killed,
a reload that somebody else did and an answer that got lost need no special care. For a worker that
had all of the table before, only the rows that changed are compared. A right that ended is taken
from the workers first; all the rest follows, while the files are written from which the next
HAProxy starts.
"""

import asyncio
import shutil
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.changes import apply_servers, map_changes, server_changes
from gateway.configuration import (
    ADDRESSES,
    FLAGS,
    GRANTS,
    HOSTS,
    KEYS,
    METERING_ON,
    METERING_PAUSED,
    ROUTES,
    Rendered,
    RoutingTable,
    digest_of,
    server_options,
)
from gateway.launch import LaunchOptions
from gateway.rendering import Renderer, Step
from gateway.runtime import ChangeRefused, HAProxyAway, Runtime, WorkerState
from gateway.saving import Saver
from gateway.snapshot import Snapshot
from gateway.traffic import Announcer, TrafficBoard, traffic_of
from infrastructure.ending import end

log = structlog.get_logger()

_RIGHTS, _WAYS = (KEYS, GRANTS, ADDRESSES), (FLAGS, ROUTES, HOSTS)
"""A right that was taken away goes first; a route comes when its servers are there."""


class TableSource(Protocol):
    """Where the routing table comes from."""

    async def read(self) -> RoutingTable:
        """Return the table as it is now."""
        ...

    async def wait_for_change(self, timeout: float) -> bool:  # noqa: ASYNC109 - a poll's bound
        """Return True as soon as the table has changed since `read` last began, else False."""
        ...


class ControlOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the agent paces itself, and when it stops serving rather than serve unrecorded."""

    tick_seconds: float = 0.5
    """How often HAProxy and the disk are looked at when nothing changes."""
    gather_seconds: float = 0.02
    """Shortest time from one reading of the table to the next: what comes sooner comes together."""
    drain_tick_seconds: float = 0.1
    """How often replicas that are waited for are looked at."""
    heartbeat_seconds: float = 2.0
    """How often it is said that this gateway lives, when there is nothing else to say."""
    reread_seconds: float = 300.0
    """How often the whole table is read although nobody said that it changed."""
    audit_seconds: float = 300.0
    """How often a worker is asked what it has although we should know."""
    refused_pause_seconds: float = 1.0
    """How long the agent waits after HAProxy refused something, before it asks and tries again."""
    log_bytes_free_min: int = 64 * 1024**2
    """Less free space than this for request logs pauses every app; more by half resumes them."""


class ControlMetrics:
    """What the agent says about itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reloads = Counter(
            "tallyport_gateway_reloads", "Reloads of HAProxy by the agent.", registry=registry
        )
        self.changes = Counter(
            "tallyport_gateway_changes", "Commands applied at run time.", registry=registry
        )
        self.rejected = Gauge(
            "tallyport_gateway_rejected_rows", "Unusable routes and keys.", registry=registry
        )
        self.paused = Gauge(
            "tallyport_gateway_metering_paused", "1 while apps answer 503.", registry=registry
        )
        self.up = Gauge("tallyport_gateway_up", "1 while HAProxy answers.", registry=registry)
        self.table_read = Gauge(
            "tallyport_gateway_table_read_timestamp_seconds",
            "When the routing table was last read.",
            registry=registry,
        )


class Control:
    """Keeps one HAProxy equal to its table, for as long as `run` runs."""

    def __init__(
        self,
        source: TableSource,
        board: TrafficBoard,
        launch: LaunchOptions,
        options: ControlOptions,
        metrics: ControlMetrics,
    ) -> None:
        self._source = source
        self._announcer = Announcer(board, heartbeat_seconds=options.heartbeat_seconds)
        self._gateway = launch.gateway
        self._requests_folder = launch.requests_folder
        self._options = options
        self._metrics = metrics
        self._files = Saver(Snapshot(launch.run_folder, launch.haproxy))
        self._renderer = Renderer(launch.gateway)
        self._runtime = Runtime(launch.run_folder)
        self._workers: dict[int, WorkerState] = {}
        self._equal: dict[int, Rendered] = {}
        self._living: tuple[int, list[int]] = (0, [])
        self._announced: tuple[Rendered | None, int] = (None, 0)
        self._table: RoutingTable | None = None
        self._step: Step | None = None
        self._reload_is_due = False
        self._metering = METERING_ON
        self._read_at = -float("inf")
        self._audited_at = time.monotonic()
        self._reachable = True

    async def run(self) -> None:
        """Never returns. The source and HAProxy may come and go."""
        changed = True
        announcing = asyncio.create_task(self._announcer.run())
        try:
            while True:
                if changed or time.monotonic() - self._read_at > self._options.reread_seconds:
                    await self._read_table()
                await self.turn()
                changed = await self._changed()
        finally:
            await end(announcing)
            await self._files.finish()

    async def turn(self) -> None:
        """Make the files and every living worker equal to the table that was read last."""
        await self._guard_disk()
        try:
            if self._step is not None:
                await self._withdraw_rights(self._step)
                self._save_files(self._step.after)
            await self._equalize()
            await self._announce()
        except HAProxyAway as error:
            self._forget_workers()
            self._say_reachable(reachable=False, why=str(error))
        except ChangeRefused as error:
            # What we believed about a worker is wrong, so we believe nothing and ask.
            self._forget_workers()
            log.warning("haproxy refused a change", reason=str(error))
            await asyncio.sleep(self._options.refused_pause_seconds)
        else:
            self._say_reachable(reachable=True, why="")

    async def _read_table(self) -> None:
        try:
            self._table = await self._source.read()
        except Exception as error:  # noqa: BLE001 - whatever keeps the source away, we go on serving
            log.warning("routing table cannot be read", reason=repr(error))
            self._read_at = -float("inf")  # there may be no further word of what changed
            return
        self._read_at = time.monotonic()
        self._metrics.table_read.set_to_current_time()
        await self._render()

    async def _changed(self) -> bool:
        try:
            changed = await self._source.wait_for_change(self._patience())
        except Exception as error:  # noqa: BLE001 - the same
            log.warning("routing table cannot be followed", reason=repr(error))
            await asyncio.sleep(self._options.tick_seconds)
            return True
        if changed:
            due = self._read_at + self._options.gather_seconds
            await asyncio.sleep(due - time.monotonic())
        return changed

    def _patience(self) -> float:
        if self._reload_is_due:
            return self._options.gather_seconds  # it waits for nothing but the files
        if self._step is not None and self._step.after.draining:
            return self._options.drain_tick_seconds
        return self._options.tick_seconds

    async def _render(self) -> None:
        if self._table is None:
            return
        self._step = await asyncio.to_thread(
            self._renderer.step, self._table, metering=self._metering
        )
        self._metrics.rejected.set(len(self._step.after.rejected))
        for reason in self._step.after.rejected:
            log.error("row of the routing table left out", reason=reason)

    async def _guard_disk(self) -> None:
        free = shutil.disk_usage(_existing(self._requests_folder)).free
        needed = self._options.log_bytes_free_min
        if self._metering == METERING_PAUSED:
            needed += needed // 2
        metering = METERING_PAUSED if free < needed else METERING_ON
        if metering == self._metering:
            return
        self._metering = metering
        self._metrics.paused.set(metering == METERING_PAUSED)
        log.warning("metering switched", metering=metering, bytes_free=free)
        await self._render()

    async def _withdraw_rights(self, step: Step) -> None:
        if all(self._equal.get(worker) is step.after for worker in self._workers):
            return
        await self._living_workers()
        for worker, state in self._workers.items():
            kept: dict[str, dict[str, str]] = {}
            changes: list[str] = []
            for name in _RIGHTS:
                has, wants = self._compared(worker, state, step, name)
                ended = {key: has[key] for key in has.keys() - wants.keys()}
                if ended:
                    changes += map_changes(name, ended, {})
                    kept[name] = dict(state.maps[name])
                    for key in ended:
                        del kept[name][key]
            if changes:
                with suppress(HAProxyAway, ChangeRefused):  # `_equalize` will meet it again
                    await self._change(worker, changes)
                    state.maps.update(kept)

    def _compared(
        self, worker: int, state: WorkerState, step: Step, name: str
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return what a worker has and what it should have, as far as the two may differ."""
        has, wants = state.maps[name], step.after.maps[name]
        if has is wants:
            return {}, {}
        had_all = step.before is not None and self._equal.get(worker) is step.before
        if name not in step.touched or not had_all:
            return has, wants
        touched = step.touched[name]
        return (
            {key: has[key] for key in touched if key in has},
            {key: wants[key] for key in touched if key in wants},
        )

    def _save_files(self, wanted: Rendered) -> None:
        if not (self._reload_is_due and self._files.suffices_for(wanted)):
            known = set().union(*(state.servers for state in self._workers.values()))
            self._files.save_soon(wanted, known=frozenset(known))

    async def _equalize(self) -> None:
        if time.monotonic() - self._audited_at > self._options.audit_seconds:
            self._forget_workers()
            self._audited_at = time.monotonic()
        current, old = await self._living_workers()
        for worker in (*old, current):
            try:
                await self._equalize_worker(worker, is_current=worker == current)
            except (HAProxyAway, ChangeRefused) as error:
                if worker != current:
                    self._forget_worker(worker)  # on its way out; it is asked again if it stays
                elif isinstance(error, HAProxyAway) or not self._has_former_config(worker):
                    raise
        self._reload_is_due = self._needs_reload(self._workers[current])
        if self._step is not None and self._reload_is_due:
            await self._reload(self._step.after)

    async def _announce(self) -> None:
        """Say what is served now, once the worker that takes requests has all of the table."""
        current, old = self._living
        if self._step is None or self._equal.get(current) is not self._step.after:
            return
        wanted = self._step.after
        if self._announced[0] is wanted and not wanted.draining and current == self._announced[1]:
            self._announcer.confirm()
            return
        busy: set[tuple[str, str]] = set()
        for worker in (*old, current):
            if worker not in self._workers:
                return  # it has just ended, which the next look will see
            state = self._workers[worker]
            aside = [name for name in wanted.draining if state.aside.get(name)]
            busy |= await self._runtime.busy(worker, aside)
            if worker != current:
                busy |= _still_reached(state, wanted.draining)
        has, on_disk = self._workers[current], self._files.on_disk()
        on_disk_servers = None if on_disk is None else on_disk.servers
        self._announcer.tell(traffic_of(wanted, has, busy=busy, on_disk=on_disk_servers))
        self._announced = (wanted, current)

    async def _reload(self, wanted: Rendered) -> None:
        """Start a worker on the files, once they have what is wanted."""
        if not self._files.suffices_for(wanted):
            return
        await self._runtime.reload()
        self._reload_is_due = False
        self._metrics.reloads.inc()
        current, _ = await self._living_workers()
        started_with = self._files.on_disk()
        if current not in self._workers and started_with is not None:
            # It read the maps that we wrote: asking for them would take a second.
            state = await self._runtime.read(current, ())
            state.maps.update(started_with.maps)
            self._workers[current] = state
        await self._equalize_worker(current, is_current=True)

    async def _living_workers(self) -> tuple[int, list[int]]:
        """Return the current and the old workers, and forget those that ended."""
        current, old = await self._runtime.workers()
        self._living = (current, old)
        for worker in self._workers.keys() - {current, *old}:
            self._forget_worker(worker)
        return current, old

    async def _state(self, worker: int) -> WorkerState:
        if worker not in self._workers:
            self._workers[worker] = await self._runtime.read(worker, _RIGHTS + _WAYS)
        return self._workers[worker]

    async def _equalize_worker(self, worker: int, *, is_current: bool) -> None:
        state = await self._state(worker)
        step = self._step
        if step is None:
            # Until the table is known, a worker keeps what it started with, but for the flag.
            flags = {**state.maps[FLAGS], "metering": self._metering}
            await self._change(worker, list(map_changes(FLAGS, state.maps[FLAGS], flags)))
            state.maps[FLAGS] = flags
        elif self._equal.get(worker) is not step.after:
            wanted = step.after
            rights, ways = (
                [
                    change
                    for name in names
                    for change in map_changes(name, *self._compared(worker, state, step, name))
                ]
                for names in (_RIGHTS, _WAYS)
            )
            # One that only finishes its requests has its servers for good.
            options = server_options(self._gateway)
            servers = server_changes(state, wanted.servers, options) if is_current else ()
            await self._change(worker, [*rights, *servers, *ways])
            state.maps.update(wanted.maps)
            if is_current:
                apply_servers(state, wanted.servers)
            self._equal[worker] = wanted
        if is_current:
            await self._remove_aside(worker, state)

    async def _change(self, worker: int, commands: list[str]) -> None:
        if commands:
            await self._runtime.change(worker, commands)
            self._metrics.changes.inc(len(commands))

    async def _remove_aside(self, worker: int, state: WorkerState) -> None:
        names = [f"{backend}/{name}" for backend, those in state.aside.items() for name in those]
        if names:
            await self._runtime.remove_servers(worker, names)
            state.aside = await self._runtime.aside(worker)

    def _needs_reload(self, state: WorkerState) -> bool:
        """Tell whether the worker lacks a backend, or the operator's present options."""
        if self._step is None or self._step.after is self._files.refused:
            return False
        wanted = self._step.after
        has_backends = wanted.servers.keys() <= state.servers.keys()
        return not has_backends or state.config != digest_of(wanted.config)

    def _has_former_config(self, worker: int) -> bool:
        """Tell whether a worker lacks what there is only in the present text: a map, say."""
        state = self._workers.get(worker)
        if state is None or self._step is None:
            return False
        return state.config != digest_of(self._step.after.config)

    def _forget_workers(self) -> None:
        self._workers.clear()
        self._equal.clear()

    def _forget_worker(self, worker: int) -> None:
        self._workers.pop(worker, None)
        self._equal.pop(worker, None)

    def _say_reachable(self, *, reachable: bool, why: str) -> None:
        self._metrics.up.set(reachable)
        if reachable != self._reachable:
            self._reachable = reachable
            log.warning("haproxy came or went", reachable=reachable, reason=why)


def _still_reached(
    state: WorkerState, draining: Mapping[str, Collection[str]]
) -> set[tuple[str, str]]:
    """Return the draining servers that a replaced worker sends requests to while it lives.

    Its servers cannot be changed any more, and each connection it has may bring one more request.
    """
    return {
        (name, replica)
        for name, replicas in draining.items()
        for replica in replicas
        if replica in state.servers.get(name, {})
    }


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
