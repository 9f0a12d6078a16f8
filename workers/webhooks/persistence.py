"""Going on after trouble with the database: every part begins anew from what is stored."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import structlog
from prometheus_client import Counter
from psycopg_pool import PoolTimeout

from domain.kernel.errors import DomainError
from infrastructure.webhooks import Fenced

AGAIN_SECONDS = 0.5
FAILURES = Counter("tallyport_webhooks_failures_total", "Interruptions after which it went on")

log = structlog.get_logger()


async def again_and_again(work: Callable[[], Awaitable[None]]) -> None:
    """Do it for ever. Whatever is no trouble of the database ends the whole worker."""
    while True:
        try:
            await work()
        except (psycopg.Error, PoolTimeout, OSError, Fenced, DomainError) as error:
            FAILURES.inc()
            log.warning("webhooks interrupted", error=type(error).__name__)
        await asyncio.sleep(AGAIN_SECONDS)
