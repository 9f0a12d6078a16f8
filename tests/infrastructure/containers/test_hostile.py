"""What runs in a container tries to get out of it, to reach what it must not, and to use up all."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from infrastructure.containers import ActualReplica, ReplicaSpec, ReplicaState, Resources
from infrastructure.containers.docker_request import container_name, network_name
from tests.docker.hardening import InspectedDocker
from tests.images.programs import HOSTILE
from tests.infrastructure.clickhouse.process import ClickHouseProcess
from tests.infrastructure.containers.test_drivers import until_answering
from tests.servers import PostgresServer, ValkeyServer

Make = Callable[..., ReplicaSpec]
THEIRS = {"team_id": "team-2", "deployment_id": "dpl-2"}
MUST_BE_TRIED = 52


class Try(msgspec.Struct):
    """One line that the hostile program wrote."""

    what: str = msgspec.field(name="try")
    succeeded: bool
    why: str


async def tries_of(driver: InspectedDocker, replica: ActualReplica, last: str) -> list[Try]:
    async with asyncio.timeout(60):
        while True:
            lines = await driver.tail(replica, lines=200)
            tries = [msgspec.json.decode(line, type=Try) for line in lines]
            if any(each.what == last for each in tries):
                return tries
            await asyncio.sleep(0.05)


async def one(driver: InspectedDocker, team: str) -> ActualReplica:
    [found] = [each for each in await driver.list_replicas() if each.team_id == team]
    return found


@asynccontextmanager
async def a_neighbour(driver: InspectedDocker, spec: Make) -> AsyncIterator[ActualReplica]:
    """Another team's replica, which answers before and after."""
    await driver.start(spec(replica_id="dpl-2-1-1", **THEIRS))
    neighbour = await one(driver, "team-2")
    assert (await until_answering(neighbour)).status_code == 200
    yield neighbour
    assert (await until_answering(neighbour)).status_code == 200
    assert (await one(driver, "team-2")).engine_id == neighbour.engine_id


async def test_nothing_that_a_hostile_container_tries_succeeds(
    docker_driver: InspectedDocker,
    spec: Make,
    postgres: PostgresServer,
    valkey: ValkeyServer,
    clickhouse_server: ClickHouseProcess,
) -> None:
    async with a_neighbour(docker_driver, spec) as neighbour:
        # A replica of its own team it may call: so its tries to connect are real ones.
        await docker_driver.start(spec(replica_id="dpl-3-1-1", deployment_id="dpl-3"))
        friend = await one(docker_driver, "team-1")
        await until_answering(friend)
        allowed = [("a replica of its own team", str(friend.address), 8080)]
        forbidden = _targets(docker_driver, neighbour, postgres, valkey, clickhouse_server)
        env = {"MODE": "tries", "TARGETS": json.dumps(allowed + forbidden)}
        ample = Resources(cpu_millis=1000, memory_bytes=256 * 1024**2)
        await docker_driver.start(spec(HOSTILE.image, env=env, resources=ample))
        replicas = await docker_driver.list_replicas()
        [hostile] = [each for each in replicas if each.deployment_id == "dpl-1"]
        tries = await tries_of(docker_driver, hostile, "all of it")
    friendly = allowed[0][0]
    succeeded = {each.what for each in tries if each.succeeded}
    assert succeeded == {friendly, f"{friendly}, past the routes"}
    assert len(tries) - 2 * len(forbidden) >= MUST_BE_TRIED
    assert {name for name, _, _ in forbidden} <= {each.what for each in tries}


def _targets(
    driver: InspectedDocker,
    neighbour: ActualReplica,
    postgres: PostgresServer,
    valkey: ValkeyServer,
    clickhouse: ClickHouseProcess,
) -> list[tuple[str, str, int]]:
    """Return what no container may reach: the platform's parts, others' replicas, the world."""
    installation = driver._options.installation
    network = network_name(installation, "team-1")
    details = driver._api().inspect_network(network)
    gateway = details["IPAM"]["Config"][0]["Gateway"]
    hosts = {"127.0.0.1", gateway, "host.docker.internal", *_own_addresses()}
    parts = {
        "PostgreSQL": postgres.port,
        "Valkey": valkey.port,
        "ClickHouse": clickhouse.port,
        "Docker": 2375,
        "Docker with TLS": 2376,
    }
    return [
        *((f"{part} at {host}", host, port) for host in hosts for part, port in parts.items()),
        ("another team's replica", str(neighbour.address), 8080),
        ("another team's replica by name", container_name(installation, "dpl-2-1-1"), 8080),
        ("another team's replica by its id", neighbour.engine_id[:12], 8080),
        ("metadata", "169.254.169.254", 80),
        ("metadata of containers", "169.254.170.2", 80),
        ("the world", "1.1.1.1", 443),
        ("mail", "1.1.1.1", 25),
        ("a private network", "10.0.0.1", 80),
    ]


def _own_addresses() -> list[str]:
    """Return the addresses by which other machines know this one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [asking.getsockname()[0]]


@pytest.mark.parametrize(
    ("mode", "last", "why"),
    [
        ("forks", "fork without end", "Resource temporarily unavailable"),
        ("disk", "fill the disk", "No space left on device"),
    ],
)
async def test_what_forks_or_writes_without_end_meets_its_limit_and_its_neighbours_answer(
    docker_driver: InspectedDocker, spec: Make, mode: str, last: str, why: str
) -> None:
    resources = Resources(cpu_millis=1000, memory_bytes=512 * 1024**2, storage_bytes=16 * 1024**2)
    async with a_neighbour(docker_driver, spec):
        wanted = spec(HOSTILE.image, env={"MODE": mode}, resources=resources)
        await docker_driver.start(wanted)
        hostile = await one(docker_driver, "team-1")
        [tried] = await tries_of(docker_driver, hostile, last)
        assert not tried.succeeded
        assert why in tried.why
        reached = int(tried.why.partition(":")[0])
        assert reached == 16 * 1024**2 if mode == "disk" else 200 < reached < 256


async def test_what_takes_memory_without_end_is_killed_and_its_neighbours_answer(
    docker_driver: InspectedDocker, spec: Make
) -> None:
    resources = Resources(cpu_millis=500, memory_bytes=32 * 1024**2)
    async with a_neighbour(docker_driver, spec):
        await docker_driver.start(spec(HOSTILE.image, env={"MODE": "memory"}, resources=resources))
        deadline = time.monotonic() + 60
        while (hostile := await one(docker_driver, "team-1")).state is not ReplicaState.EXITED:
            assert time.monotonic() < deadline, "nobody stopped it"
            await asyncio.sleep(0.05)
        assert hostile.out_of_memory
