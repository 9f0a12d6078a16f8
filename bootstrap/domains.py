"""The domain checker's wiring, and where the records of custom domains have to lead."""

from bootstrap.core import Core
from bootstrap.settings import Settings
from domain.custom_domains.values import Schedule, Target


def domain_target(settings: Settings) -> Target:
    """Return where the records of custom domains have to lead."""
    return Target(
        apps_domain=settings.gateway.apps_domain, addresses=settings.domains.gateway_addresses
    )


def domain_schedule(settings: Settings) -> Schedule:
    """Return when records are looked at, and for how long they may be wrong."""
    domains = settings.domains
    return Schedule(
        give_up_seconds=domains.give_up_seconds,
        recheck_seconds=domains.recheck_seconds,
        grace_seconds=domains.grace_seconds,
    )


async def check_domains(core: Core) -> None:
    """Look custom domains up when it is their time. Never returns."""
    from infrastructure.dns.dnspython import DnsResolver  # noqa: PLC0415 - only the scheduler
    from projections.catalogue import VIEWS  # noqa: PLC0415 - the same
    from projections.custom_domains import CUSTOM_DOMAINS  # noqa: PLC0415 - the same
    from projections.deployments import DEPLOYMENTS  # noqa: PLC0415 - the same
    from projections.news import ViewNews  # noqa: PLC0415 - the same
    from projections.reading import Reader  # noqa: PLC0415 - the same
    from workers.domain_checker import DomainChecker  # noqa: PLC0415 - the same

    news = ViewNews(core.conninfo, {CUSTOM_DOMAINS.name, DEPLOYMENTS.name})
    checker = DomainChecker(
        core.bus(),
        Reader(core.pool, core.conninfo, VIEWS),
        news,
        DnsResolver(core.settings.domains.dns_resolvers),
        domain_target(core.settings),
        schedule=domain_schedule(core.settings),
    )
    try:
        await checker.run()
    finally:
        await news.close()
