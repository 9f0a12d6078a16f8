import asyncio
import re
import time

import httpx

from infrastructure.counters.redis import RedisCounters
from tests.api.conftest import Api
from tests.api.test_routes import is_problem

HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit")


async def test_each_kind_of_request_has_its_own_limit_and_tells_it(api: Api) -> None:
    maker = await api.join()
    deployment_id = await maker.deploy()
    await maker.get("/v1/deployments")
    anna = await maker.with_key("deployments:read", "deployments:write", "logs:read")
    strict = api.another(rate_auth=2, rate_deployments=3, rate_reads=4, rate_logs=5)
    for limit, method, path, name in (
        (3, "POST", f"/v1/deployments/{deployment_id}/start", "deployments"),
        (4, "GET", "/v1/deployments", "reads"),
        (5, "GET", f"/v1/deployments/{deployment_id}/logs", "logs"),
        (2, "POST", "/v1/auth/refresh", "auth"),
    ):
        left = []
        for _ in range(limit + 1):
            answer = await strict.client.request(method, path, headers=anna.headers)
            left.append(int(answer.headers["x-ratelimit-remaining"]))
            assert answer.headers["x-ratelimit-limit"] == str(limit)
            assert answer.headers["ratelimit-policy"] == f'"{name}";q={limit};w=60'
            assert re.fullmatch(rf'"{name}";r=\d+;t=\d+', answer.headers["ratelimit"])
            assert 0 <= int(answer.headers["x-ratelimit-reset"]) - time.time() <= 62
        assert is_problem(answer, 429)
        assert left == sorted(left, reverse=True)
        assert left[-1] == 0
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    await strict.close()


async def test_whatever_takes_a_password_is_counted_with_the_sign_ins(api: Api) -> None:
    anna = await api.join()
    strict = api.another(rate_auth=7)
    for method, path in (
        ("POST", "/v1/auth/step-up"),
        ("PUT", "/v1/user/password"),
        ("POST", "/v1/user/2fa"),
        ("DELETE", "/v1/user/2fa"),
        ("POST", "/v1/user/2fa/confirm"),
        ("POST", "/v1/user/2fa/recovery-codes"),
        ("DELETE", "/v1/user"),
    ):
        answer = await strict.client.request(method, path, headers=anna.headers)
        assert answer.headers["ratelimit-policy"] == '"auth";q=7;w=60', path
    refused = await strict.client.request("DELETE", "/v1/user", headers=anna.headers)
    assert is_problem(refused, 429)
    looking = await strict.client.request("GET", "/v1/user/2fa", headers=anna.headers)
    assert looking.headers["ratelimit-policy"].startswith('"reads"')
    await strict.close()


async def test_strangers_are_counted_by_address_and_people_by_themselves(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    strict = api.another(rate_auth=3)

    async def guess(address: str) -> int:
        transport = httpx.ASGITransport(strict.app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            body = {"email": "anna@example.com", "password": "a wrong guess"}
            return (await client.post("/v1/auth/login", json=body)).status_code

    first = [await guess("198.51.100.7") for _ in range(5)]
    assert first == [401, 401, 401, 429, 429]
    assert await guess("198.51.100.8") == 401
    assert await guess("::ffff:198.51.100.7") == 429
    network = [await guess(f"2001:db8::{number:x}") for number in range(5)]
    assert network == [401, 401, 401, 429, 429]
    assert await guess("2001:db8:0:1::1") == 401

    readers = api.another(rate_reads=2)
    for who in (anna, berta):
        answers = [
            (await readers.client.get("/v1/images", headers=who.headers)).status_code
            for _ in range(3)
        ]
        assert answers == [200, 200, 429]
    await strict.close()
    await readers.close()


async def test_a_limit_holds_exactly_when_many_ask_two_processes_at_once(api: Api) -> None:
    anna = await api.join()
    two = [api.another(rate_reads=50) for _ in range(2)]
    answers = await asyncio.gather(
        *(two[number % 2].client.get("/v1/images", headers=anna.headers) for number in range(200))
    )
    assert sum(answer.status_code == 200 for answer in answers) == 50
    for one in two:
        await one.close()


async def test_probes_and_pages_show_a_limit_and_are_never_refused(api: Api) -> None:
    strict = api.another(rate_reads=1)
    for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs") * 3:
        answer = await strict.client.get(path)
        assert answer.status_code == 200
        assert all(name in answer.headers for name in HEADERS)
    await strict.close()


async def test_without_redis_the_process_counts_for_itself(api: Api) -> None:
    anna = await api.join()
    alone = RedisCounters("redis://127.0.0.1:1/0", answer_timeout_seconds=0.2)
    lonely = api.with_counters(alone, rate_reads=3)
    answers = [await lonely.client.get("/v1/images", headers=anna.headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    await lonely.close()
    await alone.close()
