"""Argon2id (RFC 9106), a few at a time.

A flood of sign-ins queues here and nowhere else: at most `parallel` hashes run, at most
`waiting_max` wait, the next one is told to come back. Whoever will need a hash takes a place
before anything else, so that a flood does not queue for the database either.
"""

import asyncio
import contextlib
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.kernel.errors import LimitReached

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
        parallel: int = 2,
        waiting_max: int = 50,
    ) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="argon2")
        self._inside = 0
        self._inside_max = parallel + waiting_max
        self._nobody = self._hasher.hash("the password of nobody")

    async def hash(self, password: str) -> str:
        """Return the PHC string; raises `Busy`."""
        return await self._run(self._hasher.hash, _normal(password))

    async def verify(self, password: str, kept: str | None) -> bool:
        """Tell whether it is the right one, in the same time for nobody's; raises `Busy`."""
        return await self._run(self._matches, _normal(password), kept)

    def is_outdated(self, kept: str) -> bool:
        """Tell whether hashes are made with other parameters today."""
        return self._hasher.check_needs_rehash(kept)

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password: str, kept: str | None) -> bool:
        try:
            self._hasher.verify(kept or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return bool(kept)

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue; raises `Busy` when there is none."""
        if self._inside >= self._inside_max:
            raise Busy
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


def _normal(password: str) -> bytes:
    # Half a character (a lone surrogate) is just another password that nobody has.
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
