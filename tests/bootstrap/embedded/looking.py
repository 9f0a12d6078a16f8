"""What the tests of this folder look at: the processes of the machine, and time passing."""

import asyncio
import contextlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]


async def eventually(check: Callable[[], Any], *, seconds: float = 20) -> Any:
    """Ask again and again until the answer is yes, and return it."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        answer: Any = None
        with contextlib.suppress(Exception):
            answer = check()
            if inspect.isawaitable(answer):
                answer = await answer
        if answer:
            return answer
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    return False


def user_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def command_line_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def processes_of(folder: Path) -> list[int]:
    """Return the processes that work in a folder or were started with its name."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            named = os.fsencode(folder) in (entry / "cmdline").read_bytes()
            working = (entry / "cwd").readlink().is_relative_to(folder)
            if (named or working) and is_alive(int(entry.name)):
                found.append(int(entry.name))
    return found
