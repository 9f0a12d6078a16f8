"""The webhooks worker's wiring: what reads the log, what sends, how both go on after trouble."""

import asyncio

from bootstrap.core import Core
from infrastructure.ending import end
from infrastructure.stream import Cursor
from infrastructure.webhooks.http import HttpPoster
from infrastructure.webhooks.postgres import PostgresLedger
from projections.tables import tell_progress
from workers.webhooks import SenderOptions
from workers.webhooks.follower import Follower
from workers.webhooks.persistence import again_and_again
from workers.webhooks.sender import Sender

LEDGER = "webhook_deliveries"
"""What shows how far the ledger is. Not the name of any view: the views' runner has those."""


async def deliver(core: Core) -> None:
    """Follow the log and send. Never returns."""
    settings = core.settings.webhooks
    options = SenderOptions(
        disable_days=settings.disable_days, retention_days=settings.retention_days
    )
    ledger, news = PostgresLedger(core.pool), asyncio.Event()

    async def tell(progress: Cursor) -> None:
        async with core.pool.connection() as connection:
            await tell_progress(connection, LEDGER, progress)

    poster = HttpPoster(
        private_hosts=settings.private_hosts,
        connections_max=options.at_once_max,
        ca_file=settings.ca_file,
    )
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
        asyncio.create_task(again_and_again(work))
        for work in (follower.run, follower.replay, sender.run)
    ]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end(*tasks)
        await poster.close()
