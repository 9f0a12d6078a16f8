"""The gateway's wiring: its table comes from the views, its frames go into the log."""

from datetime import UTC, datetime
from itertools import chain
from typing import TypeVar
from uuid import UUID

import msgspec
import psycopg
from prometheus_client import REGISTRY

from bootstrap.core import Core, Pool
from bootstrap.haproxy import launch_options
from bootstrap.traffic import TrafficWriter
from domain.metering.events import RequestsServed
from domain.metering.values import frame_event_id
from gateway.closures import Closure, still_to_come
from gateway.configuration import Host, Key, Replica, Route, RoutingTable
from gateway.control import Control, ControlMetrics, ControlOptions
from gateway.meter import Meter, MeterMetrics, MeterOptions
from infrastructure.event_store import Metadata, NewEvent
from projections.gateway import HOSTS, KEYS, ROUTES, GatewayKeyRow, HostRow, RouteRow
from projections.news import ViewNews
from projections.notices import MAINTENANCE, MaintenanceRow
from projections.tables import read_rows


async def control(core: Core) -> None:
    """Keep HAProxy equal to the views. Never returns."""
    table = ViewTable(core.pool, core.conninfo)
    launch = launch_options(core.settings)
    board = TrafficWriter(core.pool, launch.gateway_id)
    try:
        await Control(table, board, launch, ControlOptions(), ControlMetrics(REGISTRY)).run()
    finally:
        await table.close()


async def meter(core: Core) -> None:
    """Store what HAProxy wrote down. Never returns."""
    launch = launch_options(core.settings)
    options = MeterOptions(gateway_id=launch.gateway_id, requests_folder=launch.requests_folder)
    await Meter(LogFrames(core), options, MeterMetrics(REGISTRY)).run()


class ViewTable:
    """The gateway's table: `gateway_routes`, `gateway_hosts`, `gateway_keys`, `maintenance`.

    Only rows that changed are read again; with a hundred thousand keys that is the difference
    between a millisecond and a second. A read that nobody announced reads everything.
    """

    def __init__(self, pool: Pool, conninfo: str) -> None:
        self._pool = pool
        self._news = ViewNews(conninfo, {ROUTES.name, HOSTS.name, KEYS.name, MAINTENANCE.name})
        self._routes: dict[str, Route] = {}
        self._hosts: dict[str, Host] = {}
        self._keys: dict[str, tuple[Key, ...]] = {}

    async def read(self) -> RoutingTable:
        """Return the table as it is now; raises while PostgreSQL or the views are not there."""
        routes, hosts, keys = (self._news.take(view.name) for view in (ROUTES, HOSTS, KEYS))
        maintenance = self._news.take(MAINTENANCE.name)
        if not routes and not hosts and not keys and not maintenance:
            routes = hosts = keys = None
        try:
            async with self._pool.connection() as connection:
                route_rows = await read_rows(connection, ROUTES, _listed(routes))
                host_rows = await read_rows(connection, HOSTS, _listed(hosts))
                key_rows = await read_rows(connection, KEYS, _listed(keys))
                maintenance_rows = await read_rows(connection, MAINTENANCE, None)
        except psycopg.Error as error:
            self._news.forget()
            raise OSError(f"the gateway's views cannot be read: {error}") from error
        _put(self._routes, routes, {row.deployment_id: _route(row) for row in route_rows})
        _put(self._hosts, hosts, {row.name: _host(row) for row in host_rows})
        _put(self._keys, keys, {row.key_id: _secrets(row) for row in key_rows})
        keys_now = tuple(chain.from_iterable(self._keys.values()))
        return RoutingTable(
            routes=tuple(self._routes.values()),
            hosts=tuple(self._hosts.values()),
            keys=keys_now,
            closures=still_to_come(map(_closure, maintenance_rows), datetime.now(UTC)),
        )

    async def wait_for_change(self, timeout: float) -> bool:  # noqa: ASYNC109 - a poll's bound
        """Return True as soon as rows have changed."""
        return await self._news.wait(timeout)

    async def close(self) -> None:
        """Stop listening."""
        await self._news.close()


Entry = TypeVar("Entry")


def _listed(keys: set[str] | None) -> list[str] | None:
    return None if keys is None else sorted(keys)


def _put(held: dict[str, Entry], asked: set[str] | None, found: dict[str, Entry]) -> None:
    """Make what is held equal to what was found for the keys asked; None asked for all."""
    for key in held.keys() - found.keys() if asked is None else asked - found.keys():
        held.pop(key, None)
    # What did not change stays the same object: the agent takes only others for changed.
    held.update({key: entry for key, entry in found.items() if held.get(key) != entry})


def _route(row: RouteRow) -> Route:
    return Route(
        deployment_id=row.deployment_id,
        team_id=row.team_id,
        app_name=row.app_name,
        visibility=row.visibility,
        replicas=tuple(Replica(one.id, one.address, one.port) for one in row.replicas),
        draining=row.draining,
        is_open=row.is_open,
        version=row.version,
    )


def _closure(row: MaintenanceRow) -> Closure:
    return Closure(deployment_id=row.deployment_id, starts_at=row.starts_at, ends_at=row.ends_at)


def _host(row: HostRow) -> Host:
    return Host(name=row.name, deployment_id=row.deployment_id)


def _secrets(row: GatewayKeyRow) -> tuple[Key, ...]:
    """Return an entry per secret: what is counted and allowed is the same key's."""
    current = Key(
        key_id=row.key_id,
        team_id=row.team_id,
        secret_hash=row.secret_hash,
        scopes=row.scopes,
        requests_per_minute=row.requests_per_minute,
        expires_at=row.expires_at,
        allowed_cidrs=row.allowed_cidrs,
    )
    if row.retiring_hash is None:
        return (current,)
    retiring = msgspec.structs.replace(
        current, secret_hash=row.retiring_hash, expires_at=row.retiring_until
    )
    return current, retiring


class LogFrames:
    """Frames in the log: a stream per request log, a version per frame."""

    def __init__(self, core: Core) -> None:
        self._store = core.store
        self._codec = core.codec

    async def last_frame(self, stream_id: str) -> tuple[int, RequestsServed] | None:
        """Return the newest frame and its version."""
        last = await self._store.read_last(stream_id)
        if last is None:
            return None
        frame = self._codec.decode(last.topic, last.data)
        if not isinstance(frame, RequestsServed):
            raise TypeError(f"{stream_id} is not a stream of frames")
        return last.version, frame

    async def append(self, stream_id: str, version: int, frame: RequestsServed) -> None:
        """Store a frame; `Conflict` when that version is there already."""
        topic, data = self._codec.encode(frame)
        event_id: UUID = frame_event_id(stream_id, version)
        await self._store.append(
            [
                NewEvent(
                    stream_id=stream_id,
                    version=version,
                    topic=topic,
                    data=data,
                    event_id=event_id,
                    metadata=Metadata(actor=f"gateway {frame.gateway_id}"),
                )
            ]
        )
