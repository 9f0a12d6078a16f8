from tests.api.conftest import Api
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
