"""Who guesses learns nothing from the work an answer takes, and slows nobody else down."""

import asyncio
import threading
from typing import Any

import httpx

from api.errors import problem_of
from infrastructure.passwords.argon2 import Argon2Passwords, Busy
from tests.api.conftest import Api
from tests.api.test_routes import is_problem
from tests.wiring import HASHING, PASSWORD

EMAIL = "anna@example.com"
TELLING = {"x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit"}
"""Headers that differ from one request to the next, whoever it is about."""


class Counting(Argon2Passwords):
    """The real thing, which also tells how often it was at work, and how often at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(memory_kib=64, passes=1, lanes=1, processes=HASHING, **options)
        self.hashed = 0
        self.at_once = 0
        self.at_once_max = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._counting = threading.Lock()

    async def hash(self, password: str) -> str:
        self.hashed += 1
        return await super().hash(password)

    def _matches(self, password: str, kept: str | None) -> bool:
        with self._counting:
            self.hashed += 1
            self.at_once += 1
            self.at_once_max = max(self.at_once_max, self.at_once)
        self.may_go_on.wait(60)
        with self._counting:
            self.at_once -= 1
        return super()._matches(password, kept)

    def since(self) -> int:
        """Return how often it was at work since it was asked last."""
        done, self.hashed = self.hashed, 0
        return done


def counting(api: Api, passwords: Counting, **options: Any) -> Api:
    """Return a process that hashes with these."""
    before, api.installation.passwords = api.installation.passwords, passwords
    another = api.another(**options)
    api.installation.passwords = before
    return another


def told(answer: httpx.Response) -> tuple[object, ...]:
    """Return all of an answer that could tell one case from another."""
    body = answer.json()
    body.pop("requestId", None)
    headers = {name: value for name, value in answer.headers.items() if name not in TELLING}
    return answer.status_code, body, headers


async def test_an_unknown_address_costs_the_same_work_as_a_wrong_password(api: Api) -> None:
    passwords = Counting()
    process = counting(api, passwords)
    await api.join()
    suspects = [EMAIL, EMAIL.upper(), "nobody@example.com", "not an address", "\u00e9" * 30]
    for path, kind in (("/v1/auth/login", "json"), ("/token", "data")):
        name = "email" if kind == "json" else "username"
        answers = []
        for email in suspects:
            sent: Any = {kind: {name: email, "password": "a wrong guess"}}
            answers.append(await process.client.post(path, **sent))
            assert passwords.since() == 1, (path, email)
        assert is_problem(answers[0], 401)
        assert all(told(answer) == told(answers[0]) for answer in answers)
    await process.close()
    passwords.close()


async def test_an_account_that_may_not_sign_in_costs_the_same_work_too(api: Api) -> None:
    passwords = Counting()
    process = counting(api, passwords, verify_email=True)
    body = {"username": "anna", "email": EMAIL, "password": PASSWORD, "confirmPassword": PASSWORD}
    assert (await process.nobody.post("/v1/auth/register", body)).json()["status"] == "pending"
    assert passwords.since() == 1
    answers = []
    for password in (PASSWORD, "a wrong guess"):
        sent = {"email": EMAIL, "password": password}
        answers.append(await process.nobody.post("/v1/auth/login", sent))
        assert passwords.since() == 1
    assert told(answers[0]) == told(answers[1])

    taken = {**body, "username": "berta"}  # with the address of somebody else
    assert (await process.nobody.post("/v1/auth/register", taken)).status_code == 201
    assert passwords.since() == 1
    await process.close()
    passwords.close()


async def test_what_asks_for_a_mail_is_never_answered_before_the_time_it_always_takes(
    api: Api,
) -> None:
    passwords = Counting()
    process = counting(api, passwords, even_answer_seconds=0.2)
    await api.join()
    loop = asyncio.get_running_loop()
    for path in ("/v1/auth/forgot-password", "/v1/auth/verify-email/resend"):
        answers = []
        for email in (EMAIL, "nobody@example.com"):
            began = loop.time()
            answers.append(await process.nobody.post(path, {"email": email}))
            assert loop.time() - began > 0.19
        assert answers[0].status_code == 202
        assert told(answers[0]) == told(answers[1])
    assert passwords.since() == 0
    await process.close()
    passwords.close()


async def test_guesses_that_are_sent_all_at_once_are_counted_one_by_one(api: Api) -> None:
    passwords = Counting()
    process = counting(api, passwords, guesses_per_network=100, guesses_per_account=5)
    await api.join("swarmed")
    email = "swarmed@example.com"  # which no other test has guessed at

    async def guess(number: int) -> int:
        address = (f"198.51.100.{number}", 50000)
        transport = httpx.ASGITransport(process.app, client=address)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            written = email if number % 2 else email.upper()
            body = {"email": written, "password": f"guess {number}"}
            return (await client.post("/v1/auth/login", json=body)).status_code

    statuses = await asyncio.gather(*(guess(number) for number in range(1, 31)))
    assert (statuses.count(401), statuses.count(429)) == (5, 25)
    assert passwords.since() == 5
    await process.close()
    passwords.close()


async def test_of_a_flood_of_sign_ins_two_are_at_work_and_every_other_route_is_served(
    api: Api,
) -> None:
    passwords = Counting(waiting_max=10)
    process = counting(api, passwords)
    anna = await api.join()
    passwords.may_go_on.clear()
    body = {"email": EMAIL, "password": "a wrong guess"}
    flood = [asyncio.create_task(process.nobody.post("/v1/auth/login", body)) for _ in range(40)]
    refused: set[asyncio.Task[httpx.Response]] = set()
    async with asyncio.timeout(60):
        while len(refused) < 28:  # all but the two at work and the ten behind them
            waiting = [task for task in flood if task not in refused]
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            refused |= done
        for path in ("/v1/user/profile", "/v1/deployments", "/v1/api-keys", "/health/ready"):
            served = await process.client.get(path, headers=anna.headers)
            assert served.status_code == 200, path
    passwords.may_go_on.set()
    answers = await asyncio.gather(*flood)
    assert [answer.status_code for answer in answers].count(401) == 12
    for task in refused:
        answer = task.result()
        assert is_problem(answer, problem_of(Busy()).status)
        assert answer.json()["error"]["code"] == "busy"
        assert int(answer.headers["retry-after"]) > 0
    assert passwords.at_once_max == 2
    await process.close()
    passwords.close()
