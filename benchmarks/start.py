"""How long from `tallyport up` to ready, the first time and the second, and what it weighs idle.

The yardstick is starting one bare Python interpreter that imports FastAPI, in the same run: a start
is given as so many of those. Memory is the proportional set size (PSS) of every process of the
home, from /proc/<pid>/smaps_rollup.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bootstrap.embedded.processes import all_pids
from tests.platform import Platform

IDLE_SECONDS = 10.0


def yardstick() -> float:
    """Return how long a bare interpreter with FastAPI takes, in seconds; the best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "import fastapi, uvicorn"], check=True)
        best = min(best, time.monotonic() - began)
    return best


def start_seconds(home: Path, *, measure_memory: bool = False) -> tuple[float, int]:
    """Return seconds to ready, and the memory in bytes when asked for."""
    platform = Platform(home)
    began = time.monotonic()
    platform.start()
    took = time.monotonic() - began
    try:
        if not measure_memory:
            return took, 0
        time.sleep(IDLE_SECONDS)
        return took, memory_of(home)
    finally:
        platform.stop()


def memory_of(home: Path) -> int:
    """Return the proportional memory of every process whose environment names this home."""
    total = 0
    for pid in all_pids():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if str(home).encode() not in environment + command + _cwd(pid):
                continue
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(
            int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")
        )
    return total


def _cwd(pid: int) -> bytes:
    return bytes(Path(f"/proc/{pid}/cwd").readlink())


def main() -> None:
    """Measure and print one line."""
    one = yardstick()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        first, _ = start_seconds(home)
        second, memory = start_seconds(home, measure_memory=True)
    print(
        f"start: first {first:.1f} s ({first / one:.1f} x a bare FastAPI interpreter),"
        f" second {second:.1f} s ({second / one:.1f} x, target < 3 s),"
        f" idle memory {memory / 1024**2:.0f} MiB (PSS)"
    )


if __name__ == "__main__":
    main()
