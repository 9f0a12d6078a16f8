"""How many people sign in per second, and what that does to everybody else.

200 people sign in again and again, with the passwords hashed as in production; who is told to
come back does. Meanwhile somebody reads, one request after the other, from another process. There
are two yardsticks, in turns with it: the same reading when nobody signs in; and while as many
people send as many sign-ins without a password, which are refused before anything is hashed. What
the second one moves is not hashing, but the crowd and its requests on the same processors.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.platform import PASSWORD, Person, Platform

LOGINS = 200
ROUNDS = 4
SECONDS = 8.0
PLENTY = "1000000"
EMAIL = "bench@example.com"


@dataclass
class Reading:
    """What one kind of round saw."""

    times: list[float] = field(default_factory=list)
    signed_in: int = 0
    told_to_come_back: int = 0

    @property
    def p99(self) -> float:
        """Return the 99th percentile in milliseconds."""
        return statistics.quantiles(self.times, n=100)[98] * 1000

    def __str__(self) -> str:
        return f"{statistics.median(self.times) * 1000:.1f} and {self.p99:.1f} ms"


def read(client: httpx.Client, into: Reading) -> None:
    """Read for the seconds of a round."""
    deadline = time.perf_counter() + SECONDS
    while time.perf_counter() < deadline:
        began = time.perf_counter()
        client.get("/v1/deployments").raise_for_status()
        into.times.append(time.perf_counter() - began)


def read_beside(client: httpx.Client, into: Reading, crowd: list[str]) -> None:
    """Read while a crowd is at it."""
    arguments = [sys.executable, "-m", "benchmarks.logins", *crowd]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as people:
        time.sleep(2.0)  # it imports, connects and fills the queue
        read(client, into)
        signed_in, told = people.communicate()[0].split()
    into.signed_in += int(signed_in)
    into.told_to_come_back += int(told)


async def crowd(url: str, password: str) -> tuple[int, int]:
    """Sign in for a round; return how often that went well, and how often it was for later."""
    counts = {200: 0, 422: 0, 503: 0}
    body = {"email": EMAIL} | ({"password": password} if password else {})
    limits = httpx.Limits(max_connections=LOGINS, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:

        async def sign_in() -> None:
            while True:
                answer = await client.post("/v1/auth/login", json=body)
                counts[answer.status_code] += 1
                await asyncio.sleep(
                    float(answer.headers.get("retry-after", "0" if password else "10"))
                )

        people = [asyncio.create_task(sign_in()) for _ in range(LOGINS)]
        await asyncio.wait(people, timeout=SECONDS + 3, return_when=asyncio.FIRST_EXCEPTION)
        for task in people:
            task.cancel()
        await asyncio.wait(people)
    return counts[200], counts[422] + counts[503]


def measure(platform: Platform, headers: dict[str, str]) -> str:
    """Return the line."""
    quiet, refused, busy = Reading(), Reading(), Reading()
    with httpx.Client(base_url=platform.api_url, timeout=120, headers=headers) as client:
        read(client, Reading())
        for _ in range(ROUNDS):
            read(client, quiet)
            read_beside(client, refused, [platform.api_url, ""])
            read_beside(client, busy, [platform.api_url, PASSWORD])
    per_second = busy.signed_in / ROUNDS / (SECONDS + 3)
    return (
        f"logins: {per_second:.1f}/s, {busy.told_to_come_back} times told to come back;"
        f" p50 and p99 of a read {busy}, with {refused.told_to_come_back} refused instead"
        f" {refused}, alone {quiet}:"
        f" p99 {busy.p99 / refused.p99:.2f} x, {busy.p99 / quiet.p99:.2f} x"
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
            print(measure(platform, {"Authorization": person.api.headers["Authorization"]}))
            person.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(*asyncio.run(crowd(sys.argv[1], sys.argv[2])))
    else:
        main()
