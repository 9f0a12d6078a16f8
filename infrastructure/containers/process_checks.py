"""Runs a command beside a process: as the process itself was started, with the limits it has.

It is this file once more, run by Python as a small program of its own (`--beside PID`): that takes
over what the process has and then becomes the command. Standard library and our words only.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

OUTPUT_BYTES_MAX = 64 * 1024
PR_SET_PDEATHSIG = 1
NOT_FOUND = 127


async def run_beside(pid: int, command: Sequence[str], *, timeout_seconds: float) -> str | None:
    """Return None when the command ends with 0 in time, else what was wrong, in words."""
    from infrastructure.containers import complaint  # noqa: PLC0415 - the program has no path to it

    checking = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        "-B",
        __file__,
        str(pid),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        env={},
    )
    output = bytearray()
    try:
        async with asyncio.timeout(timeout_seconds):
            await _talk(checking, json.dumps(list(command)).encode(), output)
            code: int | None = await checking.wait()
    except TimeoutError:
        code = None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(checking.pid, signal.SIGKILL)
        await checking.wait()
    return complaint(command, code, bytes(output))


async def _talk(checking: asyncio.subprocess.Process, said: bytes, output: bytearray) -> None:
    """Say what to run, and keep the end of what it writes."""
    if checking.stdin is None or checking.stdout is None:
        return
    with contextlib.suppress(ConnectionError):
        checking.stdin.write(said)
        await checking.stdin.drain()
    checking.stdin.close()
    while chunk := await checking.stdout.read(OUTPUT_BYTES_MAX):
        output += chunk
        del output[:-OUTPUT_BYTES_MAX]


def main(pid: int) -> None:
    """Become the command that standard input names, beside the process with this id."""
    command = json.loads(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    environment = {"PATH": os.defpath}
    if sys.platform == "linux":
        place = Path("/proc") / str(pid)
        pairs = (place / "environ").read_bytes().split(b"\0")
        environment = {
            os.fsdecode(name): os.fsdecode(value)
            for name, equals, value in (pair.partition(b"=") for pair in pairs)
            if equals
        }
        os.chdir((place / "cwd").readlink())
        for limit in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_DATA):
            resource.setrlimit(limit, resource.prlimit(pid, limit))
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody outlives the check
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - a program of the owner's choice
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(NOT_FOUND)


if __name__ == "__main__":
    main(int(sys.argv[1]))
