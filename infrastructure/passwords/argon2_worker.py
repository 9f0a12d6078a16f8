"""Hashes passwords for another process, when the processor has nothing better to do.

A program of its own (`python -I argon2_worker.py`): a question is a line of JSON on standard input,
its answer a line on standard output. It ends when its input does, which is when its parent ends,
however that ends.

Each hash is made by a child of the lowest priority. On a machine that always has something better
to do it would never end, and nobody could sign in; so after some patience another child does it
with a low one, which gets a share. (A priority cannot be raised again without privileges; a new
child can have it.)
"""

import contextlib
import ctypes
import json
import os
import platform
import resource
import select
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LOWEST = 19
LOW = 10
"""Linux gives it a tenth of what a process of normal priority gets."""
AUTOGROUP = Path("/proc/self/autogroup")
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""The number of the system call sched_setattr(2), for which there is no function in Python."""
SLICE_NANOSECONDS = 100_000
"""The least that Linux grants (6.12 and later; an older one does not mind being asked)."""
ATTEMPTS = 5
ATTEMPT_SECONDS = 0.05
ANSWER_BYTES_MAX = 4096


def main() -> int:
    """Answer until nobody can ask any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes the pipe
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a password in memory goes to no file
    for line in sys.stdin.buffer:
        question = json.loads(line)
        text = patiently(question) or by_a_child(question, steps_back=False, seconds_max=None)
        if not text:
            return 1
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    return 0


def patiently(question: dict[str, Any]) -> str:
    """Return the answer of a child that steps back, or nothing when that takes too long."""
    seconds = question["patience_seconds"]
    return by_a_child(question, steps_back=True, seconds_max=seconds) if seconds else ""


def by_a_child(question: dict[str, Any], *, steps_back: bool, seconds_max: float | None) -> str:
    """Return the answer as JSON, or nothing when there was none in time."""
    answers, to_parent = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.closerange(0, to_parent)  # nobody waits for it when its parent is gone
            if steps_back:
                step_back()
            else:
                os.nice(LOW)
            os.write(to_parent, json.dumps(answer(question)).encode())
        finally:
            os._exit(0)
    os.close(to_parent)
    in_time, _, _ = select.select([answers], [], [], seconds_max)
    text = os.read(answers, ANSWER_BYTES_MAX) if in_time else b""
    os.close(answers)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return text.decode()


def step_back() -> None:
    """Let everything else have the processor first, by every means that there is here."""
    # Linux may weigh sessions against each other (autogroup): within its parent's, a low priority
    # would count against the parent only, so this has one of its own, of low priority as a whole.
    os.setsid()
    lower_session()
    os.nice(LOWEST)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        shorten_slice()


def lower_session() -> None:
    """Give the session the lowest weight, where Linux weighs sessions."""
    for _ in range(ATTEMPTS):
        try:
            AUTOGROUP.write_text(str(LOWEST))
        except BlockingIOError:  # not as root: once in a tenth of a second, on the whole machine
            time.sleep(ATTEMPT_SECONDS)
        except OSError:
            return
        else:
            return


def shorten_slice() -> None:
    """Let whoever wakes up have the processor at once.

    Linux lets a process finish its slice (3 ms) before another one of its policy gets the
    processor. SCHED_IDLE is no way out: it holds within a session only, and makes others prefer
    to wake up just where this runs. docs/benchmarks.md has what was measured.
    """
    if call := SCHED_SETATTR.get(platform.machine()):
        size = 48
        attributes = struct.pack(
            "=IIQiIQQQ", size, os.SCHED_BATCH, 0, LOWEST, 0, SLICE_NANOSECONDS, 0, 0
        )
        ctypes.CDLL(None).syscall(call, 0, ctypes.create_string_buffer(attributes), 0)


def answer(question: dict[str, Any]) -> str | bool:
    """Return a hash, or whether the password is the one of the hash that is kept."""
    password = bytes.fromhex(question["password"])
    hasher = PasswordHasher(
        memory_cost=question["memory_kib"],
        time_cost=question["passes"],
        parallelism=question["lanes"],
    )
    kept = question["kept"]
    if kept is None:
        return hasher.hash(password)
    try:
        return hasher.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


if __name__ == "__main__":
    sys.exit(main())
