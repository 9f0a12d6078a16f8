"""How many people sign in per second, and what that does to everybody else.

200 people sign in at once, with the passwords hashed as in production; who is told to come back
does. Meanwhile somebody reads, one request after the other. The yardstick is the same reading
when nobody signs in.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from tests.platform import PASSWORD, Person, Platform

LOGINS = 200
QUIET_SECONDS = 5.0
PLENTY = "1000000"


async def read(
    client: httpx.AsyncClient, headers: dict[str, str], stop: asyncio.Event
) -> tuple[float, int]:
    """Read until told to stop; return the 99th percentile in milliseconds, and the refusals."""
    times, refused = [], 0
    while not stop.is_set():
        began = time.perf_counter()
        answer = await client.get("/v1/deployments", headers=headers)
        refused += answer.status_code != 200
        times.append(time.perf_counter() - began)
    return statistics.quantiles(times, n=100)[98] * 1000, refused


async def sign_in(client: httpx.AsyncClient, email: str) -> int:
    """Sign in, however often that takes; return how often one was told to come back."""
    told = 0
    while True:
        answer = await client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
        if answer.status_code != 503:
            answer.raise_for_status()
            return told
        told += 1
        await asyncio.sleep(float(answer.headers["retry-after"]))


async def measure(platform: Platform, email: str, headers: dict[str, str]) -> str:
    """Return the line."""
    limits = httpx.Limits(max_connections=LOGINS + 10, max_keepalive_connections=0)
    async with (
        httpx.AsyncClient(base_url=platform.api_url, timeout=120, limits=limits) as crowd,
        httpx.AsyncClient(base_url=platform.api_url, timeout=120) as reader,
    ):
        stop = asyncio.Event()
        reading = asyncio.create_task(read(reader, headers, stop))
        await asyncio.sleep(QUIET_SECONDS)
        stop.set()
        quiet, _ = await reading
        stop.clear()
        reading = asyncio.create_task(read(reader, headers, stop))
        began = time.perf_counter()
        told = await asyncio.gather(*(sign_in(crowd, email) for _ in range(LOGINS)))
        seconds = time.perf_counter() - began
        stop.set()
        busy, refused = await reading
    return (
        f"logins: {LOGINS / seconds:.1f}/s, {sum(told)} times told to come back; p99 of a read"
        f" {busy:.1f} ms, {busy / quiet:.2f} x that without ({quiet:.1f} ms); {refused} refused"
    )


def main() -> None:
    """Measure and print one line."""
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder) / "home")
        platform.environment |= {
            "TALLYPORT_GUESSES_PER_NETWORK": PLENTY,
            "TALLYPORT_GUESSES_PER_ACCOUNT": PLENTY,
            "TALLYPORT_RATE_AUTH": PLENTY,
            "TALLYPORT_RATE_READS": PLENTY,
        }
        with platform:
            person = Person(platform, "bench")
            headers = {"Authorization": person.api.headers["Authorization"]}
            print(asyncio.run(measure(platform, "bench@example.com", headers)))
            person.close()


if __name__ == "__main__":
    main()
