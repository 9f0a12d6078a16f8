"""Probes against real sockets that behave and misbehave."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from domain.deployments.values import HealthCheck, ReplicaPhase
from infrastructure.containers import ActualReplica, ContainerDriver
from infrastructure.containers.docker import DockerDriver
from tests.images.programs import KNOWS_ITSELF, NEVER_OPENS
from tests.workers.provisioner.scene import until, wanted
from tests.workers.provisioner.test_plan import replica
from tests.workers.provisioner.test_reconciler import Stage, on_processes
from workers.provisioner import health
from workers.provisioner.health import PORT_CHECK, HealthMonitor, probe

CHECK = HealthCheck(path="/health", period_seconds=0, timeout_seconds=1, failure_threshold=2)
WELL = "test ! -e /tmp/ill || { echo is ill; exit 1; }"


class Target:
    """A server that answers with whatever it is told to."""

    answer: bytes | None = b"HTTP/1.1 200 OK\r\n\r\n"
    asked = b""
    count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        try:
            self.asked = await reader.read(4096)
            if self.answer is None:
                await asyncio.sleep(30)
            else:
                writer.write(self.answer)
                await writer.drain()
        finally:
            writer.close()


@pytest.fixture
async def target() -> AsyncIterator[tuple[Target, int]]:
    made = Target()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    yield made, server.sockets[0].getsockname()[1]
    server.close()


async def test_a_good_answer_is_no_complaint(target: tuple[Target, int]) -> None:
    server, port = target
    assert await probe("127.0.0.1", port, CHECK) is None
    assert server.asked.startswith(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1")
    assert await probe("127.0.0.1", port, PORT_CHECK) is None


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"HTTP/1.1 503 No\r\n\r\n", "GET /health answered 503"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", "answered 302"),
        (b"SSH-2.0-OpenSSH\r\n", "not answered in HTTP"),
        (b"HTTP/1.1 ok\r\n\r\n", "not answered in HTTP"),
        (b"HTTP/1.1\r\n", "not answered in HTTP"),
        (b"x" * 100_000, "not answered in HTTP"),
        (b"", "not answered in HTTP"),
        (None, "did not answer within 1 s"),
    ],
)
async def test_a_bad_answer_is_told_in_words(
    target: tuple[Target, int], answer: bytes | None, complaint: str
) -> None:
    server, port = target
    server.answer = answer
    assert complaint in str(await probe("127.0.0.1", port, CHECK))


async def test_a_closed_port_is_told_in_words() -> None:
    server = await asyncio.start_server(Target().serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert await probe("127.0.0.1", port, CHECK) == f"port {port} is not open"


@pytest.mark.parametrize("path", ["/a\r\nX: y", "/a b", "/ä"])
async def test_a_path_cannot_smuggle_anything(target: tuple[Target, int], path: str) -> None:
    server, port = target
    check = HealthCheck(path=path)
    assert "characters" in str(await probe("127.0.0.1", port, check))
    assert server.asked == b""


@on_processes
async def test_a_replica_becomes_ready_and_unhealthy_after_its_thresholds_and_ready_again(
    target: tuple[Target, int], driver: ContainerDriver
) -> None:
    server, port = target
    changes = 0

    def changed() -> None:
        nonlocal changes
        changes += 1

    monitor = HealthMonitor(driver, changed)
    watched = _at(port)
    monitor.watch([(watched, CHECK)])
    await monitor.first_answers([watched.engine_id])

    def phase_is(phase: ReplicaPhase) -> Callable[[], bool]:
        return lambda: monitor.health[watched.engine_id].phase is phase

    await until(phase_is(ReplicaPhase.READY))
    server.answer = b"HTTP/1.1 500 No\r\n\r\n"
    await until(phase_is(ReplicaPhase.UNHEALTHY))
    assert monitor.health[watched.engine_id].reason == "GET /health answered 500"
    server.answer = Target.answer
    await until(phase_is(ReplicaPhase.READY))
    assert changes == 3
    monitor.watch([])
    assert monitor.health == {}
    await monitor.close()


@on_processes
async def test_nothing_is_asked_before_the_initial_delay(
    target: tuple[Target, int], driver: ContainerDriver
) -> None:
    server, port = target
    monitor = HealthMonitor(driver, lambda: None)
    young = msgspec.structs.replace(_at(port), started_at=None)
    patient = msgspec.structs.replace(CHECK, initial_delay_seconds=30)
    monitor.watch([(young, patient)])
    await asyncio.wait_for(monitor.first_answers([young.engine_id]), 5)
    assert server.asked == b""
    assert monitor.health == {}
    await monitor.close()


@on_processes
async def test_who_waits_for_the_first_answer_of_a_replica_goes_on_when_it_is_gone(
    target: tuple[Target, int], driver: ContainerDriver
) -> None:
    server, port = target
    server.answer = None
    monitor = HealthMonitor(driver, lambda: None)
    watched = _at(port)
    patient = msgspec.structs.replace(CHECK, timeout_seconds=30)
    monitor.watch([(watched, patient)])
    waiting = asyncio.create_task(monitor.first_answers([watched.engine_id]))
    await until(lambda: server.count == 1)
    assert not waiting.done()
    monitor.watch([])
    async with asyncio.timeout(10):
        await waiting
    await monitor.close()


@on_processes
async def test_a_replica_that_starts_quickly_is_waited_for_until_it_is_ready(
    driver: ContainerDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "BRIEF_START_SECONDS", 60.0)
    phases: list[ReplicaPhase] = []
    monitor = HealthMonitor(driver, lambda: phases.append(monitor.health[watched.engine_id].phase))
    with socket.socket() as opening:
        opening.bind(("127.0.0.1", 0))
        watched = _at(opening.getsockname()[1])
        monitor.watch([(watched, msgspec.structs.replace(PORT_CHECK, period_seconds=1))])
        waiting = asyncio.create_task(monitor.first_answers([watched.engine_id]))
        await until(lambda: phases == [ReplicaPhase.STARTING])
        assert not waiting.done()
        opening.listen()
        await waiting
    assert phases == [ReplicaPhase.STARTING, ReplicaPhase.READY]
    await monitor.close()


@on_processes
async def test_a_replica_is_ready_only_after_as_many_successes_in_a_row_as_its_check_wants(
    target: tuple[Target, int], driver: ContainerDriver
) -> None:
    server, port = target
    check = msgspec.structs.replace(CHECK, success_threshold=3)
    phases = []
    monitor = HealthMonitor(driver, lambda: phases.append(monitor.health[watched.engine_id].phase))
    watched = _at(port)
    monitor.watch([(watched, check)])
    await until(lambda: ReplicaPhase.READY in phases)
    await monitor.close()
    assert phases == [ReplicaPhase.STARTING, ReplicaPhase.READY]
    assert server.count >= 3


@pytest.mark.parametrize("kind", ["command", "image"])
async def test_a_command_in_the_replica_makes_it_ready_unhealthy_and_started_again(
    docker_driver: DockerDriver, tmp_path: Path, kind: Literal["command", "image"]
) -> None:
    stage = Stage(docker_driver, tmp_path)
    stage.start()
    try:
        check = HealthCheck(
            kind=kind,
            command=("sh", "-c", WELL) if kind == "command" else (),
            period_seconds=1,
            failure_threshold=1,
        )
        image = NEVER_OPENS if kind == "command" else KNOWS_ITSELF
        stage.wishes.want(wanted(image=image, replicas=1, health_check=check))
        await stage.until_ready(1)
        [replica] = await docker_driver.list_replicas()
        # One that starts again has an empty /tmp, and is well.
        made_ill = await docker_driver.check(replica, ["touch", "/tmp/ill"], timeout_seconds=10)
        assert made_ill is None
        await until(lambda: ReplicaPhase.UNHEALTHY in stage.ear.phases())
        assert stage.ear.ready() == []
        unhealthy = stage.ear.first(ReplicaPhase.UNHEALTHY)
        assert str(unhealthy.reason).endswith("sh ended with exit code 1: is ill")
        await until(lambda: any(each.restarts == 1 for each in stage.ear.ready()))
        [again] = await docker_driver.list_replicas()
        assert "it stopped being healthy within 1 s: " in str(again.reason)
    finally:
        await stage.stop()


async def test_an_image_without_a_check_of_its_own_is_told_in_words(
    driver: ContainerDriver, tmp_path: Path
) -> None:
    stage = Stage(driver, tmp_path)
    stage.start()
    try:
        check = HealthCheck(kind="image")
        stage.wishes.want(wanted(image=NEVER_OPENS, replicas=1, health_check=check))
        await until(lambda: stage.ear.last().problem)
        assert "HEALTHCHECK" in str(stage.ear.last().problem)
        assert await driver.list_replicas() == []
    finally:
        await stage.stop()


@on_processes
async def test_a_command_beside_a_process_makes_it_ready(
    driver: ContainerDriver, tmp_path: Path
) -> None:
    stage = Stage(driver, tmp_path)
    stage.start()
    try:
        well = HealthCheck(kind="command", command=("sh", "-c", 'test "$PORT" -gt 0'))
        ill = HealthCheck(kind="command", command=("sh", "-c", "echo no database; exit 2"))
        stage.wishes.want(wanted("dpl-well", image=NEVER_OPENS, replicas=1, health_check=well))
        stage.wishes.want(wanted("dpl-ill", image=NEVER_OPENS, replicas=1, health_check=ill))
        await stage.until_ready(1, "dpl-well")
        await until(lambda: any(each.restarts for each in stage.ear.last("dpl-ill").replicas))
        ill_replica = (await stage.replicas())["dpl-ill-1-1"]
        assert "sh ended with exit code 2: no database" in str(ill_replica.reason)
    finally:
        await stage.stop()


def _at(port: int) -> ActualReplica:
    return replica(1, of=wanted(replicas=1), address="127.0.0.1", port=port)
