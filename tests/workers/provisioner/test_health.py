"""Probes against real sockets that behave and misbehave."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from domain.deployments.values import HealthCheck, ReplicaPhase
from infrastructure.containers import ActualReplica
from tests.workers.provisioner.scene import until, wanted
from tests.workers.provisioner.test_plan import replica
from workers.provisioner.health import PORT_CHECK, HealthMonitor, probe

CHECK = HealthCheck(path="/health", period_seconds=0, timeout_seconds=1, failure_threshold=2)


class Target:
    """A server that answers with whatever it is told to."""

    answer: bytes | None = b"HTTP/1.1 200 OK\r\n\r\n"
    asked = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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


async def test_a_replica_becomes_ready_and_unhealthy_after_its_threshold_and_ready_again(
    target: tuple[Target, int],
) -> None:
    server, port = target
    changes = 0

    def changed() -> None:
        nonlocal changes
        changes += 1

    monitor = HealthMonitor(changed)
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


async def test_nothing_is_asked_before_the_initial_delay(target: tuple[Target, int]) -> None:
    server, port = target
    monitor = HealthMonitor(lambda: None)
    import msgspec  # noqa: PLC0415

    young = msgspec.structs.replace(_at(port), started_at=None)
    patient = msgspec.structs.replace(CHECK, initial_delay_seconds=30)
    monitor.watch([(young, patient)])
    await asyncio.wait_for(monitor.first_answers([young.engine_id]), 5)
    assert server.asked == b""
    assert monitor.health == {}
    await monitor.close()


def _at(port: int) -> ActualReplica:
    return replica(1, of=wanted(replicas=1), address="127.0.0.1", port=port)
