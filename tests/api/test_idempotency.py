import asyncio

import httpx
import psycopg
import pytest

from api.idempotency import _running
from tests.api.conftest import Api, Visitor
from tests.api.test_routes import is_problem
from tests.wiring import PASSWORD

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


def same(answers: list[httpx.Response]) -> bool:
    first = answers[0]
    return all(
        (each.status_code, each.content, each.headers["x-tallyport-position"])
        == (first.status_code, first.content, first.headers["x-tallyport-position"])
        for each in answers
    )


async def test_a_thousand_equal_requests_have_one_effect_and_one_answer(api: Api) -> None:
    anna = await api.join()
    apis = [api, api.another()]
    body = {"name": "only one", "scopes": ["call:*"]}

    async def ask(number: int) -> httpx.Response:
        headers = {**anna.headers, "Idempotency-Key": KEY}
        return await apis[number % 2].client.post("/v1/api-keys", json=body, headers=headers)

    answers = await asyncio.gather(*(ask(number) for number in range(1000)))
    assert answers[0].status_code == 201
    assert same(answers)
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    anna.position = answers[0].headers["x-tallyport-position"]
    assert (await anna.get("/v1/api-keys")).json()["pagination"]["total"] == 1
    await apis[1].close()


async def test_two_processes_that_race_for_a_name_answer_alike(api: Api) -> None:
    apis = [api.another() for _ in range(4)]
    person = {"username": "anna", "email": "anna@example.com", "password": PASSWORD}

    async def register(one: Api) -> httpx.Response:
        return await one.client.post(
            "/v1/auth/register",
            json={**person, "confirmPassword": PASSWORD},
            headers={"Idempotency-Key": KEY},
        )

    answers = await asyncio.gather(*(register(one) for one in apis for _ in range(5)))
    assert answers[0].status_code == 201
    assert same(answers)
    for one in apis:
        await one.close()


async def test_the_answer_again_is_the_first_one_with_its_secrets(api: Api) -> None:
    anna = await api.join()
    login = {"email": "anna@example.com", "password": PASSWORD}
    first = await api.nobody.post("/v1/auth/login", login, Idempotency_Key=KEY)
    again = await api.nobody.post("/v1/auth/login", login, Idempotency_Key=KEY)
    assert same([first, again])
    assert again.headers["idempotency-replayed"] == "true"

    made = await anna.post("/v1/api-keys", {"name": "k"}, Idempotency_Key=KEY)
    assert same([made, await anna.post("/v1/api-keys", {"name": "k"}, Idempotency_Key=KEY)])
    assert made.headers["location"]


async def test_what_is_stored_of_an_answer_says_nothing_by_itself(api: Api) -> None:
    anna = await api.join()
    key = (await anna.post("/v1/api-keys", {"name": "k"}, Idempotency_Key=KEY)).json()["apiKey"]
    login = {"email": "anna@example.com", "password": PASSWORD}
    session = await api.nobody.post("/v1/auth/login", login, Idempotency_Key=KEY)
    rows = await api.installation.query("SELECT key, fingerprint, answer FROM idempotency_keys")
    stored = b"".join(bytes(value) for row in rows for value in row.values())
    assert len(rows) == 2
    for secret in (key, KEY, PASSWORD, session.json()["refreshToken"], "apiKey", "accessToken"):
        assert secret.encode() not in stored


