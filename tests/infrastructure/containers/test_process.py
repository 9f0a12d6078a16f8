"""What only processes do: limits, ports, rotation, and the refusal of what needs Docker."""

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infrastructure.containers import (
    CatalogueImage,
    LogLine,
    LogPosition,
    NotRunnable,
    ReplicaSpec,
    ReplicaState,
    Resources,
)
from infrastructure.containers.catalogue import ECHO, PredefinedImages
from infrastructure.containers.process import ProcessDriver
from infrastructure.containers.process_keeper import LOG_BYTES_MAX, RotatingLog
from infrastructure.containers.process_logs import LogReader
from tests.infrastructure.containers.test_drivers import until_answering, until_state

Make = Callable[..., ReplicaSpec]


def running(program: str) -> PredefinedImages:
    image = CatalogueImage(
        image="test/program",
        description="for a test",
        port=8080,
        health_path="/",
        command=(sys.executable, "-c", program),
        build=ECHO.build,
    )
    return PredefinedImages([image])


async def test_an_image_that_is_not_predefined_is_refused_in_words(
    tmp_path: Path, spec: Make
) -> None:
    driver = ProcessDriver(tmp_path, PredefinedImages())
    with pytest.raises(NotRunnable, match="image nginx needs Docker"):
        await driver.start(spec("nginx"))


async def test_a_process_beyond_its_memory_fails(tmp_path: Path, spec: Make) -> None:
    driver = ProcessDriver(tmp_path, running("x = bytearray(500_000_000)"))
    await driver.start(spec("test/program", resources=Resources(memory_bytes=128 * 1024**2)))
    ended = await until_state(driver, ReplicaState.EXITED)
    assert ended.exit_code == 1
    assert (await driver.tail(ended, lines=1)) == ["MemoryError"]
    await driver.clear()


async def test_a_process_sees_its_own_environment_and_nothing_of_ours(
    tmp_path: Path, spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYPORT_SECRET_KEY", "hunter2")
    driver = ProcessDriver(tmp_path, running("import os; print(sorted(os.environ))"))
    await driver.start(spec("test/program", env={"GREETING": "hello"}))
    ended = await until_state(driver, ReplicaState.EXITED)
    [line] = await driver.tail(ended, lines=5)
    names = {"GREETING", "HOME", "HOST", "PATH", "PORT"}
    names |= {"TALLYPORT_REPLICA_ID", "TALLYPORT_DEPLOYMENT_ID"}
    assert set(eval(line)) - {"LC_CTYPE"} == names
    stored = b"".join(each.read_bytes() for each in (tmp_path / "dpl-1-1-1").iterdir())
    assert b"hello" not in stored, "the environment may hold secrets: it is not kept on disk"
    await driver.clear()


async def test_a_port_in_use_is_passed_over(tmp_path: Path, spec: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        driver = ProcessDriver(tmp_path, PredefinedImages(), ports=range(port, port + 4))
        await driver.start(spec())
        [replica] = await driver.list_replicas()
        assert replica.port in range(port + 1, port + 4)
        await until_answering(replica)
    await driver.clear()


async def test_what_a_process_leaves_behind_ends_with_it(tmp_path: Path, spec: Make) -> None:
    program = (
        "import subprocess, sys; "
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True); sys.exit(1)"
    )
    driver = ProcessDriver(tmp_path, running(program))
    await driver.start(spec("test/program"))
    ended = await until_state(driver, ReplicaState.EXITED)
    [pid] = await driver.tail(ended, lines=1)
    deadline = time.monotonic() + 10
    while _is_alive(pid):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    await driver.clear()


def test_a_reader_follows_the_log_through_its_rotations(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "log")
    reader = LogReader(tmp_path, LogPosition())
    read: list[LogLine] = []
    written = 0
    while written * 100 < 2.5 * LOG_BYTES_MAX:
        lines = b"".join(b"%075d\n" % (written + n) for n in range(2000))
        log.write("stdout", lines)
        written += 2000
        while batch := reader.read():
            read += batch
    log.end("stdout")
    assert [int(line.text) for line in read] == list(range(written))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3.1 * LOG_BYTES_MAX

    late = LogReader(tmp_path, read[written // 2].position)
    rest: list[LogLine] = []
    while batch := late.read():
        rest += batch
    assert [int(line.text) for line in rest] == list(range(written // 2 + 1, written))
    reader.close()
    late.close()
    log.close()


def test_a_line_without_an_end_and_one_without_a_limit_are_kept_whole_or_cut(
    tmp_path: Path,
) -> None:
    log = RotatingLog(tmp_path / "log")
    log.write("stderr", b"torn")
    log.write("stderr", b" apart")
    log.end("stderr")
    log.write("stdout", b"x" * 40_000 + b"\n")
    log.close()
    reader = LogReader(tmp_path, LogPosition())
    lines = reader.read()
    assert (lines[0].source, lines[0].text) == ("stderr", "torn apart")
    assert "".join(line.text for line in lines[1:]) == "x" * 40_000
    reader.close()


def _is_alive(pid: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
