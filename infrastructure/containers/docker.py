"""Runs replicas as containers of a Docker engine.

Names and labels make every step repeatable: the container of a replica has one possible name, so a
second attempt meets the first. On Linux a replica is reached at its container's address, which
needs no published port and works on networks that lead nowhere else; where the engine runs in a
virtual machine (Docker Desktop) a port on 127.0.0.1 is published instead.
"""

import asyncio
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, ParamSpec, TypeVar

import docker
import httpx
import msgspec
import requests
import structlog
from docker.errors import APIError, DockerException, NotFound
from urllib3.exceptions import HTTPError

from infrastructure.containers import (
    ActualReplica,
    Catalogue,
    EngineUnavailable,
    LogLine,
    LogPosition,
    ReplicaSpec,
    ReplicaState,
    ReplicaStats,
    StartFailed,
)
from infrastructure.containers import docker_request as request
from infrastructure.containers.docker_builds import DockerBuilds
from infrastructure.containers.docker_checks import DockerChecks
from infrastructure.containers.docker_images import DockerImages
from infrastructure.containers.docker_logs import DEFAULT_HOST, follow, http_client
from infrastructure.containers.docker_networks import DockerNetworks
from infrastructure.containers.docker_stats import read_stats

log = structlog.get_logger()

THREADS = 16
SLOW_THREADS = 32
PULL_SECONDS_MAX = 600
PING_SECONDS_MAX = 5
ATTEMPTS = 50
ATTEMPT_SECONDS = 0.1
CONFLICT = 409
DOUBTED = 3

LIVE_RESTORE_ADVICE = (
    'Set "live-restore": true in /etc/docker/daemon.json and reload Docker:'
    " without it, a restart of Docker restarts every container."
)

P = ParamSpec("P")
T = TypeVar("T")


class DockerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to use the engine."""

    installation: str
    """Tells our containers from another platform's on the same engine."""
    host: str = DEFAULT_HOST
    """unix:///path or tcp://host:port (without TLS)."""
    internal: bool = True
    """Whether a team's network leads nowhere else: a replica can be called but cannot call out."""
    answer_seconds_max: float = 20
    """How long the engine may take for one answer."""
    attach: tuple[str, ...] = ()
    """Containers (by name) that must reach the replicas: HAProxy, the provisioner itself."""


async def docker_problem(host: str = DEFAULT_HOST) -> str | None:
    """Return None when a Docker engine answers there, else why not, in words."""
    try:
        async with http_client(host) as client, asyncio.timeout(PING_SECONDS_MAX):
            answer = await client.get("/_ping")
    except (OSError, TimeoutError, httpx.HTTPError) as error:
        return f"no Docker engine answers at {host}: {error or type(error).__name__}"
    return None if answer.is_success else f"{host} answered {answer.status_code}"


