"""Keeps one replica of the process driver: starts it, writes its log, remembers how it ended.

A keeper is its own process without a parent (`python process_keeper.py FOLDER < launch.json`), so
a replica outlives the provisioner that asked for it. Its life is the lock on `FOLDER/lock`: whoever
gets that lock knows that no keeper runs, whatever process ids say. Standard library only, and no
import of ours, so that it starts in a few milliseconds and stays small.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

LOG_BYTES_MAX = 10 * 1024**2
LOG_FILES_MAX = 3
LINE_BYTES_MAX = 16 * 1024
READ_BYTES = 64 * 1024
FILES_MAX = 4_096
DATA_BYTES_MIN = 64 * 1024**2
GRACE_SECONDS_MAX = 600
LOCK_SECONDS_MAX = 1.0
LOCK, STATE, GRACE, LOG = "lock", "state.json", "grace", "log"
PR_SET_PDEATHSIG = 1


def main(folder: Path) -> int:
    """Run the replica described on standard input, until it ends or is told to."""
    launch = json.loads(sys.stdin.buffer.read())
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    if not is_mine(lock):
        return 0  # another keeper has this replica: nothing to do
    if not is_same_file(lock, folder / LOCK):
        return 0  # the replica was removed before its keeper came up
    if (folder / STATE).exists():
        return 0  # another keeper was here, and its replica ended: a folder is for one start
    if os.fork():
        return 0  # whoever started us need not wait for us: we have no parent any more
    os.setsid()
    return Keeper(folder, launch).run()


def is_mine(lock: int) -> bool:
    """Take the lock; not at the first try only, because somebody may just be looking at it."""
    deadline = time.monotonic() + LOCK_SECONDS_MAX
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        else:
            return True


def is_same_file(descriptor: int, path: Path) -> bool:
    """Return whether the open file still is the one at that path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


class Keeper:
    """One replica's parent."""

    def __init__(self, folder: Path, launch: dict[str, Any]) -> None:
        self.folder = folder
        self.launch = launch
        self.log = RotatingLog(folder / LOG)
        self.kill_at: float | None = None
        self.selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Start the child, and stay until it is gone and its last line is written."""
        self.state: dict[str, Any] = {
            "keeper": os.getpid(),
            "port": self.launch["port"],
            "started_at": time.time(),
        }
        wake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            self.child = subprocess.Popen(
                self.launch["argv"],
                env=self.launch["env"],
                cwd=self.launch.get("cwd") or self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=self._limit,  # noqa: PLW1509 - this process has one thread
            )
        except OSError as error:
            self.log.write("stderr", f"could not be started: {error}\n".encode())
            self._ended(127)
            return 0
        self._remember(pid=self.child.pid)
        self.selector.register(wake, selectors.EVENT_READ)
        for source, pipe in (("stdout", self.child.stdout), ("stderr", self.child.stderr)):
            self.selector.register(pipe or 0, selectors.EVENT_READ, source)
        while self.child.poll() is None:
            self._listen(timeout=self._seconds_to_kill())
            if self._seconds_to_kill() == 0:
                self._signal(signal.SIGKILL)
        self._signal(signal.SIGKILL)  # what the child left behind in its session
        while any(key.data for key in self.selector.get_map().values()):
            if not self._listen(timeout=0.2):
                break
        code = self.child.returncode
        self._ended(128 - code if code < 0 else code)
        return 0

    def _limit(self) -> None:
        data = max(self.launch["memory_bytes"], DATA_BYTES_MIN)
        limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, FILES_MAX)]
        if sys.platform == "linux":
            limits.append((resource.RLIMIT_DATA, data))
            # Not even `kill -9` of the keeper leaves the child behind.
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for limit, value in limits:
            _soft, hard = resource.getrlimit(limit)
            allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (allowed, allowed))

    def _listen(self, *, timeout: float | None) -> bool:
        ready = self.selector.select(timeout)
        for key, _ in ready:
            content = os.read(key.fd, READ_BYTES)
            if key.data is None:
                continue
            if content:
                self.log.write(key.data, content)
            else:
                self.log.end(key.data)
                self.selector.unregister(key.fileobj)
        return bool(ready)

    def _stop(self, *_: object) -> None:
        """Pass SIGTERM on; the grace is what the driver wrote beside the lock."""
        try:
            grace = float((self.folder / GRACE).read_text())
        except (OSError, ValueError):
            grace = 10.0
        self.kill_at = time.monotonic() + min(grace, GRACE_SECONDS_MAX)
        self._signal(signal.SIGTERM)

    def _seconds_to_kill(self) -> float | None:
        return None if self.kill_at is None else max(0.0, self.kill_at - time.monotonic())

    def _signal(self, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signum)

    def _ended(self, code: int) -> None:
        self._remember(exit_code=code, finished_at=time.time())

    def _remember(self, **facts: object) -> None:
        self.state.update(facts)
        new = self.folder / f"{STATE}.new"
        new.write_text(json.dumps(self.state))
        new.replace(self.folder / STATE)


class RotatingLog:
    """Lines as `<nanoseconds> <stdout|stderr> <text>`, in at most three files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial: dict[str, bytes] = {}
        self.last = 0
        self._open()

    def write(self, source: str, content: bytes) -> None:
        """Write the whole lines of what was read, keep the rest for later."""
        *lines, rest = (self.partial.get(source, b"") + content).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            lines, rest = [*lines, rest], b""
        self.partial[source] = rest
        if not lines:
            return
        # Time never goes back within a log: a reader resumes by it.
        self.last = max(time.time_ns(), self.last)
        head = f"{self.last} {source} ".encode()
        self.file.write(b"".join(head + piece + b"\n" for line in lines for piece in pieces(line)))
        self.file.flush()
        if self.file.tell() > LOG_BYTES_MAX:
            self._rotate()

    def end(self, source: str) -> None:
        """Write what came without a line's end."""
        if self.partial.get(source):
            self.write(source, b"\n")

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _open(self) -> None:
        self.file: IO[bytes] = self.path.open("ab")

    def _rotate(self) -> None:
        self.file.close()
        for age in range(LOG_FILES_MAX - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{age}")
            newer = self.path if age == 1 else self.path.with_name(f"{self.path.name}.{age - 1}")
            if newer.exists():
                newer.replace(older)
        self._open()


def pieces(line: bytes) -> list[bytes]:
    """Return a line as it is stored: whole, or in pieces when it is too long."""
    line = line.rstrip(b"\r")
    return [line[at : at + LINE_BYTES_MAX] for at in range(0, max(len(line), 1), LINE_BYTES_MAX)]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
