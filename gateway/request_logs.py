"""The request logs: one file per generation, that is, per start of one HAProxy.

HAProxy's standard output is such a file. The process that becomes HAProxy locks it, and every
worker inherits the lock with the descriptor: as long as anything can still be written to the file,
the file is locked, whoever died and however.
"""

import fcntl
import os
import re
import secrets
import signal
import time
from pathlib import Path

import msgspec

_SUFFIX = ".jsonl"
_GATEWAY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_GENERATION = re.compile(r"(?P<gateway>.+)-(?P<generation>\d{13}\.[0-9a-f]{6})\.jsonl")


class RequestLog(msgspec.Struct, frozen=True):
    """One request log's file."""

    path: Path
    gateway_id: str
    generation: str

    def is_finished(self) -> bool:
        """Tell whether nobody can write to it any more, or even find it."""
        try:
            with self.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except FileNotFoundError:
            return True
        return True


def request_logs(folder: Path, gateway_id: str) -> list[RequestLog]:
    """Return this gateway's logs, oldest first."""
    logs = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        match = _GENERATION.fullmatch(path.name)
        if match and match["gateway"] == gateway_id:
            logs.append(RequestLog(path, gateway_id, match["generation"]))
    return logs


def open_request_log(folder: Path, gateway_id: str) -> int:
    """Make the log of a new generation and return its descriptor, open to append, and locked.

    It gets its name after its lock: a meter never meets a log that looks finished before it began.
    """
    if not _GATEWAY_ID.fullmatch(gateway_id):
        raise ValueError(f"not a gateway id: {gateway_id!r}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    generation = f"{time.time_ns() // 1_000_000:013d}.{secrets.token_hex(3)}"
    unnamed = folder / f".{gateway_id}-{generation}"
    descriptor = os.open(unnamed, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    unnamed.rename(folder / f"{gateway_id}-{generation}{_SUFFIX}")
    return descriptor


def end_former_generations(folder: Path, gateway_id: str, *, patience_seconds: float) -> None:
    """Wait until no former HAProxy of this gateway lives; kill what outlives the patience.

    Workers end when their master does, so this waits for next to nothing. A worker that was
    stopped or hangs would go on answering on our port by its own, old tables.
    """
    deadline = time.monotonic() + patience_seconds
    while living := [log for log in request_logs(folder, gateway_id) if not log.is_finished()]:
        if time.monotonic() > deadline:
            for log in living:
                for pid in _writers(log.path):
                    os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + patience_seconds
        time.sleep(0.02)


def _writers(path: Path) -> list[int]:
    """Return the processes whose standard output is this file."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if entry.samefile(path):
                found.append(int(entry.parts[2]))
        except OSError:
            continue  # it ended, or it is not ours to look at
    return found
