"""The processes that hash: out of everybody's way, and there whatever happens to them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infrastructure.passwords import argon2_processes
from infrastructure.passwords.argon2 import Argon2Passwords, Busy
from infrastructure.passwords.argon2_processes import HashingProcesses
from tests.architecture.source_tree import ROOT

PASSWORD = "canary horse battery"
QUICK = {"memory_kib": 64, "passes": 1, "lanes": 1}
SLOW = {"memory_kib": 64 * 1024, "passes": 30, "lanes": 1}


@pytest.fixture
def made() -> Iterator[Callable[..., Argon2Passwords]]:
    """Passwords, each with a process of its own, ended with the test."""
    opened: list[tuple[Argon2Passwords, HashingProcesses]] = []

    def make(cost: dict[str, int] = QUICK, **options: Any) -> Argon2Passwords:
        processes = HashingProcesses(1, **options)
        opened.append((Argon2Passwords(**cost, processes=processes), processes))
        return opened[-1][0]

    yield make
    for passwords, processes in opened:
        processes.close()
        passwords.close()


def only(passwords: Argon2Passwords) -> int:
    """Return the id of the one process that there is."""
    (pid,) = passwords._processes.pids()
    return pid


def those_that_stepped_back(pid: int) -> list[int]:
    """Return the children of a process that have the lowest priority."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if os.sched_getscheduler(int(child)) == os.SCHED_BATCH]


def autogroup(pid: int) -> str:
    """Return what the kernel says of a session, or nothing where it does not weigh sessions."""
    group = Path(f"/proc/{pid}/autogroup")
    return group.read_text() if group.exists() else ""


async def test_a_hash_steps_back_behind_everything_else(
    made: Callable[..., Argon2Passwords],
) -> None:
    passwords = made(SLOW, patience_seconds=60)
    await passwords.verify(PASSWORD, "not a hash")
    hashing = asyncio.create_task(passwords.hash(PASSWORD))
    async with asyncio.timeout(30):
        while not (found := those_that_stepped_back(only(passwords))):  # noqa: ASYNC110 - the kernel is asked
            await asyncio.sleep(0.001)
    assert os.getpriority(os.PRIO_PROCESS, found[0]) == 19
    assert os.getsid(found[0]) == found[0]
    assert autogroup(found[0])[-8:] in {"", "nice 19\n"}
    passwords._processes.close()
    with pytest.raises(Busy):
        await hashing


async def test_what_gets_no_processor_for_long_is_hashed_as_everything_else(
    made: Callable[..., Argon2Passwords],
) -> None:
    passwords = made(patience_seconds=0.000_001)
    kept = await passwords.hash(PASSWORD)
    assert await passwords.verify(PASSWORD, kept)
    assert not await passwords.verify("a guess", kept)


async def test_a_password_is_no_argument_no_variable_and_in_no_core_dump(
    made: Callable[..., Argon2Passwords],
) -> None:
    passwords = made()
    await passwords.hash(PASSWORD)
    process = Path(f"/proc/{only(passwords)}")
    assert PASSWORD.encode().hex().encode() not in (process / "cmdline").read_bytes()
    assert (process / "environ").read_bytes() == b""
    limits = (process / "limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if "core file" in line] == [
        ["0", "0"]
    ]


async def test_a_process_that_was_killed_is_replaced_and_the_question_asked_again(
    made: Callable[..., Argon2Passwords], capfd: pytest.CaptureFixture[str]
) -> None:
    passwords = made()
    kept = await passwords.hash(PASSWORD)
    killed = only(passwords)
    os.kill(killed, signal.SIGKILL)
    assert await passwords.verify(PASSWORD, kept)
    replaced = only(passwords)
    assert replaced != killed

    os.kill(replaced, signal.SIGSTOP)  # so that it dies with the question
    asking = asyncio.create_task(passwords.verify(PASSWORD, kept))
    await asyncio.sleep(0)
    os.kill(replaced, signal.SIGKILL)
    assert await asking
    assert PASSWORD not in "".join(capfd.readouterr())


async def test_without_a_process_that_lives_one_is_told_to_come_back(
    made: Callable[..., Argon2Passwords], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import sys; sys.stdin.readline(); sys.exit(1)")
    monkeypatch.setattr(argon2_processes, "WORKER", broken)
    passwords = made()
    with pytest.raises(Busy):
        await passwords.hash(PASSWORD)
    monkeypatch.undo()
    assert await passwords.hash(PASSWORD)


async def test_a_process_that_hangs_is_replaced(
    made: Callable[..., Argon2Passwords], monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = made()
    kept = await passwords.hash(PASSWORD)
    os.kill(only(passwords), signal.SIGSTOP)
    monkeypatch.setattr(argon2_processes, "ANSWER_SECONDS_MAX", 0.001)
    with pytest.raises(Busy):
        await passwords.verify(PASSWORD, kept)
    monkeypatch.undo()
    assert await passwords.verify(PASSWORD, kept)


def test_the_process_ends_with_its_parent_however_that_ends() -> None:
    program = (
        "from infrastructure.passwords.argon2_processes import HashingProcesses\n"
        "processes = HashingProcesses(1)\n"
        f"processes.ask({{'password': '', 'kept': None, **{QUICK}}})\n"
        "print(*processes.pids(), flush=True)\n"
        "input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        process = Path(f"/proc/{int(parent.stdout.readline())}")
        assert process.exists()
        parent.kill()
    deadline = time.monotonic() + 30
    while process.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
