"""Counters in Redis or Valkey: one script, so one atomic step and one round trip.

Requests that come while the script runs are counted together by its next run, so that a crowd costs
few round trips and one request alone waits for nobody.

When Redis is away nobody is refused for that reason: the process counts for itself until Redis is
back. With N processes a limit may then be exceeded up to N times, which the limits' headers do not
hide: they show the process's own count.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import Counter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from infrastructure.counters import Standing
from infrastructure.ending import end

# Counts for many at once. A window that is full takes no more, so that knocking on does not
# lengthen anything.
SCRIPT = """
local standings = {}
for number, key in ipairs(KEYS) do
    local used = tonumber(redis.call('GET', key) or '0')
    local left = redis.call('PTTL', key)
    local limit, window = tonumber(ARGV[3 * number - 2]), tonumber(ARGV[3 * number - 1])
    local cost = tonumber(ARGV[3 * number])
    if left <= 0 then
        used = 0
        left = window
    end
    if cost > 0 and used + cost > limit then
        used = limit + 1
    elseif cost > 0 then
        if used == 0 then
            redis.call('SET', key, cost, 'PX', window)
        else
            redis.call('INCRBY', key, cost)
        end
        used = used + cost
    elseif cost < 0 and used > 0 then
        cost = -math.min(used, -cost)
        redis.call('INCRBY', key, cost)
        used = used + cost
    end
    standings[number] = {used, left}
end
return standings
"""

TOGETHER_MAX = 100
"""Requests counted by one run of the script; the next run takes those that came meanwhile."""
NAMES_MAX = 100_000
PREFIX = "tallyport:rate:"

AWAY = Counter("tallyport_counters_away_total", "Requests counted without the shared counters")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Count:
    """One request that waits to be counted."""

    name: str
    limit: int
    window_seconds: int
    cost: int
    done: "asyncio.Future[Standing | None]"


class RedisCounters:
    """Counts in Redis; in this process's memory while Redis is away."""

    def __init__(
        self,
        url: str,
        *,
        answer_timeout_seconds: float = 1.0,
        queue_timeout_seconds: float = 5.0,
        pause_seconds: float = 1.0,
        connections_max: int = 32,
    ) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections_max,
            timeout=queue_timeout_seconds,  # a crowd of ours is not a server that is away
            socket_timeout=answer_timeout_seconds,
            socket_connect_timeout=answer_timeout_seconds,
            retry=Retry(NoBackoff(), retries=1),  # a connection of before a restart
        )
        self._redis = Redis(connection_pool=self._pool)
        self._script = self._redis.register_script(SCRIPT)
        self._pause_seconds = pause_seconds
        self._away_until = 0.0
        self._own = OwnCounters()
        self._waiting: list[_Count] = []
        self._counting: asyncio.Task[None] | None = None

    async def count(self, name: str, *, limit: int, window_seconds: int, cost: int) -> Standing:
        """Add `cost` to the window of `name` and return where it stands."""
        if time.monotonic() >= self._away_until:
            one = _Count(name, limit, window_seconds, cost, asyncio.Future())
            self._waiting.append(one)
            if self._counting is None or self._counting.done():
                self._counting = asyncio.create_task(self._count_all())
            standing = await one.done
            if standing is not None:
                return standing
        AWAY.inc()
        now = time.monotonic()
        return self._own.count(name, limit=limit, window_seconds=window_seconds, cost=cost, now=now)

    async def _count_all(self) -> None:
        """Count whoever waits, until nobody does."""
        while self._waiting:
            some = self._waiting[:TOGETHER_MAX]
            del self._waiting[:TOGETHER_MAX]
            for one, standing in zip(some, await self._ask(some), strict=True):
                if not one.done.done():  # whoever was counted may be gone by now
                    one.done.set_result(standing)

    async def _ask(self, some: Sequence[_Count]) -> list[Standing | None]:
        """Return where each stands; None while Redis is away."""
        try:
            answers = await self._script(
                keys=[PREFIX + one.name for one in some],
                args=[
                    number
                    for one in some
                    for number in (one.limit, one.window_seconds * 1000, one.cost)
                ],
            )
            return [
                Standing(limit=one.limit, used=int(used), reset_seconds=int(left) / 1000)
                for one, (used, left) in zip(some, answers, strict=True)
            ]
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            # Ask again in a moment: a dead server must not make every request wait for it.
            self._away_until = time.monotonic() + self._pause_seconds
            log.warning("counters away, counting alone", error=str(error))
            return [None] * len(some)

    async def check(self) -> None:
        """Raise unless Redis answers."""
        await self._redis.ping()

    async def close(self) -> None:
        """Let go of the connections."""
        if self._counting is not None:
            await end(self._counting)
        await self._redis.aclose()
        await self._pool.aclose()


class OwnCounters:
    """The same counting in memory, for this process alone. Bounded: the oldest names go first."""

    def __init__(self) -> None:
        self._windows: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def count(
        self, name: str, *, limit: int, window_seconds: int, cost: int, now: float
    ) -> Standing:
        """Count as the script does."""
        used, ends_at = self._windows.get(name, (0, 0.0))
        if ends_at <= now:
            used, ends_at = 0, now + window_seconds
        if cost > 0 and used + cost > limit:
            used = limit + 1
        elif cost:
            used = max(0, used + cost)
            self._windows[name] = (used, ends_at)
            self._windows.move_to_end(name)
            if len(self._windows) > NAMES_MAX:
                self._windows.popitem(last=False)
        return Standing(limit=limit, used=used, reset_seconds=ends_at - now, shared=False)
