"""What every driver must do, on real containers and real processes."""

import asyncio
import time
from collections.abc import Callable, Sequence

import httpx
import pytest

from infrastructure.containers import (
    ActualReplica,
    ContainerDriver,
    ContainerError,
    LogLine,
    LogPosition,
    ReplicaSpec,
    ReplicaState,
)
from tests.images.programs import CRASHES, IGNORES_SIGTERM

Make = Callable[..., ReplicaSpec]


async def until_answering(replica: ActualReplica, path: str = "/health") -> httpx.Response:
    deadline = time.monotonic() + 30
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                return await client.get(f"http://{replica.address}:{replica.port}{path}")
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the replica never answered"
                await asyncio.sleep(0.05)


async def until_state(driver: ContainerDriver, state: ReplicaState) -> ActualReplica:
    deadline = time.monotonic() + 30
    while True:
        [replica] = await driver.list_replicas()
        if replica.state is state:
            return replica
        assert time.monotonic() < deadline, f"the replica never was {state}"
        await asyncio.sleep(0.02)


async def test_a_started_replica_answers_and_knows_itself(
    driver: ContainerDriver, spec: Make
) -> None:
    wanted = spec(restarts=3, crashes=2, reason="it ended")
    await driver.start(wanted)
    [replica] = await driver.list_replicas()
    answer = await until_answering(replica, "/some/path?a=1")
    assert answer.json()["path"] == "/some/path"
    assert answer.json()["replica"] == "dpl-1-1-1"
    assert replica.state is ReplicaState.RUNNING
    assert (replica.replica_id, replica.deployment_id) == ("dpl-1-1-1", "dpl-1")
    assert (replica.team_id, replica.revision) == ("team-1", 1)
    assert (replica.restarts, replica.crashes, replica.reason) == (3, 2, "it ended")
    assert replica.config_hash == wanted.config_hash
    assert replica.started_at is not None
    assert replica.finished_at is None
    assert replica.exit_code is None


async def test_starting_a_running_replica_again_changes_nothing(
    driver: ContainerDriver, spec: Make
) -> None:
    await driver.start(spec())
    before = await driver.list_replicas()
    await asyncio.gather(*(driver.start(spec()) for _ in range(3)))
    assert await driver.list_replicas() == before


async def test_ten_starts_at_once_of_one_replica_make_one(
    driver: ContainerDriver, spec: Make
) -> None:
    await asyncio.gather(*(driver.start(spec()) for _ in range(10)))
    [replica] = await driver.list_replicas()
    assert replica.state is ReplicaState.RUNNING


async def test_a_stopped_replica_ends_well_and_its_log_stays(
    driver: ContainerDriver, spec: Make
) -> None:
    await driver.start(spec())
    [replica] = await driver.list_replicas()
    await until_answering(replica)
    await driver.stop(replica, grace_seconds=10)
    [ended] = await driver.list_replicas()
    assert ended.state is ReplicaState.EXITED
    assert ended.exit_code == 0
    assert ended.finished_at is not None
    assert ended.address is None
    assert "stopping" in (await driver.tail(ended, lines=1))[0]
    await driver.stop(ended, grace_seconds=1)


async def test_a_replica_that_ignores_sigterm_is_killed_after_the_grace(
    driver: ContainerDriver, spec: Make
) -> None:
    await driver.start(spec(IGNORES_SIGTERM))
    [replica] = await driver.list_replicas()
    while not await driver.tail(replica, lines=1):  # noqa: ASYNC110 - until it is deaf
        await asyncio.sleep(0.02)
    started = time.monotonic()
    await driver.stop(replica, grace_seconds=1)
    assert 0.9 < time.monotonic() - started < 8
    [ended] = await driver.list_replicas()
    assert ended.state is ReplicaState.EXITED
    assert ended.exit_code == 137


async def test_a_replica_that_crashed_says_so_and_is_replaced_by_a_start(
    driver: ContainerDriver, spec: Make
) -> None:
    await driver.start(spec(CRASHES))
    ended = await until_state(driver, ReplicaState.EXITED)
    assert ended.exit_code in {1, 3}
    assert "cannot find the database" in await driver.tail(ended, lines=5)
    await driver.start(spec(CRASHES, restarts=1))
    [again] = await driver.list_replicas()
    assert again.restarts == 1
    assert again.engine_id != ended.engine_id


async def test_a_removed_replica_leaves_no_trace(driver: ContainerDriver, spec: Make) -> None:
    await driver.start(spec())
    await driver.start(spec(number=2))
    first, second = sorted(await driver.list_replicas(), key=lambda each: each.replica_id)
    await driver.remove(first)
    assert [each.replica_id for each in await driver.list_replicas()] == [second.replica_id]
    await driver.remove(first)
    await driver.remove(second)
    assert await driver.list_replicas() == []


async def test_an_image_that_cannot_be_had_is_named(driver: ContainerDriver, spec: Make) -> None:
    with pytest.raises(ContainerError, match=r"registry\.invalid/no/such:1"):
        await driver.start(spec("registry.invalid/no/such:1"))
    assert await driver.list_replicas() == []


async def test_the_log_is_followed_from_any_position_without_loss_or_repetition(
    driver: ContainerDriver, spec: Make
) -> None:
    await driver.start(spec())
    [replica] = await driver.list_replicas()
    followed: list[LogLine] = []

    async def follow(after: LogPosition, into: list[LogLine]) -> None:
        async for lines in driver.logs(replica, after):
            into.extend(lines)

    following = asyncio.create_task(follow(LogPosition(), followed))
    await until_answering(replica)
    for number in range(50):
        await until_answering(replica, f"/{number}")
    await driver.stop(replica, grace_seconds=10)
    await asyncio.wait_for(following, 10)
    assert _paths(followed) == [f"/{number}" for number in range(50)]
    assert len({(line.timestamp_ns, line.ordinal) for line in followed}) == len(followed)

    for cut in (1, 7, 20, len(followed) - 1):
        rest: list[LogLine] = []
        await asyncio.wait_for(follow(followed[cut - 1].position, rest), 10)
        assert rest == followed[cut:]


def _paths(lines: Sequence[LogLine]) -> list[str]:
    words = (line.text.partition("GET ")[2].split(" ") for line in lines if "GET /" in line.text)
    return [each[0] for each in words if each[0] != "/health"]