async def test_a_key_belongs_to_one_caller_one_route_and_one_body(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    made = await anna.post("/v1/api-keys", {"name": "k"}, Idempotency_Key=KEY)

    other = await anna.post("/v1/api-keys", {"name": "another"}, Idempotency_Key=KEY)
    assert is_problem(other, 422)
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    hers = await berta.post("/v1/api-keys", {"name": "k"}, Idempotency_Key=KEY)
    assert hers.status_code == 201
    assert hers.json()["id"] != made.json()["id"]
    deployed = await anna.post(
        "/v1/deployments",
        {"appName": "shop", "image": "tallyport/echo", "port": 8080},
        Idempotency_Key=KEY,
    )
    assert deployed.status_code == 201


async def test_a_refusal_is_not_remembered(api: Api) -> None:
    anna = await api.join()
    wish = {"appName": "shop", "image": "tallyport/echo", "port": 8080}
    taken = await anna.deploy("shop")
    assert is_problem(await anna.post("/v1/deployments", wish, Idempotency_Key=KEY), 409)
    await anna.ask("DELETE", f"/v1/deployments/{taken}")
    await api.report(taken)
    again = await anna.post("/v1/deployments", wish, Idempotency_Key=KEY)
    assert again.status_code == 201


async def test_a_stolen_refresh_token_ends_the_session_also_with_a_key(api: Api) -> None:
    anna = await api.join()
    refreshing = {"refreshToken": anna.session["refreshToken"]}
    for _ in range(3):
        body = {"refreshToken": anna.session["refreshToken"]}
        anna.session = (await api.nobody.post("/v1/auth/refresh", body)).json()
    answers = [
        await api.nobody.post("/v1/auth/refresh", refreshing, Idempotency_Key=KEY) for _ in range(2)
    ]
    assert all(is_problem_but_for_its_id(answer) for answer in answers)
    body = {"refreshToken": anna.session["refreshToken"]}
    assert is_problem(await api.nobody.post("/v1/auth/refresh", body), 401)


def is_problem_but_for_its_id(answer: httpx.Response) -> bool:
    return answer.status_code == 401 and answer.json()["error"]["code"] == "session_over"


async def test_a_key_that_is_not_one_is_malformed(api: Api) -> None:
    anna = await api.join()
    for wrong in ("", " ", "k" * 256, "a b", "\u00e9"):
        answer = await api.client.post(
            "/v1/api-keys",
            json={"name": "k"},
            headers=[
                (b"authorization", anna.headers["Authorization"].encode()),
                (b"idempotency-key", wrong.encode("latin-1")),
            ],
        )
        assert is_problem(answer, 400), wrong


async def test_after_a_day_a_request_is_carried_out_anew(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    paths = ("/v1/api-keys", f"/v1/deployments/{deployment_id}/start")
    for path in paths:
        await anna.post(path, {"name": "k"} if "keys" in path else None, Idempotency_Key=KEY)
    await api.installation.as_admin(
        "UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'"
    )
    for path in paths:
        body = {"name": "k"} if "keys" in path else None
        again = await anna.post(path, body, Idempotency_Key=KEY)
        assert again.status_code in {200, 201}, path
        assert "idempotency-replayed" not in again.headers
        assert "idempotency-replayed" in (await anna.post(path, body, Idempotency_Key=KEY)).headers
    assert (await anna.get("/v1/api-keys")).json()["pagination"]["total"] == 2


async def test_nobody_is_remembered_for_without_end(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    strict = api.another(idempotency_keys_max=3)

    async def make(who: Visitor, key: str) -> httpx.Response:
        headers = {**who.headers, "Idempotency-Key": key}
        return await strict.client.post("/v1/api-keys", json={"name": "k"}, headers=headers)

    answers = [await make(anna, key) for key in ("a", "b", "b", "c", "d")]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 201, 429]
    assert is_problem(answers[-1], 429)
    assert answers[-1].json()["error"]["code"] == "too_many_idempotency_keys"
    assert int(answers[-1].headers["retry-after"]) > 3600
    assert (await make(anna, "a")).headers["idempotency-replayed"] == "true"
    assert (await make(berta, "d")).status_code == 201
    without = await strict.client.post("/v1/api-keys", json={"name": "k"}, headers=anna.headers)
    assert without.status_code == 201
    await strict.close()


async def test_a_repeat_does_not_wait_for_ever_for_the_first(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.idempotency.TURN_SECONDS_MAX", 0.2)
    anna = await api.join()
    await anna.get("/v1/user/profile")
    async with await psycopg.AsyncConnection.connect(api.installation.admin_conninfo) as other:
        await other.execute("SELECT pg_advisory_xact_lock(7405601)")  # no append gets through
        first = asyncio.create_task(anna.post("/v1/api-keys", {"name": "k"}, Idempotency_Key=KEY))
        while not _running:  # noqa: ASYNC110 - the other request says it nowhere else
            await asyncio.sleep(0.01)
        again = await anna.post("/v1/api-keys", {"name": "k"}, Idempotency_Key=KEY)
        assert is_problem(again, 409)
        assert again.json()["error"]["code"] == "still_running"
    assert (await first).status_code == 201
