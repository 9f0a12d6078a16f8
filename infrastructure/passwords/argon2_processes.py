"""The processes that hash: started when first needed, replaced when they end.

A process instead of a thread, because only a process can have a lower priority than the one that
answers requests. A password reaches it through a pipe and is neither an argument nor logged.
"""

import contextlib
import json
import queue
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import structlog

WORKER = Path(__file__).with_name("argon2_worker.py")
ANSWER_SECONDS_MAX = 60.0
END_SECONDS_MAX = 5.0
PATIENCE_SECONDS = 1.0
"""So long a hash may go without a processor that nobody else wants."""

log = structlog.get_logger()


class NobodyAnswers(Exception):
    """Two processes in a row ended, or hung, over one question."""


class HashingProcesses:
    """A few processes; each answers one thread at a time. Used from threads, never from a loop.

    Without patience a hash never has the lowest priority.
    """

    def __init__(self, number: int, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.number = number
        self._patience_seconds = patience_seconds
        self._idle: queue.LifoQueue[_HashingProcess] = queue.LifoQueue()
        self._all = [_HashingProcess() for _ in range(number)]
        for process in self._all:
            self._idle.put(process)

    def ask(self, question: dict[str, Any]) -> str | bool:
        """Return the answer of whichever process is free first; raises `NobodyAnswers`."""
        with self._one() as process:
            return process.ask({**question, "patience_seconds": self._patience_seconds})

    def pids(self) -> list[int]:
        """Return the ids of the processes that have been started."""
        return [process.pid for process in self._all if process.pid]

    def close(self) -> None:
        """End the processes; what they were asked meanwhile is not answered."""
        for process in self._all:
            process.close()

    @contextlib.contextmanager
    def _one(self) -> "Iterator[_HashingProcess]":
        process = self._idle.get()
        try:
            yield process
        finally:
            self._idle.put(process)


class _HashingProcess:
    """One of them, as its parent sees it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._asking = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def ask(self, question: dict[str, Any]) -> str | bool:
        line = json.dumps(question).encode() + b"\n"
        with self._asking:
            for _ in range(2):
                process = self._running()
                try:
                    return _ask(process, line)
                except OSError:
                    log.warning("a process that hashes passwords was lost", pid=process.pid)
                    _end(process)
        raise NobodyAnswers

    def close(self) -> None:
        self._closed = True
        if self._process is not None:
            self._process.kill()  # so whoever asks notices, and lets go
        with self._asking:
            if self._process is not None:
                _end(self._process)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise NobodyAnswers
        if self._process is not None and self._process.poll() is not None:
            _end(self._process)
            self._process = None
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
            )
        return self._process


def _ask(process: subprocess.Popen[bytes], line: bytes) -> str | bool:
    """Raise `OSError` when it ended, or does not answer in time."""
    asked, answered = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    asked.write(line)
    asked.flush()
    poll = select.poll()
    poll.register(answered, select.POLLIN)
    if not poll.poll(ANSWER_SECONDS_MAX * 1000):
        raise TimeoutError
    text = answered.readline()
    if not text.endswith(b"\n"):
        raise ConnectionResetError
    return cast("str | bool", json.loads(text))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it for sure, and close its pipes; harmless to repeat."""
    process.kill()
    process.wait(END_SECONDS_MAX)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
