"""Whether the time of a refusal says anything about how near a guess was.

Three pairs of refusals, asked in turn: a sign-in with an address that has an account and with one
that has none; at the API and at the gateway, a key that is right but for its end, and one that is
wrong from the start. If the time says nothing, the two of a pair are two samples of one
distribution: Mann-Whitney's U (Ann. Math. Statist. 18, 1947) then gives a p that is small only by
chance. The yardstick is the noise itself: the difference of the medians against the distance
between quartiles.
"""

import itertools
import math
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from domain.api_keys.values import (
    BASE62,
    PREFIX,
    PREFIX_LENGTH,
    SECRET_LENGTH,
    assemble_key,
)
from tests.platform import Person, Platform

SIGN_INS = 150
KEYS = 1_000
PLENTY = "1000000"
WRONG_END = 4
"""So many characters of the near guess are wrong. Its checksum fits: how it is made is public."""


def times(ask: Sequence[Callable[[], httpx.Response]], number: int) -> list[list[float]]:
    """Return the milliseconds of each, asked in turn, the first few forgotten."""
    taken: list[list[float]] = [[] for _ in ask]
    for turn in range(number + number // 10):
        for at, one in enumerate(ask):
            began = time.perf_counter()
            answer = one()
            took = time.perf_counter() - began
            if answer.status_code != httpx.codes.UNAUTHORIZED:
                raise SystemExit(f"not refused: {answer.status_code} {answer.text}")
            if turn >= number // 10:
                taken[at].append(took * 1000)
    return taken


def mann_whitney(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the two-sided p by the normal approximation; times are never quite equal."""
    ordered = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    ranks = sum(rank for rank, (_, which) in enumerate(ordered, start=1) if which == 0)
    n, m = len(one), len(other)
    u = ranks - n * (n + 1) / 2
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))


def compared(name: str, pair: Sequence[Sequence[float]]) -> str:
    """Return what there is to say of one pair."""
    one, other = pair
    apart = statistics.median(one) - statistics.median(other)
    lower, _, upper = statistics.quantiles([*one, *other], n=4)
    return (
        f"{name} {statistics.median(one):.2f} and {statistics.median(other):.2f} ms,"
        f" {abs(apart) / (upper - lower):.2f} of the quartiles' distance,"
        f" p {mann_whitney(one, other):.2f}"
    )


def guesses(url: str, path: str, key: str) -> list[Callable[[], httpx.Response]]:
    """Return how to ask with a nearly right key, a new one each time, and with a wrong one."""
    client = httpx.Client(base_url=url, timeout=60)

    def ask(text: str) -> httpx.Response:
        return client.get(path, headers={"X-API-Key": text})

    public, secret = key[len(PREFIX) : PREFIX_LENGTH], key[PREFIX_LENGTH:][:SECRET_LENGTH]

    def guess(right: int) -> str:
        rest = "".join(secrets.choice(BASE62) for _ in range(SECRET_LENGTH - right))
        return assemble_key(public, secret[:right] + rest)

    # Made beforehand: to make one takes the longer, the more of it is wrong.
    near = iter([guess(SECRET_LENGTH - WRONG_END) for _ in range(2 * KEYS)])
    wrong = iter([guess(0) for _ in range(2 * KEYS)])
    return [lambda: ask(next(near)), lambda: ask(next(wrong))]


def measure(platform: Platform) -> str:
    """Return the line."""
    person = Person(platform, "bench")
    person.deploy("timing")
    key = str(person.create_key()["apiKey"])
    client = httpx.Client(base_url=platform.api_url, timeout=60)
    strangers = (f"s{number:04}@example.com" for number in itertools.count())

    def sign_in(email: str) -> httpx.Response:
        body = {"email": email, "password": "wrong battery horse staple"}
        return client.post("/v1/auth/login", json=body)

    signing = [lambda: sign_in("bench@example.com"), lambda: sign_in(next(strangers))]
    gateway = f"http://127.0.0.1:{platform.gateway_port}"
    lines = [
        compared("sign-in with and without account", times(signing, SIGN_INS)),
        compared(
            "near and wrong key at the API",
            times(guesses(platform.api_url, "/v1/deployments", key), KEYS),
        ),
        compared("at the gateway", times(guesses(gateway, "/timing/", key), KEYS)),
    ]
    person.close()
    return "timing: " + "; ".join(lines)


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
            print(measure(platform))


if __name__ == "__main__":
    main()
