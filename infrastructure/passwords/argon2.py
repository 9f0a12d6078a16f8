"""Argon2id (RFC 9106), a few at a time, by processes that leave the processor to everybody else.

A flood of sign-ins queues here and nowhere else: as many hashes run as there are processes, at most
`waiting_max` wait, the next one is told to come back. Whoever will need a hash takes a place
before anything else, so that a flood does not queue for the database either.
"""

import asyncio
import base64
import contextlib
import math
import os
import time
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TypeVar

from argon2 import PasswordHasher

from domain.kernel.errors import LimitReached
from infrastructure.passwords.argon2_processes import HashingProcesses, NobodyAnswers

RETRY_AFTER_SECONDS_MAX = 60
AVERAGE_OVER = 10
"""About so many of the last hashes tell how long one takes."""

Result = TypeVar("Result")

_has_place: ContextVar[bool] = ContextVar("has_place", default=False)


class Busy(LimitReached):
    """Too many people are signing in at this moment; try again in a few seconds."""


class Argon2Passwords:
    """Hashes with the given memory (KiB), passes and lanes."""

    def __init__(
        self,
        *,
        memory_kib: int,
        passes: int,
        lanes: int,
        processes: HashingProcesses,
        waiting_max: int = 50,
    ) -> None:
        self._parameters = {"memory_kib": memory_kib, "passes": passes, "lanes": lanes}
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        self._processes = processes
        self._threads = ThreadPoolExecutor(processes.number, thread_name_prefix="argon2")
        self._inside = 0
        self._inside_max = processes.number + waiting_max
        self._seconds_each = 0.2
        self._nobody = _hash_of_nothing(self._hasher)

    async def hash(self, password: str) -> str:
        """Return the PHC string; raises `Busy`."""
        return str(await self._run(self._hash, password))

    async def verify(self, password: str, kept: str | None) -> bool:
        """Tell whether it is the right one, in the same time for nobody's; raises `Busy`."""
        return await self._run(self._matches, password, kept)

    def is_outdated(self, kept: str) -> bool:
        """Tell whether hashes are made with other parameters today."""
        return self._hasher.check_needs_rehash(kept)

    def close(self) -> None:
        """Stop the threads; the processes are whose they were."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _hash(self, password: str) -> str | bool:
        return self._ask(password, None)

    def _matches(self, password: str, kept: str | None) -> bool:
        return self._ask(password, kept or self._nobody) is True and bool(kept)

    def _ask(self, password: str, kept: str | None) -> str | bool:
        question = {"password": _normal(password).hex(), "kept": kept, **self._parameters}
        began = time.monotonic()
        try:
            answer = self._processes.ask(question)
        except NobodyAnswers:
            raise Busy from None
        self._seconds_each += (time.monotonic() - began - self._seconds_each) / AVERAGE_OVER
        return answer

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue; raises `Busy` when there is none."""
        if self._inside >= self._inside_max:
            seconds = math.ceil(self._inside * self._seconds_each / self._processes.number)
            raise Busy(retry_after_seconds=min(max(1, seconds), RETRY_AFTER_SECONDS_MAX))
        self._inside += 1
        token = _has_place.set(True)
        try:
            yield
        finally:
            _has_place.reset(token)
            self._inside -= 1

    async def _run(self, work: Callable[..., Result], *arguments: object) -> Result:
        with contextlib.nullcontext() if _has_place.get() else self.place():
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, work, *arguments)


def _hash_of_nothing(hasher: PasswordHasher) -> str:
    """Return what looks like a hash, and takes as long to compare with, but is of no password."""
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, result = (
        base64.b64encode(os.urandom(length)).decode().rstrip("=")
        for length in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2id$v=19${cost}${salt}${result}"


def _normal(password: str) -> bytes:
    # Half a character (a lone surrogate) is just another password that nobody has.
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
