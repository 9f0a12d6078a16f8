"""Commands that tell whether a replica is well, in real containers and beside real processes."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infrastructure.containers import ContainerDriver, NotRunnable, ReplicaSpec, complaint
from infrastructure.containers.docker import DockerDriver
from tests.images.programs import KNOWS_ITSELF, NEVER_OPENS

Make = Callable[..., ReplicaSpec]


def said_by(script: str) -> list[str]:
    return ["sh", "-c", script]


async def test_a_command_is_well_when_it_ends_with_0_and_else_its_last_line_says_why(
    driver: ContainerDriver, spec: Make
) -> None:
    await driver.start(spec(NEVER_OPENS))
    [replica] = await driver.list_replicas()

    async def check(*command: str) -> str | None:
        return await driver.check(replica, command, timeout_seconds=20)

    assert await check(*said_by("echo fine")) is None
    assert await check(*said_by('test "$GREETING" = hello')) is None
    wrong = await check(*said_by("echo first; echo no database >&2; exit 3"))
    assert wrong == "sh ended with exit code 3: no database"
    assert "no-such-program ended with exit code 12" in str(await check("no-such-program"))
    assert await check(*said_by("exit 1")) == "sh ended with exit code 1"
    flood = await check(*said_by("head -c 3000000 /dev/zero | tr '\\0' x; exit 1"))
    assert len(str(flood)) < 1000
    await driver.stop(replica, grace_seconds=0)
    assert await check(*said_by("exit 0")) is not None
    await driver.remove(replica)
    assert await check(*said_by("exit 0")) == "the replica does not run"


async def test_a_command_that_takes_too_long_is_ended(driver: ContainerDriver, spec: Make) -> None:
    await driver.start(spec(NEVER_OPENS))
    [replica] = await driver.list_replicas()
    marked = said_by("echo still at it; sleep 61237; echo never")
    assert await driver.check(replica, marked, timeout_seconds=1) == (
        "sh did not end in time: still at it"
    )
    async with asyncio.timeout(30):
        while any("61237" in command for command in _commands()):  # noqa: ASYNC110 - the kernel is asked
            await asyncio.sleep(0.05)
    assert await driver.check(replica, said_by("exit 0"), timeout_seconds=20) is None


async def test_of_commands_that_cannot_be_ended_there_is_one_at_a_time(
    docker_driver: DockerDriver, spec: Make
) -> None:
    await docker_driver.start(spec(NEVER_OPENS))
    [replica] = await docker_driver.list_replicas()
    deaf = said_by("trap '' INT QUIT; echo once >>/tmp/started; while true; do sleep 1; done")
    first = await docker_driver.check(replica, deaf, timeout_seconds=1)
    assert str(first).startswith("sh did not end in time")
    second = await docker_driver.check(replica, deaf, timeout_seconds=1)
    assert second == "sh did not end in time, and cannot be ended"
    api = docker_driver._api()
    made = api.exec_create(replica.engine_id, ["cat", "/tmp/started"])
    assert api.exec_start(made["Id"]) == b"once\n"


async def test_the_check_that_an_image_names_is_known_of_its_replica(
    docker_driver: DockerDriver, spec: Make
) -> None:
    await docker_driver.start(spec(KNOWS_ITSELF, own_check=True))
    [replica] = await docker_driver.list_replicas()
    assert replica.own_check[:2] == ("/bin/sh", "-c")
    assert await docker_driver.check(replica, replica.own_check, timeout_seconds=20) is None


async def test_an_image_that_names_no_check_is_refused_in_words(
    driver: ContainerDriver, spec: Make
) -> None:
    with pytest.raises(NotRunnable, match=r"HEALTHCHECK.*choose another type"):
        await driver.start(spec(NEVER_OPENS, own_check=True))
    assert await driver.list_replicas() == []


def test_what_a_command_wrote_is_told_in_one_short_line_of_text() -> None:
    assert complaint(["x"], 0, b"whatever") is None
    assert complaint(["x"], 1, b"one\r\ntwo\r\n\r\n") == "x ended with exit code 1: two"
    assert complaint(["x"], None, b"\x1b[31mred\x07\xff") == "x did not end in time: [31mred\ufffd"
    assert len(str(complaint(["x" * 5000], 1, b"y" * 5000))) < 1000


def _commands() -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
