import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from api.key_uses import KeyUses
from domain.api_keys.events import ApiKeyExpirySet
from domain.api_keys.values import assemble_key
from tests.api.conftest import Api, Body, Visitor
from tests.api.test_routes import is_problem


async def test_a_key_is_shown_with_its_secret_once_and_never_again(api: Api) -> None:
    anna = await api.join()
    made = await anna.create_key(
        "call:*", "deployments:read", description="for the till", requestsPerMinute=77
    )
    secret = made.pop("apiKey")
    assert secret.startswith(made["prefix"])
    assert made["lastUsed"] is None

    shown = (await anna.get(f"/v1/api-keys/{made['id']}")).json()
    listed = (await anna.get("/v1/api-keys")).json()
    assert shown == listed["apiKeys"][0]
    assert shown["requestCount"] == 0
    for name in ("id", "name", "description", "prefix", "scopes", "requestsPerMinute"):
        assert shown[name] == made[name]
    assert shown["createdAt"][:16] == made["createdAt"][:16]
    history = (await anna.get(f"/v1/history/{made['id']}")).text
    audit = (await anna.get("/v1/audit")).text
    assert secret not in str(shown) + str(listed) + history + audit
    assert "hash" not in str(shown) + str(listed) + history + audit


async def test_a_new_key_has_the_contracts_defaults(api: Api) -> None:
    anna = await api.join()
    answer = await anna.post("/v1/api-keys", {"name": "plain"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["scopes"], made["requestsPerMinute"]) == (["call:*"], 6000)
    assert (made["expiresAt"], made["description"]) == (None, None)
    assert answer.headers["location"] == f"/v1/api-keys/{made['id']}"
    assert int(answer.headers["x-tallyport-position"]) > 0


async def test_a_key_for_one_deployment_calls_that_one_only(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    made = await anna.create_key("call:*", deploymentId=deployment_id)
    assert made["scopes"] == [f"call:{deployment_id}"]


async def test_a_revoked_key_is_no_longer_there(api: Api) -> None:
    anna = await api.join()
    kept, gone = await anna.create_key(), await anna.create_key()
    answer = await anna.ask("DELETE", f"/v1/api-keys/{gone['id']}")
    assert answer.json() == {"message": "API key revoked successfully"}
    assert is_problem(await anna.get(f"/v1/api-keys/{gone['id']}"), 404)
    assert [key["id"] for key in (await anna.get("/v1/api-keys")).json()["apiKeys"]] == [kept["id"]]
    again = await anna.ask("DELETE", f"/v1/api-keys/{gone['id']}")
    assert again.status_code == 200


async def test_a_key_is_revoked_only_in_the_version_that_was_read(api: Api) -> None:
    anna = await api.join()
    key = await anna.create_key()
    path = f"/v1/api-keys/{key['id']}"
    tag = (await anna.get(path)).headers["etag"]
    assert is_problem(await anna.ask("DELETE", path, If_Match='"99"'), 412)
    assert (await anna.ask("DELETE", path, If_Match=tag)).status_code == 200


async def test_the_answer_to_a_new_key_has_the_tag_that_reading_it_has(api: Api) -> None:
    anna = await api.join()
    made = await anna.post("/v1/api-keys", {"name": "k"}, Idempotency_Key="once")
    again = await anna.post("/v1/api-keys", {"name": "k"}, Idempotency_Key="once")
    read = await anna.get(made.headers["location"])
    assert made.headers["etag"] == again.headers["etag"] == read.headers["etag"]


async def test_expiry_must_be_a_time_to_come(api: Api) -> None:
    anna = await api.join()
    for expires_at, status in (
        ("2020-01-01T00:00:00Z", 422),
        ("2999-01-01T00:00:00", 422),
        ("2999-01-01", 422),
        (32503680000, 422),
        ("0001-01-01T00:00:00+23:59", 422),
        ("2999-01-01T00:00:00+02:00", 201),
    ):
        answer = await anna.post("/v1/api-keys", {"name": "k", "expiresAt": expires_at})
        assert answer.status_code == status, (expires_at, answer.text)
    assert answer.json()["expiresAt"] == "2998-12-31T22:00:00Z"


async def change(visitor: Visitor, key: Body, **changes: Any) -> httpx.Response:
    return await visitor.ask("PATCH", f"/v1/api-keys/{key['id']}", changes)


async def rotate(visitor: Visitor, key: Body, grace_seconds: int = 3600) -> Body:
    path = f"/v1/api-keys/{key['id']}/rotate"
    answer = await visitor.post(path, {"graceSeconds": grace_seconds})
    assert answer.status_code == 200, answer.text
    rotated: Body = answer.json()
    return rotated


async def status_with(api: Api, secret: str) -> int:
    """Ask with a key, not before the views know what the log knows."""
    headers = {"X-API-Key": secret}
    return (await api.client.get("/v1/images", headers=headers)).status_code


async def until_refused(api: Api, secret: str) -> None:
    async with asyncio.timeout(30):
        while await status_with(api, secret) != 401:  # noqa: ASYNC110 - the API is asked
            await asyncio.sleep(0.02)


async def test_only_what_is_sent_is_changed_and_null_clears(api: Api) -> None:
    anna = await api.join()
    key = await anna.create_key(
        "call:*",
        description="old",
        expiresAt="2999-01-01T00:00:00Z",
        allowedCidrs=["192.0.2.0/24"],
        requestsPerMinute=7,
    )
    path = f"/v1/api-keys/{key['id']}"
    answer = await change(
        anna, key, name="till", scopes=["logs:read"], allowedCidrs=["2001:DB8::/32", "192.0.2.9"]
    )
    assert answer.status_code == 200, answer.text
    shown = (await anna.get(path)).json()
    expected = {
        "name": "till",
        "description": "old",
        "scopes": ["logs:read"],
        "allowedCidrs": ["192.0.2.9/32", "2001:db8::/32"],
        "expiresAt": "2999-01-01T00:00:00Z",
        "requestsPerMinute": 7,
        "prefix": key["prefix"],
    }
    for said in (answer.json(), shown):
        assert {name: said[name] for name in expected} == expected
    cleared = await change(
        anna, key, description=None, expiresAt=None, allowedCidrs=None, requestsPerMinute=None
    )
    assert {name: cleared.json()[name] for name in expected} == {
        **expected,
        "description": None,
        "expiresAt": None,
        "allowedCidrs": [],
        "requestsPerMinute": 6000,
    }
    position = cleared.headers["x-tallyport-position"]
    again = await change(anna, key, description=None)
    assert (again.status_code, again.headers["etag"]) == (200, cleared.headers["etag"])
    assert again.headers["x-tallyport-position"] == position
    assert is_problem(await change(anna, key), 422)


async def test_a_key_is_changed_and_rotated_only_in_the_version_that_was_read(api: Api) -> None:
    anna = await api.join()
    key = await anna.create_key()
    path = f"/v1/api-keys/{key['id']}"
    tag = (await anna.get(path)).headers["etag"]
    asked: list[tuple[str, str, Body | None]] = [
        ("PATCH", path, {"name": "till"}),
        ("POST", f"{path}/rotate", {"graceSeconds": 60}),
        ("POST", f"{path}/regenerate", None),
    ]
    for method, url, body in asked:
        assert is_problem(await anna.ask(method, url, body, If_Match='"99"'), 412)
        answer = await anna.ask(method, url, body, If_Match=tag)
        assert answer.status_code == 200, answer.text
        assert is_problem(await anna.ask(method, url, body, If_Match=tag), 412)
        tag = answer.headers["etag"]
        assert (await anna.get(path)).headers["etag"] == tag


async def test_a_changed_scope_and_a_set_expiry_act_within_a_second(api: Api) -> None:
    anna = await api.join()
    key = await anna.create_key("deployments:read")
    headers = {"X-API-Key": key["apiKey"]}
    for change_to, status in (
        ({"scopes": ["logs:read"]}, 403),
        ({"scopes": ["deployments:read"]}, 200),
        ({"allowedCidrs": ["198.51.100.0/24"]}, 403),
        ({"allowedCidrs": None}, 200),
    ):
        assert (await change(anna, key, **change_to)).status_code == 200
        async with asyncio.timeout(30):
            while True:
                answer = await api.client.get("/v1/deployments", headers=headers)
                if answer.status_code == status:
                    break
                await asyncio.sleep(0.02)


async def test_a_key_works_from_its_networks_only(api: Api) -> None:
    anna = await api.join()
    inside = ["192.0.2.0/24", "::ffff:192.0.2.1"]
    for cidrs, status in (
        (inside[:1], 200),
        (inside[1:], 200),
        (["198.51.100.0/24", "192.0.2.1"], 200),
        (["198.51.100.0/24"], 403),
        (["2001:db8::/32"], 403),
    ):
        key = await anna.create_key("call:*", allowedCidrs=cidrs)
        headers = {"X-API-Key": key["apiKey"]}
        answer = await api.client.get("/v1/images", headers=headers)
        assert answer.status_code == status, cidrs
        if status == 403:
            assert is_problem(answer, 403)
            assert answer.json()["error"]["code"] == "address_not_allowed"
            assert (await api.client.get("/health/live", headers=headers)).status_code == 200


async def test_after_a_rotation_both_secrets_work_and_are_one_key(api: Api) -> None:
    anna = await api.join()
    key = await anna.create_key("deployments:read", name="till", requestsPerMinute=7)
    rotated = await rotate(anna, key)
    assert rotated["apiKey"].startswith(rotated["prefix"])
    assert rotated["prefix"] != key["prefix"]
    for name in ("id", "name", "scopes", "requestsPerMinute", "expiresAt", "allowedCidrs"):
        assert rotated[name] == key[name], name
    shown = (await anna.get(f"/v1/api-keys/{key['id']}")).json()
    assert shown["prefix"] == rotated["prefix"]
    assert shown["previousUntil"] == rotated["previousUntil"]
    listed = (await anna.get("/v1/api-keys")).json()["apiKeys"]
    assert [each["id"] for each in listed] == [key["id"]]
    history = (await anna.get(f"/v1/history/{key['id']}")).text
    for secret in (key["apiKey"], rotated["apiKey"]):
        assert await status_with(api, secret) == 200
        assert secret not in history + str(shown)
    assert "hash" not in history + str(shown)

    newest = await rotate(anna, key)
    assert await status_with(api, newest["apiKey"]) == 200
    assert await status_with(api, rotated["apiKey"]) == 200
    await until_refused(api, key["apiKey"])  # the oldest ends with the second rotation


async def test_a_grace_of_nothing_and_a_regeneration_end_the_secret_before_at_once(
    api: Api,
) -> None:
    anna = await api.join()
    key = await anna.create_key()
    rotated = await rotate(anna, key, 0)
    assert rotated["previousUntil"] is None
    await until_refused(api, key["apiKey"])
    answer = await anna.post(f"/v1/api-keys/{key['id']}/regenerate")
    assert answer.json()["previousUntil"] is None
    await until_refused(api, rotated["apiKey"])
    assert await status_with(api, answer.json()["apiKey"]) == 200


async def test_a_retiring_secret_ends_by_time_alone_and_never_after_its_key(api: Api) -> None:
    anna = await api.join()
    now = datetime.now(UTC)
    expires = (now + timedelta(days=2)).replace(microsecond=0)
    key = await anna.create_key(expiresAt=expires.isoformat())
    kept = await anna.create_key()
    assert (await rotate(anna, key, 604_800))["previousUntil"] == key["expiresAt"]
    rotated = await rotate(anna, kept, 3600)
    await anna.get("/v1/api-keys")  # so that the view has heard of it
    assert await status_with(api, key["apiKey"]) == 200
    assert await status_with(api, kept["apiKey"]) == 200

    tomorrow = api.at(now + timedelta(hours=2))
    assert await status_with(tomorrow, kept["apiKey"]) == 401
    assert await status_with(tomorrow, rotated["apiKey"]) == 200
    assert await status_with(tomorrow, key["apiKey"]) == 200
    shown = await tomorrow.client.get(
        f"/v1/api-keys/{kept['id']}", headers=(await anna.with_key("keys:read")).headers
    )
    assert shown.json()["previousUntil"] is None
    later = api.at(now + timedelta(days=3))
    assert await status_with(later, key["apiKey"]) == 401


async def test_a_key_that_is_over_is_not_rotated_and_says_what_to_do(api: Api) -> None:
    anna = await api.join()
    gone, expired = await anna.create_key(), await anna.create_key()
    await anna.ask("DELETE", f"/v1/api-keys/{gone['id']}")
    over = ApiKeyExpirySet(key_id=expired["id"], expires_at=datetime.now(UTC))
    await api.installation.append(expired["id"], over, after=1)
    for key, code in ((gone, "key_revoked"), (expired, "key_expired")):
        answer = await anna.post(f"/v1/api-keys/{key['id']}/rotate", {"graceSeconds": 0})
        assert is_problem(answer, 409)
        assert answer.json()["error"]["code"] == code
        assert "make a new one" in answer.json()["detail"]
    assert is_problem(await change(anna, gone, name="x"), 409)
    assert (await change(anna, expired, expiresAt=None)).status_code == 200
    await rotate(anna, expired)


async def test_a_rotation_sent_twice_is_done_once(api: Api) -> None:
    anna = await api.join()
    key = await anna.create_key()
    path = f"/v1/api-keys/{key['id']}/rotate"
    first = await anna.post(path, {"graceSeconds": 60}, Idempotency_Key="once")
    second = await anna.post(path, {"graceSeconds": 60}, Idempotency_Key="once")
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert is_problem(await anna.post(path, {"graceSeconds": 61}, Idempotency_Key="once"), 422)
    other = await (await anna.with_key("keys:write", "call:*")).post(
        path, {"graceSeconds": 60}, Idempotency_Key="once"
    )
    assert other.json()["apiKey"] != first.json()["apiKey"]  # another caller's key is another key


async def test_a_key_gives_itself_a_new_secret_but_no_other_key_more_than_it_holds(
    api: Api,
) -> None:
    anna = await api.join()
    strong = await anna.create_key("admin:*")
    own = await anna.create_key("keys:write", "call:*")
    program = Visitor(api, {"X-API-Key": own["apiKey"]})
    for answer in (
        await program.post(f"/v1/api-keys/{strong['id']}/rotate", {"graceSeconds": 0}),
        await program.post(f"/v1/api-keys/{strong['id']}/regenerate"),
        await change(program, strong, name="mine"),
        await change(program, own, scopes=["keys:write", "audit:read"]),
    ):
        assert is_problem(answer, 403)
    renewed = await rotate(program, own)
    assert await status_with(api, renewed["apiKey"]) == 200


async def test_a_use_at_this_api_is_noted_to_the_minute_and_costs_no_event_per_call(
    api: Api,
) -> None:
    anna = await api.join()
    used, idle = await anna.create_key(), await anna.create_key()
    began = datetime.now(UTC).replace(second=0, microsecond=0)
    before = await api.installation.store.last_position()
    for _ in range(20):
        assert await status_with(api, used["apiKey"]) == 200
    assert await status_with(api, assemble_key("0" * 12, "0" * 30)) == 401
    uses: KeyUses = api.app.state.doorkeeper.key_uses
    for _ in range(3):
        await uses.note()
    assert await api.installation.store.last_position() == before + 1
    await api.installation.caught_up()
    shown = (await anna.get(f"/v1/api-keys/{used['id']}")).json()
    last_used = datetime.fromisoformat(shown["lastUsed"])
    assert began <= last_used <= datetime.now(UTC)
    assert (last_used.second, last_used.microsecond) == (0, 0)
    listed = (await anna.get("/v1/api-keys")).json()["apiKeys"]
    assert {each["id"]: each["lastUsed"] for each in listed} == {
        used["id"]: shown["lastUsed"],
        idle["id"]: None,
    }
    assert "use-" not in (await anna.get("/v1/audit")).text
