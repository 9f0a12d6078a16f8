"""What replicas use, as the engine and the kernel tell it."""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infrastructure.containers import (
    ActualReplica,
    ContainerDriver,
    EngineUnavailable,
    ReplicaSpec,
    ReplicaState,
    ReplicaStats,
    Resources,
)
from infrastructure.containers.docker import DockerDriver
from infrastructure.containers.docker_stats import parse
from infrastructure.containers.process import ProcessDriver
from tests.images.programs import BUSY_BYTES, IS_BUSY
from tests.infrastructure.containers.test_drivers import until_answering
from tests.infrastructure.containers.test_process import running

Make = Callable[..., ReplicaSpec]
SECONDS_MAX = 60
LIMIT = Resources(cpu_millis=200, memory_bytes=256 * 1024**2)


async def until_used(
    driver: ContainerDriver, replica: ActualReplica, enough: Callable[[ReplicaStats], bool]
) -> ReplicaStats:
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        found = await driver.stats(replica)
        if found is not None and enough(found):
            return found
        assert time.monotonic() < deadline, f"it never used so much: {found}"
        await asyncio.sleep(0.05)


async def test_a_busy_replica_shows_what_it_uses_and_an_ended_one_nothing(
    driver: ContainerDriver, spec: Make
) -> None:
    await driver.start(spec(IS_BUSY, resources=LIMIT))
    [replica] = await driver.list_replicas()
    busy = await until_used(
        driver, replica, lambda used: used.cpu_ns > 300_000_000 and used.memory_bytes > BUSY_BYTES
    )
    assert busy.memory_bytes <= LIMIT.memory_bytes
    later = await until_used(driver, replica, lambda used: used.cpu_ns > busy.cpu_ns)
    assert later.read_at_ns > busy.read_at_ns
    await driver.stop(replica, grace_seconds=0)
    [ended] = await driver.list_replicas()
    assert ended.state is ReplicaState.EXITED
    assert await driver.stats(ended) is None
    await driver.remove(ended)
    assert await driver.stats(ended) is None


async def test_a_busy_container_uses_what_it_is_given_and_no_more(
    docker_driver: DockerDriver, spec: Make
) -> None:
    await docker_driver.start(spec(IS_BUSY, resources=LIMIT))
    [replica] = await docker_driver.list_replicas()
    before = await until_used(docker_driver, replica, lambda used: used.memory_bytes > BUSY_BYTES)
    shares: list[float] = []
    deadline = time.monotonic() + SECONDS_MAX
    # A machine that is busy itself may give less for a while, but never more.
    while not shares or shares[-1] < 0.7 * LIMIT.cpu_millis:
        assert time.monotonic() < deadline, shares
        await asyncio.sleep(1)
        used = await docker_driver.stats(replica)
        assert used is not None
        passed = used.read_at_ns - before.read_at_ns
        shares.append((used.cpu_ns - before.cpu_ns) * 1000 / passed)
        before = used
    assert max(shares) <= 2 * LIMIT.cpu_millis, "a core of its own would be five times as much"


async def test_what_a_container_receives_and_sends_is_counted(
    docker_driver: DockerDriver, spec: Make
) -> None:
    await docker_driver.start(spec())
    [replica] = await docker_driver.list_replicas()
    await until_answering(replica)
    before = await docker_driver.stats(replica)
    await until_answering(replica, "/" + "x" * 5000)
    after = await docker_driver.stats(replica)
    assert before is not None
    assert before.network_in_bytes is not None
    assert before.network_out_bytes is not None
    assert after is not None
    assert after.network_in_bytes is not None
    assert after.network_out_bytes is not None
    assert after.network_in_bytes - before.network_in_bytes > 5000
    assert after.network_out_bytes - before.network_out_bytes > 5000


async def test_an_engine_that_is_away_is_no_idle_replica(
    new_docker_driver: Callable[..., DockerDriver], docker_driver: DockerDriver, spec: Make
) -> None:
    await docker_driver.start(spec())
    [replica] = await docker_driver.list_replicas()
    elsewhere = new_docker_driver(host="unix:///nowhere/docker.sock")
    with pytest.raises(EngineUnavailable):
        await elsewhere.stats(replica)
    await elsewhere.close()


async def test_what_a_process_has_its_children_do_counts_as_its_own(
    tmp_path: Path, spec: Make
) -> None:
    busy = f"x = b'x' * {BUSY_BYTES}\nwhile x: pass"
    program = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', {busy!r}])"
    driver = ProcessDriver(tmp_path, running(program))
    await driver.start(spec("test/program"))
    [replica] = await driver.list_replicas()
    used = await until_used(
        driver, replica, lambda used: used.cpu_ns > 300_000_000 and used.memory_bytes > BUSY_BYTES
    )
    assert (used.network_in_bytes, used.network_out_bytes) == (None, None)
    await driver.clear()


ANSWER = b"""{
    "read": "2026-11-23T02:23:25.149084421Z",
    "cpu_stats": {"cpu_usage": {"total_usage": 1500}, "online_cpus": 2},
    "memory_stats": {"usage": 5000, "stats": {"inactive_file": 1000, "anon": 3000}},
    "networks": {"eth0": {"rx_bytes": 10, "tx_bytes": 20}, "eth1": {"rx_bytes": 1, "tx_bytes": 2}}
}"""


def test_memory_is_without_what_the_kernel_may_drop_and_networks_add_up() -> None:
    assert parse(ANSWER) == ReplicaStats(
        read_at_ns=1795400605149084000,
        cpu_ns=1500,
        memory_bytes=4000,
        network_in_bytes=11,
        network_out_bytes=22,
    )


def test_a_container_on_no_network_has_no_traffic_to_tell() -> None:
    told = parse(b'{"read": "2026-11-23T02:23:25Z", "memory_stats": {"usage": 7}}')
    assert told is not None
    assert (told.memory_bytes, told.network_in_bytes) == (7, None)


@pytest.mark.parametrize(
    "stopped",
    [b"{}", b'{"read": "0001-01-01T00:00:00Z", "memory_stats": {}}', b'{"memory_stats": {}}'],
)
def test_a_container_that_does_not_run_uses_nothing_that_could_be_told(stopped: bytes) -> None:
    assert parse(stopped) is None


@pytest.mark.parametrize("wrong", [b"", b"<html>", b"[]", b'{"cpu_stats": 1}'])
def test_an_answer_that_is_none_says_nothing_about_the_replica(wrong: bytes) -> None:
    with pytest.raises(EngineUnavailable):
        parse(wrong)