class DockerDriver:
    """Containers of one installation on one engine."""

    name: Literal["docker"] = "docker"

    def __init__(
        self,
        options: DockerOptions,
        catalogue: Catalogue,
        *,
        builds: DockerBuilds | None = None,
        passed: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """Tell `passed` each step that was taken: a fault test ends the process there."""
        self._options = options
        self._passed = passed
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="docker")
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="docker-look")
        self._slow_threads = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="docker-pull")
        self._http = http_client(options.host)
        self._checks = DockerChecks(self._http, options.host)
        self._connecting = threading.Lock()
        self._client: docker.APIClient | None = None
        self._publish = False
        self._containers_outlive = True
        self._images = DockerImages(
            catalogue, host=options.host, pull_seconds_max=PULL_SECONDS_MAX, builds=builds
        )
        self._networks = DockerNetworks(options.installation, attach=options.attach)
        self._inspected: dict[tuple[str, str, str], ActualReplica] = {}
        self._starting: Counter[str] = Counter()

    @property
    def advice(self) -> str | None:
        """Of an engine whose containers end with it; once it was asked anything."""
        return None if self._containers_outlive else LIVE_RESTORE_ADVICE

    async def describe(self) -> str:
        """Return one plain sentence for the user interface."""
        version = (await self._call(lambda: self._api().version()))["Version"]
        return (
            f"Docker {version}: each replica is a container with its own limits, "
            "on a network of its team's own."
        )

    async def list_replicas(self) -> Sequence[ActualReplica]:
        """Return all replicas of this installation; raises `EngineUnavailable`."""
        # In a thread of its own: whoever looks does not wait for what is being started.
        return await self._run(self._looking, self._list)

    async def start(self, spec: ReplicaSpec) -> None:
        """Make the replica run; one with its id that runs already is left as it is."""
        self._starting[spec.team_id] += 1
        try:
            if await self._call(self._resume, spec):
                return
            image_id = await self._call(self._find_image, spec)
            if image_id is None:
                image_id = await self._call_slowly(lambda: self._images.fetch(self._api(), spec))
            self._passed("docker.image")
            await self._call(self._start, spec, image_id)
        finally:
            self._starting[spec.team_id] -= 1

    async def stop(self, replica: ActualReplica, *, grace_seconds: float) -> None:
        """Send SIGTERM, and after the grace SIGKILL."""
        await self._call(self._stop, replica.engine_id, grace_seconds)

    async def remove(self, replica: ActualReplica) -> None:
        """Remove the container, and its team's network with the last one."""
        await self._call(self._remove, replica.engine_id)
        self._checks.forget(replica.engine_id)
        if not self._starting[replica.team_id]:
            await self._call(lambda: self._networks.remove_if_unused(self._api(), replica.team_id))

    async def check(
        self, replica: ActualReplica, command: Sequence[str], *, timeout_seconds: float
    ) -> str | None:
        """Run a command in the container: None when all is well, else what is not, in words."""
        return await self._checks.run(replica.engine_id, command, timeout_seconds=timeout_seconds)

    async def tail(self, replica: ActualReplica, *, lines: int) -> Sequence[str]:
        """Return the last lines of the container's log."""
        return await self._call(self._tail, replica.engine_id, lines)

    def logs(self, replica: ActualReplica, after: LogPosition) -> AsyncIterator[Sequence[LogLine]]:
        """Follow the container's log from a position on, until it ends."""
        return follow(self._http, replica.engine_id, after)

    async def stats(self, replica: ActualReplica) -> ReplicaStats | None:
        """Return what the container has used, None when it does not run."""
        return await read_stats(self._http, replica.engine_id)

    async def prune(self, kept: Collection[str]) -> int:
        """Remove the images built of code that is not among these."""
        return await self._call(lambda: self._images.prune(self._api(), kept))

    async def clear(self) -> None:
        """Remove every container, network and built image of this installation."""
        found = await self._call(self._containers)
        await asyncio.gather(*(self._call(self._remove, one["Id"]) for one in found))
        await self._call(lambda: self._networks.remove_all(self._api()))
        await self._call(lambda: self._images.clear(self._api()))

    async def close(self) -> None:
        """Let go of the engine. Containers run on."""
        await self._http.aclose()
        for threads in (self._threads, self._looking, self._slow_threads):
            threads.shutdown(wait=False, cancel_futures=True)
        self._disconnect()

    async def _call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in one of our threads; what the engine throws becomes our words."""
        return await self._run(self._threads, partial(work, *args, **kwargs))

    async def _call_slowly(self, work: Callable[[], T]) -> T:
        """Run what may take minutes where it keeps nobody waiting."""
        return await self._run(self._slow_threads, work)

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except requests.ConnectionError as error:
            self._disconnect()
            raise EngineUnavailable(f"the Docker engine does not answer: {words(error)}") from error
        except (DockerException, requests.RequestException, HTTPError, OSError) as error:
            raise EngineUnavailable(f"the Docker engine does not answer: {words(error)}") from error

    def _api(self) -> docker.APIClient:
        with self._connecting:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _disconnect(self) -> None:
        with self._connecting:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connect(self) -> docker.APIClient:
        if self._options.host.startswith("unix://"):
            # The library leaves a socket open for each time it finds nobody there.
            with socket.socket(socket.AF_UNIX) as knock:
                knock.settimeout(self._options.answer_seconds_max)
                knock.connect(self._options.host.removeprefix("unix://"))
        client = docker.APIClient(
            base_url=self._options.host,
            version=request.API_VERSION,
            timeout=self._options.answer_seconds_max,
            max_pool_size=THREADS + 1,
        )
        try:
            engine = client.info()
        except Exception:
            client.close()
            raise
        system = engine.get("OperatingSystem", "")
        self._publish = sys.platform != "linux" or "Docker Desktop" in system
        self._containers_outlive = self._publish or bool(engine.get("LiveRestoreEnabled"))
        self._networks.internal = self._options.internal and not self._publish
        return client

    def _containers(self, **labels: str) -> list[dict[str, Any]]:
        """Return ours, and only those with these labels, from the newest to the oldest."""
        wanted = {"installation": self._options.installation, **labels}
        filters = {"label": [f"{request.label(name)}={value}" for name, value in wanted.items()]}
        return list(self._api().containers(all=True, filters=filters))

    def _list(self) -> list[ActualReplica]:
        known, seen = self._inspected, {}
        for found in self._containers():
            key = _identity(found)
            replica = known.get(key) or request.half_made_replica(found)
            replica = replica or self._inspect(found["Id"])
            if replica is not None:
                seen[key] = replica
        if not seen:
            self._must_be_gone(list(known.values()))
        self._inspected = seen
        return list(seen.values())

    def _must_be_gone(self, known: Sequence[ActualReplica]) -> None:
        """Doubt an engine that suddenly names no container at all: ask for some by their ids."""
        for replica in known[:DOUBTED]:
            if self._inspect(replica.engine_id) is not None:
                raise EngineUnavailable("the Docker engine names no container and yet has ours")

    def _inspect(self, name: str) -> ActualReplica | None:
        try:
            inspected = self._api().inspect_container(name)
        except NotFound:
            return None
        labels = inspected["Config"]["Labels"] or {}
        if labels.get(request.label("installation")) != self._options.installation:
            raise StartFailed(f"a container that is not ours has the name {name}")
        network = request.network_name(self._options.installation, labels[request.label("team")])
        return request.actual_replica(inspected, network=network, publish=self._publish)

    def _resume(self, spec: ReplicaSpec) -> bool:
        """Go on with the container that an earlier attempt made; False when there is none."""
        name = request.container_name(self._options.installation, spec.replica_id)
        found = self._inspect(name)
        if found is None:
            return False
        if found.config_hash == spec.config_hash and found.state is not ReplicaState.EXITED:
            if found.state is ReplicaState.CREATED:
                self._start_container(found.engine_id)
            return True
        self._remove(found.engine_id)
        self._passed("docker.replaced")
        return False

    def _find_image(self, spec: ReplicaSpec) -> str | None:
        return self._images.find(self._api(), spec, beside=self._siblings(spec))

    def _start(self, spec: ReplicaSpec, image_id: str) -> None:
        for _ in range(ATTEMPTS):
            created = self._create(spec, image_id)
            if created is not None:
                self._passed("docker.created")
                self._start_container(created)
                return
            time.sleep(ATTEMPT_SECONDS)  # somebody else is making it right now
            if self._resume(spec):
                return
        raise StartFailed(f"somebody else keeps making the container of {spec.replica_id}")

    def _create(self, spec: ReplicaSpec, image_id: str) -> str | None:
        """Make the container; None when one with its name appeared meanwhile."""
        api = self._api()
        network = self._networks.ensure(api, spec.team_id)
        self._passed("docker.network")
        image = api.inspect_image(image_id)
        arguments = request.create_request(
            self._options.installation,
            spec,
            image_id=image_id,
            network=network,
            publish=self._publish,
            volumes=request.volumes_of(image),
            check=request.own_check(image, spec.image) if spec.own_check else (),
        )
        try:
            created: str = api.create_container(**arguments)["Id"]
        except APIError as error:
            if error.status_code == CONFLICT:
                return None
            raise StartFailed(f"the container could not be made: {words(error)}") from error
        return created

    def _start_container(self, container_id: str) -> None:
        try:
            self._api().start(container_id)
        except APIError as error:
            self._remove(container_id)
            raise StartFailed(f"the container could not be started: {words(error)}") from error
        self._passed("docker.started")

    def _siblings(self, spec: ReplicaSpec) -> list[str]:
        """Return the image ids that this revision's other replicas run, newest first."""
        siblings = self._containers(deployment=spec.deployment_id, revision=str(spec.revision))
        return [found["ImageID"] for found in siblings]

    def _stop(self, container_id: str, grace_seconds: float) -> None:
        try:
            self._api().stop(container_id, timeout=round(grace_seconds))
        except NotFound:
            return
        self._passed("docker.stopped")

    def _remove(self, container_id: str) -> None:
        try:
            self._api().remove_container(container_id, force=True, v=True)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != CONFLICT:  # somebody else is removing it right now
                raise
        self._passed("docker.removed")

    def _tail(self, container_id: str, lines: int) -> list[str]:
        try:
            text: bytes = self._api().logs(container_id, tail=lines)
        except NotFound:
            return []
        return text.decode(errors="replace").splitlines()


def _identity(found: dict[str, Any]) -> tuple[str, str, str]:
    """Return what changes whenever a container must be looked at again."""
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = ",".join(sorted(network.get("IPAddress") or "" for network in networks.values()))
    return found["Id"], found["State"], addresses


def words(error: Exception) -> str:
    """Return an engine's error as one sentence."""
    explanation = getattr(error, "explanation", None)
    return str(explanation or error or type(error).__name__).strip()
