"""Counters in Redis or Valkey: one script, so one atomic step and one round trip per request.

When Redis is away nobody is refused for that reason: the process counts for itself until Redis is
back. With N processes a limit may then be exceeded up to N times, which the limits' headers do not
hide: they show the process's own count.
"""

import time
from collections import OrderedDict

import structlog
from prometheus_client import Counter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from infrastructure.counters import Standing

# A window that is full takes no more, so that knocking on does not lengthen anything.
SCRIPT = """
local used = tonumber(redis.call('GET', KEYS[1]) or '0')
local left = redis.call('PTTL', KEYS[1])
local limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if left <= 0 then
    used = 0
    left = window
end
if cost > 0 then
    if used + cost > limit then
        return {limit + 1, left}
    end
    if used == 0 then
        redis.call('SET', KEYS[1], cost, 'PX', window)
    else
        redis.call('INCRBY', KEYS[1], cost)
    end
elseif cost < 0 and used > 0 then
    cost = -math.min(used, -cost)
    redis.call('INCRBY', KEYS[1], cost)
elseif cost < 0 then
    cost = 0
end
return {used + cost, left}
"""

NAMES_MAX = 100_000
PREFIX = "tallyport:rate:"

AWAY = Counter("tallyport_counters_away_total", "Requests counted without the shared counters")

log = structlog.get_logger()


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

    async def count(self, name: str, *, limit: int, window_seconds: int, cost: int) -> Standing:
        """Add `cost` to the window of `name` and return where it stands."""
        now = time.monotonic()
        if now >= self._away_until:
            try:
                used, left = await self._script(
                    keys=[PREFIX + name], args=[limit, window_seconds * 1000, cost]
                )
                return Standing(limit=limit, used=int(used), reset_seconds=int(left) / 1000)
            except (RedisError, OSError) as error:
                # Ask again in a moment: a dead server must not make every request wait for it.
                self._away_until = now + self._pause_seconds
                log.warning("counters away, counting alone", error=str(error))
        AWAY.inc()
        return self._own.count(name, limit=limit, window_seconds=window_seconds, cost=cost, now=now)

    async def check(self) -> None:
        """Raise unless Redis answers."""
        await self._redis.ping()

    async def close(self) -> None:
        """Let go of the connections."""
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
