"""How often one may ask: four classes of requests, counted per key, user or address."""

import math
import re
import time
from dataclasses import dataclass

from api.errors import TooManyRequests
from api.services import Options
from infrastructure.counters import Counters, Standing

WINDOW_SECONDS = 60
READING = frozenset({"GET", "HEAD", "OPTIONS"})

TAKES_A_PASSWORD = re.compile(r"/v1/user(?:/password|/2fa(?:/.*)?)?")
"""Who holds a stolen token may not guess faster there than a stranger at the front door."""

ASKED_OFTEN = "/v1/auth/device/token"
"""By devices, every few seconds, with a code that nobody can guess."""


@dataclass(frozen=True)
class Rate:
    """One class of requests and its limit per minute."""

    name: str
    limit: int


class Rates:
    """Counts requests."""

    def __init__(self, counters: Counters, options: Options) -> None:
        self._counters = counters
        self._auth = Rate("auth", options.rate_auth)
        self._deployments = Rate("deployments", options.rate_deployments)
        self._reads = Rate("reads", options.rate_reads)
        self._logs = Rate("logs", options.rate_logs)

    async def count(self, method: str, path: str, who: str) -> "Counted":
        """Count a request. Probes, metrics and documentation are shown their limit, not counted."""
        rate = self._rate_of(method, path)
        free = not path.startswith("/v1/") and path != "/token"
        standing = await self._counters.count(
            f"{rate.name}:{who}",
            limit=rate.limit,
            window_seconds=WINDOW_SECONDS,
            cost=0 if free else 1,
        )
        return Counted(rate, standing, free)

    def _rate_of(self, method: str, path: str) -> Rate:
        if path == ASKED_OFTEN:
            return self._reads
        if path.startswith("/v1/auth/") or path == "/token":
            return self._auth
        if method not in READING and TAKES_A_PASSWORD.fullmatch(path):
            return self._auth
        if path.startswith("/v1/") and path.endswith(("/logs", "/metrics")):
            return self._logs
        if method in READING:
            return self._reads
        return self._deployments


@dataclass(frozen=True)
class Counted:
    """Where the caller stands."""

    rate: Rate
    standing: Standing
    free: bool
    """Shown, but never refused."""

    def must_be_within(self) -> None:
        """Refuse what is over the limit."""
        if not self.free and not self.standing.allowed:
            raise TooManyRequests(
                f"At most {self.rate.limit} requests of this kind per minute.",
                headers={"Retry-After": str(max(1, math.ceil(self.standing.reset_seconds)))},
            )

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that every answer carries."""
        seconds = max(0, math.ceil(self.standing.reset_seconds))
        left, limit, name = self.standing.remaining, self.rate.limit, self.rate.name
        return [
            (b"x-ratelimit-limit", str(limit).encode()),
            (b"x-ratelimit-remaining", str(left).encode()),
            (b"x-ratelimit-reset", str(math.ceil(time.time() + seconds)).encode()),
            (b"ratelimit-policy", f'"{name}";q={limit};w={WINDOW_SECONDS}'.encode()),
            (b"ratelimit", f'"{name}";r={left};t={seconds}'.encode()),
        ]
