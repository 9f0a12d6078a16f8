import asyncio
import hashlib

import httpx

from tests.api.conftest import Api
from tests.api.test_routes import is_problem
from tests.wiring import PASSWORD

ADDRESS = "anna@example.com"


async def test_a_person_registers_signs_in_and_is_shown(api: Api) -> None:
    anna = await api.join()
    assert anna.account["id"].startswith("usr-")
    assert anna.account["status"] == "active"
    assert anna.account["createdAt"].endswith("Z")
    assert "password" not in str(anna.account).lower()
    user = {key: anna.account[key] for key in ("id", "username", "email")}
    assert anna.session["user"] == user
    assert anna.session["expiresAt"].endswith("Z")

    await anna.deploy()
    await anna.create_key()
    profile = (await anna.get("/v1/user/profile")).json()
    assert {key: profile[key] for key in user} == user
    assert (profile["deploymentCount"], profile["apiKeyCount"]) == (1, 1)
    assert profile["lastLogin"] >= profile["createdAt"]


async def test_a_name_or_an_address_belongs_to_one_person_however_it_is_written(api: Api) -> None:
    await api.join("anna")
    for username, email, code in (
        ("Anna", "other@example.com", "username_taken"),
        ("other", "ANNA@Example.com", "email_taken"),
    ):
        body = {"username": username, "email": email, "password": PASSWORD}
        answer = await api.nobody.post("/v1/auth/register", {**body, "confirmPassword": PASSWORD})
        assert is_problem(answer, 409)
        assert answer.json()["error"]["code"] == code


async def test_a_password_that_everybody_guesses_is_refused(api: Api) -> None:
    body = {"username": "anna", "email": ADDRESS, "password": "Password1"}
    answer = await api.nobody.post("/v1/auth/register", {**body, "confirmPassword": "Password1"})
    assert is_problem(answer, 422)
    assert answer.json()["error"]["details"] == [{"field": "password", "message": "is too common"}]


async def test_an_unknown_address_and_a_wrong_password_are_answered_alike(api: Api) -> None:
    await api.join()
    answers = [
        await api.nobody.post("/v1/auth/login", {"email": email, "password": "wrong password"})
        for email in (ADDRESS, "nobody@example.com")
    ]
    bodies = []
    for answer in answers:
        assert is_problem(answer, 401)
        bodies.append({**answer.json(), "requestId": ""})
    assert bodies[0] == bodies[1]
    assert set(answers[0].headers) == set(answers[1].headers)


async def test_signing_out_ends_the_session_and_no_other(api: Api) -> None:
    anna = await api.join()
    elsewhere = await api.sign_in(ADDRESS)
    assert (await elsewhere.get("/v1/user/profile")).status_code == 200

    answer = await anna.post("/v1/auth/logout")
    assert answer.status_code == 200
    assert "message" in answer.json()
    assert is_problem(await anna.get("/v1/user/profile"), 401)
    assert (await elsewhere.get("/v1/user/profile")).status_code == 200
    refreshing = {"refreshToken": anna.session["refreshToken"]}
    assert is_problem(await api.nobody.post("/v1/auth/refresh", refreshing), 401)


async def test_another_process_hears_within_a_second_that_a_session_ended(api: Api) -> None:
    anna = await api.join()
    other = api.another()

    async def there() -> int:
        answer = await other.client.get("/v1/user/profile", headers=anna.headers)
        return answer.status_code

    assert await there() == 200
    await anna.post("/v1/auth/logout")
    await asyncio.sleep(1.1)
    assert await there() == 401
    await other.close()


async def test_a_refresh_token_is_exchanged_and_its_reuse_ends_the_session(api: Api) -> None:
    anna = await api.join()

    async def refresh(token: str) -> httpx.Response:
        return await api.nobody.post("/v1/auth/refresh", {"refreshToken": token})

    first = anna.session["refreshToken"]
    second = await refresh(first)
    assert second.status_code == 200
    assert set(second.json()) >= {"accessToken", "refreshToken", "expiresAt"}
    # Within seconds the one before is forgiven: its answer may have been lost.
    third = await refresh(first)
    fourth = await refresh(third.json()["refreshToken"])
    assert fourth.status_code == 200

    stolen = await refresh(first)
    assert is_problem(stolen, 401)
    assert stolen.json()["error"]["code"] == "session_over"
    assert is_problem(await refresh(fourth.json()["refreshToken"]), 401)
    await asyncio.sleep(1.1)
    assert is_problem(await anna.get("/v1/user/profile"), 401)


async def test_refresh_tokens_that_were_never_issued_are_refused(api: Api) -> None:
    anna = await api.join()
    token = anna.session["refreshToken"]
    session_id = token.partition(".")[0]
    for wrong in (
        token[:-1],
        f"{session_id}.{'x' * 43}",
        f"ses-0000000000.{'x' * 43}",
        f"{anna.account['id']}.{'x' * 43}",
        "ses-0000000000",
        "\u2603" * 20,
        hashlib.sha256(token.encode()).hexdigest(),
        anna.session["accessToken"][:200],
    ):
        answer = await api.nobody.post("/v1/auth/refresh", {"refreshToken": wrong})
        assert is_problem(answer, 401), wrong


async def test_oauths_password_form_signs_in_too(api: Api) -> None:
    await api.join()
    form = {"grant_type": "password", "username": ADDRESS, "password": PASSWORD}
    answer = await api.client.post("/token", data=form)
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 600)
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await api.client.get("/v1/user/profile", headers=bearer)).status_code == 200


async def test_an_operator_can_shut_oauths_password_form(api: Api) -> None:
    await api.join()
    shut = api.another(oauth_form=False)
    form = {"grant_type": "password", "username": ADDRESS, "password": PASSWORD}
    answer = await shut.client.post("/token", data=form)
    assert is_problem(answer, 404)
    await shut.close()


async def test_a_form_that_says_something_else_is_refused(api: Api) -> None:
    await api.join()
    forms: list[tuple[dict[str, str], int]] = [
        ({"username": ADDRESS, "password": "wrong password"}, 401),
        ({"username": ADDRESS}, 422),
        ({"username": ADDRESS, "password": PASSWORD, "grant_type": "client_credentials"}, 422),
        ({"username": ADDRESS, "password": PASSWORD, "role": "admin"}, 422),
        ({"username": f"{ADDRESS}\0", "password": PASSWORD}, 422),
        ({"username": "a" * 300, "password": PASSWORD}, 422),
    ]
    for form, status in forms:
        assert is_problem(await api.client.post("/token", data=form), status), form
        assert is_problem(await api.client.post("/token", json=form), 415), form
