"""The provisioner's wiring: which driver, what is wanted, where reports and log lines go."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import psycopg
import structlog
from psycopg_pool import PoolTimeout

from bootstrap.core import Core, Pool
from bootstrap.portals import fetch_documents
from bootstrap.settings import Settings
from bootstrap.sources import base_images, sources_of
from bootstrap.traffic import TRAFFIC, TrafficReader
from commands.bus import Bus, Context
from commands.deployments import SECRET_PURPOSE, ReportReplicas
from commands.work import Actor
from domain.deployments.deployment import DEPLOYMENT, Deployment
from domain.deployments.values import Blueprint, Status
from domain.kernel.errors import NotFound
from domain.kernel.events import ERASED
from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from infrastructure.containers import Catalogue, ContainerDriver, RegistryAuth, ReplicaSpec
from infrastructure.containers.catalogue import PredefinedImages
from infrastructure.containers.process import ProcessDriver
from infrastructure.containers.process_builds import ProcessBuilds
from infrastructure.ending import end
from infrastructure.sealing import opened
from projections.analytics.logs import ClickHouseLogSink
from projections.analytics.samples import ClickHouseSampleSink
from projections.deployments import DEPLOYMENTS, read_versions
from projections.health_looks import note_health_looks
from projections.news import ViewNews
from projections.processes import tell_report
from workers.provisioner import DeploymentObservation, DesiredDeployment, ProvisionerOptions
from workers.provisioner.build_log import BuildLog
from workers.provisioner.built_images import images_kept, let_go
from workers.provisioner.logs import LogCollector
from workers.provisioner.reconciler import Provisioner
from workers.provisioner.sampler import Sampler, SamplerOptions

LOCAL_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
STATUS_SECONDS = 10.0
LOOKS_SECONDS = 10.0
PROVISIONER = Context(actor=Actor(id="provisioner"))


async def provision(core: Core) -> None:
    """Reconcile containers with the log. Never returns."""
    settings = core.settings
    folder = settings.home / "provisioner"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    clickhouse = ClickHouseClient(ClickHouseOptions(url=settings.parts.clickhouse_url))
    sink = ClickHouseLogSink(clickhouse)
    build_log = BuildLog(sink)
    driver = await choose_driver(
        settings, PredefinedImages(), await installation_of(settings), told=build_log.tell
    )
    collector = LogCollector(driver, sink, folder / "logs.json")
    bus = core.bus()
    news = ViewNews(core.conninfo, {DEPLOYMENTS.name, TRAFFIC})
    desired = LogDesiredState(core, bus, news)
    worker = Provisioner(
        driver,
        desired,
        TrafficReader(core.pool, news),
        BusReports(bus),
        collector,
        options=ProvisionerOptions(drain_seconds=settings.containers.drain_seconds),
    )
    sampler = Sampler(
        driver,
        lambda: worker.replicas,
        ClickHouseSampleSink(clickhouse),
        options=SamplerOptions(interval_seconds=settings.usage.sample_seconds),
    )
    structlog.get_logger().info("provisioner started", driver=driver.name)
    telling = asyncio.create_task(build_log.run())
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            group.create_task(sampler.run())
            group.create_task(let_go(driver, desired.images))
            group.create_task(tell_status(core, worker, driver))
            group.create_task(tell_looks(core.pool, worker))
            group.create_task(fetch_documents(core))
    finally:
        await end(telling)
        await news.close()
        await driver.close()
        await clickhouse.close()


async def tell_status(core: Core, worker: Provisioner, driver: ContainerDriver) -> None:
    """Say again and again how the provisioner stands. Never returns."""
    while True:
        about = {"driver": driver.name, "advice": driver.advice}
        report = msgspec.json.encode({**about, **msgspec.structs.asdict(worker.status)})
        try:
            async with core.pool.connection() as connection:
                await tell_report(connection, "provisioner", report)
        except (psycopg.Error, PoolTimeout, OSError) as error:
            structlog.get_logger().warning("status not told", error=type(error).__name__)
        await asyncio.sleep(STATUS_SECONDS)


async def tell_looks(
    pool: Pool, worker: Provisioner, *, every_seconds: float = LOOKS_SECONDS
) -> None:
    """Say again and again when each deployment's health was last looked at. Never returns."""
    told: object = None
    while True:
        await asyncio.sleep(every_seconds)
        looks, deployments = worker.health_looks, worker.deployments
        if deployments is None or (looks, deployments) == told:
            continue
        try:
            async with pool.connection() as connection:
                await note_health_looks(connection, looks, deployment_ids=deployments)
        except (psycopg.Error, PoolTimeout, OSError) as error:
            structlog.get_logger().warning("health looks not told", error=type(error).__name__)
        else:
            told = (looks, deployments)


async def remove_replicas(settings: Settings, installation: str) -> None:
    """Remove every container or process of this installation. The next start makes them again."""
    driver = await choose_driver(settings, PredefinedImages(), installation)
    try:
        await driver.clear()
    finally:
        await driver.close()


