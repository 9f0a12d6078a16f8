"""How many people sign in per second, and what that does to everybody else.

200 people sign in again and again, with the passwords hashed as in production; who is told to
come back does. Meanwhile somebody reads, one request after the other, from another process. The
yardstick, in turns with it, is the same reading when nobody signs in. Two more crowds tell what of
the difference is what: one guesses, so nothing but hashing comes of it (who signs in has a session
afterwards, of which every view hears); and one sends no password, so nothing is even hashed.
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
ROUNDS = 3
SECONDS = 8.0
PLENTY = "1000000"
EMAIL = "bench@example.com"
GUESS = "nobody has this one"


@dataclass
class Reading:
    """What one kind of round saw."""

    times: list[float] = field(default_factory=list)
    hashed: int = 0
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
        hashed, told = people.communicate()[0].split()
    into.hashed += int(hashed)
    into.told_to_come_back += int(told)


async def crowd(url: str, password: str) -> tuple[int, int]:
    """Sign in for a round; return how often that was hashed, and how often put off or refused."""
    counts = {200: 0, 401: 0, 422: 0, 503: 0}
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
    return counts[200] + counts[401], counts[422] + counts[503]


def wait_until_nobody_waits(client: httpx.Client) -> None:
    """Sign in behind everybody whose password is still to be hashed."""
    while (
        client.post("/v1/auth/login", json={"email": EMAIL, "password": PASSWORD}).status_code
        != httpx.codes.OK
    ):
        time.sleep(1)


def measure(platform: Platform, headers: dict[str, str]) -> str:
    """Return the line."""
    alone, without = Reading(), Reading()
    guesses, sign_ins = Reading(), Reading()
    with httpx.Client(base_url=platform.api_url, timeout=120, headers=headers) as client:
        read(client, Reading())
        for _ in range(ROUNDS):
            read(client, alone)
            read_beside(client, without, [platform.api_url, ""])
            for into, password in ((guesses, GUESS), (sign_ins, PASSWORD)):
                read_beside(client, into, [platform.api_url, password])
                wait_until_nobody_waits(client)
    per_second = sign_ins.hashed / ROUNDS / (SECONDS + 3)
    return (
        f"logins: {per_second:.1f}/s, {sign_ins.told_to_come_back} times told to come back;"
        f" p50 and p99 of a read {sign_ins}, beside guesses {guesses}, beside sign-ins without"
        f" a password {without}, alone {alone}: p99 {sign_ins.p99 / alone.p99:.2f} x,"
        f" beside guesses {guesses.p99 / alone.p99:.2f} x"
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
