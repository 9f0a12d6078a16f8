"""The processes: what runs, by name. Each is one coroutine that ends when it is told to stop.

`tallyport up` runs all of them as children on one machine; in production each is a container.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from prometheus_client import REGISTRY

from bootstrap.core import Pool, open_core, pause, run_alone
from bootstrap.settings import Settings
from infrastructure.ending import end_on
from infrastructure.stream import Cursor
from projections.analytics import NAME
from projections.tables import tell_progress

log = structlog.get_logger()

Process = Callable[[Settings, asyncio.Event], Awaitable[None]]


async def api(settings: Settings, stop: asyncio.Event) -> None:
    """Answer REST and WebSocket requests."""
    from bootstrap.rest import serve  # noqa: PLC0415 - FastAPI takes a while to import

    async with open_core(settings, connections_max=20) as core:
        await serve(core, stop)


async def gateway(settings: Settings, stop: asyncio.Event) -> None:
    """Keep HAProxy equal to the log, and store what it served."""
    from bootstrap.data_plane import control, meter  # noqa: PLC0415 - only this process
    from bootstrap.tls import follow_certificates  # noqa: PLC0415 - the same

    async with open_core(settings, connections_max=5) as core:
        await end_on(stop, control(core), meter(core), follow_certificates(core))


async def views(settings: Settings, stop: asyncio.Event) -> None:
    """Keep every view equal to the log."""
    from projections.catalogue import VIEWS  # noqa: PLC0415 - only this process
    from projections.moving import Mover  # noqa: PLC0415 - the same
    from projections.upkeep import Wishes  # noqa: PLC0415 - the same
    from workers.projection_runner import ProjectionRunner  # noqa: PLC0415 - only this process

    async with open_core(settings, connections_max=len(VIEWS) + 4) as core:
        stream, rebuild_stream = core.stream(), core.store_stream
        mover, wishes = Mover(core.pool), Wishes(core.pool)
        runners = [
            ProjectionRunner(
                view,
                stream=stream,
                rebuild_stream=rebuild_stream,
                reader=core.store,
                decoder=core.codec,
                pool=core.pool,
                mover=mover,
                wishes=wishes,
            )
            for view in VIEWS
        ]

        async def work() -> None:
            ending = asyncio.Event()
            try:
                await asyncio.gather(*(runner.run(ending) for runner in runners))
            finally:
                ending.set()

        await run_alone(core, "views", stop, work)


async def analytics(settings: Settings, stop: asyncio.Event) -> None:
    """Write every request into ClickHouse, exactly once."""
    from infrastructure.clickhouse.client import (  # noqa: PLC0415 - only this process
        ClickHouseClient,
        ClickHouseOptions,
    )
    from projections.analytics.metrics import AnalyticsMetrics  # noqa: PLC0415
    from projections.analytics.projector import (  # noqa: PLC0415
        AnalyticsOptions,
        AnalyticsProjector,
    )

    async with open_core(settings, connections_max=4) as core:
        clickhouse = ClickHouseClient(ClickHouseOptions(url=settings.parts.clickhouse_url))
        projector = AnalyticsProjector(
            clickhouse,
            core.stream(),
            core.codec,
            parking(core.pool),
            telling(core.pool),
            AnalyticsMetrics(),
            AnalyticsOptions(
                log_retention_days=settings.logs.retention_days,
                sample_retention_days=settings.usage.retention_days,
            ),
        )
        try:
            await run_alone(core, "analytics", stop, projector.run)
        finally:
            await clickhouse.close()


async def provisioner(settings: Settings, stop: asyncio.Event) -> None:
    """Make the containers what the log says they should be."""
    from bootstrap.containers import provision  # noqa: PLC0415 - only this process

    async with open_core(settings, connections_max=6) as core:
        await run_alone(core, "provisioner", stop, lambda: provision(core))


async def relay(settings: Settings, stop: asyncio.Event) -> None:
    """Publish the log to Kafka."""
    if settings.parts.kafka == "none":
        log.info("no Kafka is set, so there is nothing to relay")
        await stop.wait()
        return
    from infrastructure.stream.kafka_connection import KafkaServers  # noqa: PLC0415
    from infrastructure.stream.kafka_publisher import KafkaPublisher  # noqa: PLC0415
    from workers.relay import Relay, RelayMetrics  # noqa: PLC0415

    async with open_core(settings, connections_max=4) as core:
        publisher = KafkaPublisher(KafkaServers(bootstrap=settings.parts.kafka))
        worker = Relay(
            reader=core.store,
            publisher=publisher,
            conninfo=core.conninfo,
            metrics=RelayMetrics(REGISTRY),
        )
        await worker.run(stop)


async def mailer(settings: Settings, stop: asyncio.Event) -> None:
    """Send the mails that were asked for."""
    from bootstrap.mail import send_mails  # noqa: PLC0415 - only this process

    async with open_core(settings, connections_max=4) as core:
        await run_alone(core, "mailer", stop, lambda: send_mails(core))


async def scheduler(settings: Settings, stop: asyncio.Event) -> None:
    """Forget, erase, announce, raise alerts, see people off, keep domains and certificates."""
    from bootstrap.alerts import watch  # noqa: PLC0415 - only this process
    from bootstrap.certificates import keep_certificates  # noqa: PLC0415 - the same
    from bootstrap.domains import check_domains  # noqa: PLC0415 - the same
    from bootstrap.mail import choose_mailer  # noqa: PLC0415 - the same
    from projections.catalogue import VIEWS  # noqa: PLC0415 - the same
    from projections.departures import DEPARTURES  # noqa: PLC0415 - the same
    from projections.erasures import ERASURES  # noqa: PLC0415 - the same
    from projections.news import ViewNews  # noqa: PLC0415 - the same
    from projections.reading import Reader  # noqa: PLC0415 - the same
    from workers.departures import Departures  # noqa: PLC0415 - the same
    from workers.eraser import Eraser  # noqa: PLC0415 - the same
    from workers.expiry_announcer import ExpiryAnnouncer  # noqa: PLC0415 - the same

    async def forget() -> None:
        while not stop.is_set():
            await core.store.forget_old_answers()
            await pause(stop, 3600)

    async def erase() -> None:
        reader = Reader(core.pool, core.conninfo, VIEWS)
        news = ViewNews(core.conninfo, {ERASURES.name})
        try:
            mailer = choose_mailer(settings)
            await Eraser(core.bus(), core.vault, reader, news, mailer).run()
        finally:
            await news.close()

    async def announce() -> None:
        await ExpiryAnnouncer(core.bus(), Reader(core.pool, core.conninfo, VIEWS)).run()

    async def see_off() -> None:
        reader = Reader(core.pool, core.conninfo, VIEWS)
        news = ViewNews(core.conninfo, {DEPARTURES.name})
        try:
            await Departures(core.bus(), reader, news).run()
        finally:
            await news.close()

    async with open_core(settings, connections_max=8) as core:

        def work() -> Awaitable[None]:
            return end_on(
                stop,
                forget(),
                erase(),
                announce(),
                see_off(),
                check_domains(core),
                keep_certificates(core),
                watch(core),
            )

        await run_alone(core, "scheduler", stop, work)


async def webhooks(settings: Settings, stop: asyncio.Event) -> None:
    """Tell the servers of teams what happens."""
    from bootstrap.webhooks import deliver  # noqa: PLC0415 - only this process

    async with open_core(settings, connections_max=12) as core:
        await run_alone(core, "webhooks", stop, lambda: deliver(core))


PROCESSES: dict[str, Process] = {
    "api": api,
    "gateway": gateway,
    "views": views,
    "analytics": analytics,
    "provisioner": provisioner,
    "relay": relay,
    "mailer": mailer,
    "scheduler": scheduler,
    "webhooks": webhooks,
}

WORKERS = ("relay", "views", "analytics", "provisioner", "mailer", "scheduler", "webhooks")


def parking(pool: Pool) -> Callable[..., Awaitable[None]]:
    """Return what puts an event aside that analytics cannot read."""

    async def park(event: Any, reason: str) -> None:  # noqa: ANN401 - the event as it came
        async with pool.connection() as connection:
            await connection.execute(
                "INSERT INTO parked_events (view, generation, position, stream_id, topic, error)"
                " VALUES (%s, 1, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (NAME, event.position, event.stream_id, event.topic, reason[:2000]),
            )

    return park


def telling(pool: Pool) -> Callable[[Cursor], Awaitable[None]]:
    """Return what shows how far analytics are."""

    async def tell(progress: Cursor) -> None:
        async with pool.connection() as connection:
            await tell_progress(connection, NAME, progress)

    return tell
