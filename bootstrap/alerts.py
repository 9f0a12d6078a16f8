"""The alert watcher's wiring."""

from bootstrap.core import Core


async def watch(core: Core) -> None:
    """Raise and resolve alerts. Never returns."""
    from infrastructure.clickhouse.client import (  # noqa: PLC0415 - only the scheduler
        ClickHouseClient,
        ClickHouseOptions,
    )
    from projections.catalogue import VIEWS  # noqa: PLC0415 - the same
    from projections.news import ViewNews  # noqa: PLC0415 - the same
    from projections.processes import WORKERS  # noqa: PLC0415 - the same
    from projections.reading import Reader  # noqa: PLC0415 - the same
    from workers.alert_watcher import AlertWatcher  # noqa: PLC0415 - the same
    from workers.alert_watcher.troubles import Lookout  # noqa: PLC0415 - the same

    reader = Reader(core.pool, core.conninfo, VIEWS)
    news = ViewNews(core.conninfo, {"deployments", "custom_domains", "certificates", "api_keys"})
    clickhouse = ClickHouseClient(ClickHouseOptions(url=core.settings.parts.clickhouse_url))
    try:
        lookout = Lookout(reader, clickhouse, WORKERS)
        await AlertWatcher(core.bus(), reader, news, lookout.look).run()
    finally:
        await news.close()
        await clickhouse.close()
