"""The webhooks worker's wiring: what reads the log, what sends, how both go on after trouble."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import structlog
from prometheus_client import Counter
from psycopg_pool import PoolTimeout

from bootstrap.core import Core
from domain.kernel.errors import DomainError
from infrastructure.ending import end
from infrastructure.stream import Cursor
from infrastructure.webhooks import Fenced
from infrastructure.webhooks.http import HttpPoster
from infrastructure.webhooks.postgres import PostgresLedger
from projections.tables import tell_progress
from workers.webhooks import SenderOptions
from workers.webhooks.follower import Follower
from workers.webhooks.sender import NAME, Sender

AGAIN_SECONDS = 0.5
FAILURES = Counter("tallyport_webhooks_failures_total", "Interruptions after which it went on")

log = structlog.get_logger()


async def deliver(core: Core) -> None:
    """Follow the log and send. Never returns."""
    settings = core.settings.webhooks
    options = SenderOptions(
        disable_days=settings.disable_days, retention_days=settings.retention_days
    )
    ledger, news = PostgresLedger(core.pool), asyncio.Event()

    async def tell(progress: Cursor) -> None:
        async with core.pool.connection() as connection:
            await tell_progress(connection, NAME, progress)

    poster = HttpPoster(private_hosts=settings.private_hosts, connections_max=options.at_once_max)
    follower = Follower(core.stream(), core.store, core.codec, ledger, tell, news)
    sender = Sender(
        ledger,
        poster,
        core.vault,
        core.bus(),
        news,
        private_hosts=settings.private_hosts,
        options=options,
    )
    tasks = [
        asyncio.create_task(_again_and_again(work))
        for work in (follower.run, follower.replay, sender.run)
    ]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end(*tasks)
        await poster.close()


async def _again_and_again(work: Callable[[], Awaitable[None]]) -> None:
    """Do it for ever: trouble with the database ends one round, and the next begins anew."""
    while True:
        try:
            await work()
        except (psycopg.Error, PoolTimeout, OSError, Fenced, DomainError) as error:
            FAILURES.inc()
            log.warning("webhooks interrupted", error=type(error).__name__)
        await asyncio.sleep(AGAIN_SECONDS)
