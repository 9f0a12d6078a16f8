"""The API's wiring: every service a route may use, and the server that runs it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from urllib.parse import urlsplit

from prometheus_client import generate_latest

from api.app import create_app
from api.denials import Denials
from api.key_uses import KeyUses
from api.leaks import GITHUB, GOOGLE
from api.live.hub import Hub
from api.live.lines import Followers
from api.services import Options, Services
from bootstrap.api_servers import listen
from bootstrap.core import Core
from bootstrap.domains import domain_target
from bootstrap.mail import choose_mailbox
from bootstrap.settings import Settings
from bootstrap.sources import base_images, sources_of
from domain.deployments.values import Quota
from infrastructure.certificates.inspecting import inspected
from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from infrastructure.containers.catalogue import PredefinedImages
from infrastructure.counters.redis import RedisCounters
from infrastructure.ending import end
from infrastructure.outside.client import Lookup
from infrastructure.registries import NoRegistries, Registries
from infrastructure.registries.http import HttpRegistries
from infrastructure.report_signatures.published_keys import PublishedKeySignatures
from infrastructure.sources import Sources
from infrastructure.tokens.pyjwt import JwtTokens
from projections.analytics.logs import LogQueries
from projections.analytics.queries import AnalyticsQueries
from projections.analytics.samples import SampleQueries
from projections.catalogue import VIEWS
from projections.reading import Reader
from projections.upkeep import Upkeep


async def serve(core: Core, stop: asyncio.Event) -> None:
    """Answer requests until told to stop; those under way are finished first."""
    settings = core.settings
    clickhouse = ClickHouseClient(ClickHouseOptions(url=settings.parts.clickhouse_url))
    counters = RedisCounters(settings.parts.redis_url)
    reader = Reader(core.pool, core.conninfo, VIEWS)
    hub = Hub(core.stream(), core.store, core.codec)
    registries: Registries = NoRegistries()
    if settings.containers.registry_check == "on":
        registries = HttpRegistries(private=settings.containers.private_registries)
    sources = sources_of(settings)
    await asyncio.to_thread(sources.sweep)
    services = _services(core, reader, counters, clickhouse, hub, registries, sources)
    app = create_app(services)
    uses: KeyUses = app.state.doorkeeper.key_uses
    denials: Denials = app.state.denials
    reading = asyncio.create_task(reader.run(stop))
    telling = asyncio.create_task(hub.run(stop))
    noting = asyncio.gather(uses.run(), denials.run())
    try:
        await listen(app, settings, stop)
    finally:
        await end(reading, telling, noting)
        await uses.note()
        await denials.note()
        await counters.close()
        await registries.close()
        await clickhouse.close()


def _services(
    core: Core,
    reader: Reader,
    counters: RedisCounters,
    clickhouse: ClickHouseClient,
    hub: Hub,
    registries: Registries,
    sources: Sources,
) -> Services:
    settings = core.settings
    analytics, logs = AnalyticsQueries(clickhouse), LogQueries(clickhouse)
    keys_urls = {GITHUB: settings.leaks.github_keys_url, GOOGLE: settings.leaks.google_keys_url}
    checks: dict[str, Callable[[], Awaitable[object]]] = {
        "postgres": reader.check,
        "redis": counters.check,
        "clickhouse": lambda: clickhouse.command("SELECT 1"),
    }
    return Services(
        bus=core.bus(),
        log=core.store,
        decoder=core.codec,
        vault=core.vault,
        links=core.links(),
        views=reader,
        analytics=analytics,
        logs=logs,
        samples=SampleQueries(clickhouse),
        counters=counters,
        live=hub,
        followers=Followers(logs),
        registries=registries,
        sources=sources,
        lookup=Lookup(),
        certificates=core.certificates(),
        inspect_certificate=inspected,
        tokens=JwtTokens(
            signing_key_pem=settings.secrets.signing_key,
            issuer=settings.api.public_url,
            lifetime_seconds=settings.sessions.access_token_seconds,
            earlier_keys_pem=[before] if (before := settings.secrets.signing_key_before) else [],
        ),
        secret=core.derived_secret("api"),
        images=PredefinedImages().images,
        checks=checks,
        upkeep=Upkeep(core.pool),
        metrics=generate_latest,
        mailbox=choose_mailbox(settings),
        report_signatures={
            sender: PublishedKeySignatures(url) for sender, url in keys_urls.items() if url
        },
        options=_options(settings),
    )


def _options(settings: Settings) -> Options:
    api, gateway = settings.api, settings.gateway
    return Options(
        gateway_url=gateway.public_url,
        domain_target=domain_target(settings),
        kafka=settings.parts.kafka != "none",
        tls=settings.tls.port > 0,
        platform_hosts=_platform_hosts(settings),
        domains_max=settings.domains.per_deployment_max,
        webhooks_max=settings.webhooks.per_team_max,
        webhook_hosts=settings.webhooks.private_hosts,
        rate_auth=api.rate_auth,
        rate_deployments=api.rate_deployments,
        rate_reads=api.rate_reads,
        rate_logs=api.rate_logs,
        idempotency_keys_max=api.idempotency_keys_max,
        body_limit_bytes=api.body_limit_bytes,
        upload_limit_bytes=settings.sources.upload_limit_bytes,
        base_images=base_images(settings),
        quota=Quota(
            deployments=settings.quotas.deployments,
            replicas=settings.quotas.replicas,
            cpu_millis=settings.quotas.cpu_millis,
            memory_bytes=settings.quotas.memory_bytes,
        ),
        key_limit_default=gateway.key_limit_default,
        revoke_leaked_keys=settings.leaks.action == "revoke",
        price_per_million_requests=settings.prices.per_million_requests,
        price_per_core_hour=settings.prices.per_core_hour,
        price_per_gib_hour=settings.prices.per_gib_hour,
        currency=settings.prices.currency,
        cors_origins=api.cors_origins,
        https_only=api.public_url.startswith("https:"),
        public_url=api.public_url,
        admin_second_factor=settings.sessions.admin_second_factor,
        oauth_form=settings.sessions.oauth_form == "on",
        otp_issuer=settings.sessions.otp_issuer,
        access_token_seconds=settings.sessions.access_token_seconds,
        session_lifetime=timedelta(days=settings.sessions.refresh_days_max),
        session_idle_lifetime=timedelta(days=settings.sessions.refresh_idle_days),
        verify_email=settings.sessions.verify_email == "on",
        password_length_min=settings.sessions.password_length_min,
        guesses_per_network=settings.sessions.guesses_per_network,
        guesses_per_account=settings.sessions.guesses_per_account,
    )


def _platform_hosts(settings: Settings) -> tuple[str, ...]:
    urls = (settings.api.public_url, settings.gateway.public_url)
    hosts = {urlsplit(url).hostname or "" for url in urls}
    return tuple(sorted({settings.gateway.apps_domain, *hosts} - {""}))