async def choose_driver(
    settings: Settings,
    catalogue: Catalogue,
    installation: str,
    *,
    told: Callable[[ReplicaSpec, str], None] = lambda _spec, _line: None,
) -> ContainerDriver:
    """Return the driver that the settings ask for; `auto` takes Docker if an engine answers.

    It tells `told` each line that a build of uploaded code writes.
    """
    from infrastructure.containers.docker import (  # noqa: PLC0415 - its library takes a while
        DockerDriver,
        DockerOptions,
        docker_problem,
    )
    from infrastructure.containers.docker_builds import (  # noqa: PLC0415
        BuildOptions,
        DockerBuilds,
    )
    from infrastructure.containers.docker_logs import DEFAULT_HOST  # noqa: PLC0415

    host = settings.containers.docker_host or DEFAULT_HOST
    wanted = settings.containers.driver
    if wanted == "process" or (wanted == "auto" and await docker_problem(host) is not None):
        builds = None
        if _runs_code(settings):
            builds = ProcessBuilds(
                settings.home / "provisioner" / "builds",
                sources_of(settings),
                seconds_max=settings.sources.build_seconds_max,
                told=told,
            )
        return ProcessDriver(settings.home / "provisioner" / "processes", catalogue, builds=builds)
    options = DockerOptions(
        installation=installation, host=host, internal=settings.containers.egress == "none"
    )
    limits = BuildOptions(
        bases=base_images(settings),
        seconds_max=settings.sources.build_seconds_max,
    )
    images = DockerBuilds(installation, sources_of(settings), limits, told=told)
    return DockerDriver(options, catalogue, builds=images)


def _runs_code(settings: Settings) -> bool:
    """Tell whether uploaded code may run as a process: what can reach it decides who can read us.

    By default only where nobody but this machine can send any.
    """
    wish = settings.sources.process_runs_code
    return wish == "always" or (wish == "local" and settings.api.host in LOCAL_HOSTS)


async def installation_of(settings: Settings) -> str:
    """Return the id of this installation, by which its containers are told from others'."""
    connection = await psycopg.AsyncConnection.connect(settings.parts.database_url)
    async with connection:
        cursor = await connection.execute("SELECT id FROM installation")
        row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("the database is not migrated: run `tallyport migrate`")
    return str(row[0])


def pinned(image: str, digest: str | None) -> str:
    """Return the image's reference with the digest instead of the tag, which may have moved."""
    if digest is None or "@" in image:
        return image
    folder, slash, name = image.rpartition("/")
    return f"{folder}{slash}{name.partition(':')[0]}@{digest}"


class LogDesiredState:
    """What should run: the ids from the view, each deployment's state from the log itself."""

    def __init__(self, core: Core, bus: Bus, news: ViewNews) -> None:
        self._core = core
        self._bus = bus
        self._news = news

    async def read(self) -> Sequence[DesiredDeployment]:
        """Return every deployment that is not gone; raises when the view cannot be read."""
        return [await self._desired(state, version) for state, version in await self._states()]

    async def images(self) -> frozenset[str]:
        """Return what the deployments run, and what they may go back to."""
        kept: frozenset[str] = frozenset()
        for state, _ in await self._states():
            kept |= images_kept(state.revision, state.blueprints, state.lived)
        return kept

    async def _states(self) -> list[tuple[Deployment, int]]:
        try:
            async with self._core.pool.connection() as connection:
                versions = await read_versions(connection)
        except psycopg.Error as error:
            raise OSError(f"the view of deployments cannot be read: {error}") from error
        found = []
        for deployment_id, version in versions:
            loaded = await self._bus.load(DEPLOYMENT, deployment_id, fresh=False)
            if loaded.version < version:
                # Another process changed it since we last looked.
                loaded = await self._bus.load(DEPLOYMENT, deployment_id, fresh=True)
            if loaded.state is not None and loaded.state.status is not Status.DELETED:
                found.append((loaded.state, loaded.version))
        return found

    async def wait_for_change(self, timeout_seconds: float) -> None:
        """Return when a deployment changed or a gateway took something over, or after the time."""
        await self._news.wait(timeout_seconds)

    async def _desired(self, state: Deployment, version: int) -> DesiredDeployment:
        await self._core.vault.load([state.team_id])
        blueprint = state.blueprint
        return DesiredDeployment(
            deployment_id=state.deployment_id,
            team_id=state.team_id,
            app_name=state.app_name,
            image=pinned(blueprint.image, blueprint.image_digest),
            port=blueprint.port,
            env={name: self._secret(text) for name, text in blueprint.environment.items()},
            replicas=state.target,
            revision=state.revision,
            version=version,
            resources=blueprint.resources,
            health_check=blueprint.health_check,
            registry_auth=self._registry_auth(blueprint),
            phase=state.status.value,
        )

    def _registry_auth(self, blueprint: Blueprint) -> RegistryAuth | None:
        auth = blueprint.registry_auth
        if auth is None:
            return None
        return RegistryAuth(username=auth.username, password=self._secret(auth.password))

    def _secret(self, sealed: str) -> str:
        """Return a secret in clear; an erased person's things are only taken down any more."""
        text = opened(self._core.vault, sealed, purpose=SECRET_PURPOSE)
        return ERASED if text is None else text


class BusReports:
    """Observations as commands."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def report(self, deployment_id: str, observation: DeploymentObservation) -> None:
        """Take the observation; the same one changes nothing."""
        command = ReportReplicas(
            deployment_id=deployment_id,
            replicas=observation.replicas,
            problem=observation.problem,
            in_rotation=observation.in_rotation,
            hopeless_revision=observation.hopeless_revision,
        )
        try:
            await self._bus.dispatch(command, PROVISIONER)
        except NotFound:
            structlog.get_logger().warning(
                "report about nothing we know", deployment_id=deployment_id
            )
