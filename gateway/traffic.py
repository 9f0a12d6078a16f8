"""What one gateway says of the replicas that it knows, so that none is stopped while it serves.

A new replica *serves* once HAProxy sends requests to it. An old one is *idle* once no worker of
HAProxy does, replaced ones included, none has a request there, and the files from which the next
worker starts do not name it. Both are said about a state that the gateway has taken over, never
about one it has heard of.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Protocol

import msgspec
import structlog

from gateway.configuration import Rendered
from gateway.runtime import WorkerState

log = structlog.get_logger()


class RouteTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """What one gateway does with one deployment's replicas."""

    version: int
    """How much of the deployment's history the gateway has taken over."""
    serving: Mapping[str, str]
    """The replicas that it sends requests to, and where each is."""
    idle: tuple[str, ...]
    """The draining ones that have no request left."""


class TrafficBoard(Protocol):
    """Where gateways say what they do."""

    async def write(
        self, changed: Mapping[str, RouteTraffic], gone: Collection[str], *, afresh: bool
    ) -> None:
        """Note that this gateway lives, and what is new; `afresh`: these are all there are."""
        ...


def traffic_of(
    wanted: Rendered,
    has: WorkerState,
    *,
    busy: Collection[tuple[str, str]],
    on_disk: Mapping[str, Mapping[str, str]] | None,
) -> dict[str, RouteTraffic]:
    """Return what is so when the present worker has taken over what is wanted.

    `busy` has the servers with requests; without knowledge of the files nothing is idle.
    """
    return {
        name: RouteTraffic(
            version=wanted.versions.get(name, 0),
            serving={
                replica: place
                for replica, place in places.items()
                if has.servers.get(name, {}).get(replica) == place
            },
            idle=tuple(
                replica
                for replica in wanted.draining.get(name, ())
                if on_disk is not None
                and replica not in on_disk.get(name, {})
                and (name, replica) not in busy
            ),
        )
        for name, places in wanted.servers.items()
    }


class Announcer:
    """Writes down what is new, whatever the board's answers take; HAProxy waits for nothing."""

    def __init__(self, board: TrafficBoard, *, heartbeat_seconds: float) -> None:
        self._board = board
        self._heartbeat_seconds = heartbeat_seconds
        self._wanted: Mapping[str, RouteTraffic] | None = None
        self._said: Mapping[str, RouteTraffic] | None = None
        self._told = asyncio.Event()
        self._lives = False

    def tell(self, traffic: Mapping[str, RouteTraffic]) -> None:
        """Take what is so now."""
        self.confirm()
        if traffic != self._wanted:
            self._wanted = traffic
            self._told.set()

    def confirm(self) -> None:
        """Take it that all is as it was told last. A gateway that is silent counts as dead."""
        self._lives = True

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_seconds):
                    await self._told.wait()
            except TimeoutError:
                if not self._lives:
                    continue
            self._told.clear()
            self._lives = False
            await self._write()

    async def _write(self) -> None:
        wanted, said = self._wanted or {}, self._said or {}
        changed = {name: each for name, each in wanted.items() if said.get(name) != each}
        gone = said.keys() - wanted.keys()
        try:
            await self._board.write(changed, gone, afresh=self._said is None)
        except Exception as error:  # noqa: BLE001 - whatever keeps the board away, requests are served
            log.warning("traffic cannot be announced", reason=repr(error))
            self._said = None
            self._told.set()
            await asyncio.sleep(self._heartbeat_seconds)
        else:
            self._said = wanted
