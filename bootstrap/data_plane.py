"""The gateway's wiring: its table comes from the views, its frames go into the log."""

from uuid import UUID

import psycopg
from prometheus_client import REGISTRY

from bootstrap.core import Core
from bootstrap.haproxy import launch_options
from domain.metering.events import RequestsServed
from domain.metering.values import frame_event_id
from gateway.configuration import Key, Replica, Route, RoutingTable
from gateway.control import Control, ControlMetrics, ControlOptions
from gateway.meter import Meter, MeterMetrics, MeterOptions
from infrastructure.event_store import Metadata, NewEvent
from projections.gateway import KEYS, ROUTES, read_keys, read_routes
from projections.news import ViewNews


async def control(core: Core) -> None:
    """Keep HAProxy equal to the views. Never returns."""
    table = ViewTable(core)
    try:
        await Control(
            table, launch_options(core.settings), ControlOptions(), ControlMetrics(REGISTRY)
        ).run()
    finally:
        await table.close()


async def meter(core: Core) -> None:
    """Store what HAProxy wrote down. Never returns."""
    launch = launch_options(core.settings)
    options = MeterOptions(gateway_id=launch.gateway_id, requests_folder=launch.requests_folder)
    await Meter(LogFrames(core), options, MeterMetrics(REGISTRY)).run()


class ViewTable:
    """The gateway's table, read from the views `gateway_routes` and `gateway_keys`."""

    def __init__(self, core: Core) -> None:
        self._pool = core.pool
        self._news = ViewNews(core.conninfo, {ROUTES.name, KEYS.name})

    async def read(self) -> RoutingTable:
        """Return the table as it is now; raises while PostgreSQL or the views are not there."""
        try:
            async with self._pool.connection() as connection:
                routes, keys = await read_routes(connection), await read_keys(connection)
        except psycopg.Error as error:
            raise OSError(f"the gateway's views cannot be read: {error}") from error
        return RoutingTable(
            routes=tuple(
                Route(
                    deployment_id=row.deployment_id,
                    team_id=row.team_id,
                    app_name=row.app_name,
                    visibility=row.visibility,
                    replicas=tuple(Replica(r.id, r.address, r.port) for r in row.replicas),
                )
                for row in routes
            ),
            keys=tuple(
                Key(
                    key_id=row.key_id,
                    team_id=row.team_id,
                    secret_hash=row.secret_hash,
                    scopes=row.scopes,
                    requests_per_minute=row.requests_per_minute,
                    expires_at=row.expires_at,
                )
                for row in keys
            ),
        )

    async def wait_for_change(self, timeout: float) -> bool:  # noqa: ASYNC109 - a poll's bound
        """Return True as soon as rows have changed."""
        return await self._news.wait(timeout)

    async def close(self) -> None:
        """Stop listening."""
        await self._news.close()


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
