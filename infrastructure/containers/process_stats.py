"""Reads what a process and its children have used, from Linux' /proc; elsewhere nobody can say."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from infrastructure.containers import ReplicaStats

PROC = Path("/proc")
CHILDREN_MAX = 1_000
# Places in /proc/PID/stat, counted behind the name (which may hold anything): see proc(5).
USER, SYSTEM, CHILD_USER, CHILD_SYSTEM, RESIDENT_PAGES = 11, 12, 13, 14, 21
_BILLION = 1_000_000_000


def read_stats(pid: int) -> ReplicaStats | None:
    """Return what the process and its living children have used, None when it is gone.

    What a child has used that ended is counted with the one who waited for it.
    """
    ticks = pages = 0
    for number, each in enumerate(_family(pid)):
        fields = _fields(each)
        if fields is None:
            if number == 0:
                return None
            continue
        ticks += sum(int(fields[at]) for at in (USER, SYSTEM, CHILD_USER, CHILD_SYSTEM))
        pages += int(fields[RESIDENT_PAGES])
    return ReplicaStats(
        read_at_ns=time.time_ns(),
        cpu_ns=ticks * _BILLION // os.sysconf("SC_CLK_TCK"),
        memory_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
    )


def _family(pid: int) -> Iterator[int]:
    """Yield the process, then its children, then theirs."""
    waiting = [pid]
    for _ in range(CHILDREN_MAX):
        if not waiting:
            return
        each = waiting.pop(0)
        yield each
        with suppress(OSError):
            for thread in (PROC / str(each) / "task").iterdir():
                waiting += [int(child) for child in (thread / "children").read_text().split()]


def _fields(pid: int) -> list[str] | None:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
