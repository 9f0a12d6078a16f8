"""Sessions of web pages: the refresh token in a cookie that counts for pages of ours only."""

import httpx

from tests.api.conftest import Api
from tests.api.test_routes import is_problem
from tests.wiring import PASSWORD

COOKIE = {"X-Tallyport-Session": "cookie"}


async def signed_in(api: Api, name: str = "anna") -> httpx.Response:
    await api.join(name)
    body = {"email": f"{name}@example.com", "password": PASSWORD}
    return await api.client.post("/v1/auth/login", json=body, headers=COOKIE)


def cookie_of(answer: httpx.Response) -> str:
    [cookie] = answer.headers.get_list("set-cookie")
    return str(cookie)


async def test_a_page_gets_its_refresh_token_in_a_cookie_only(api: Api) -> None:
    answer = await signed_in(api)
    assert answer.json()["refreshToken"] is None
    cookie = cookie_of(answer)
    assert cookie.startswith("tallyport-session=ses-")
    assert "; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict" in cookie
    refreshed = await api.client.post("/v1/auth/refresh", json={}, headers=COOKIE)
    assert refreshed.json()["refreshToken"] is None
    assert cookie_of(refreshed) != cookie
    profile = {"Authorization": f"Bearer {refreshed.json()['accessToken']}"}
    assert (await api.client.get("/v1/user/profile", headers=profile)).is_success


async def test_the_cookie_alone_is_worth_nothing(api: Api) -> None:
    await signed_in(api)
    for headers, status in (
        ({}, 422),
        ({"X-Tallyport-Session": "yes"}, 422),
        ({**COOKIE, "Cookie": "tallyport-session="}, 401),
        ({**COOKIE, "Cookie": "tallyport-session=ses-0000000000.1.x"}, 401),
        ({**COOKIE, "Cookie": "=;=;\x7f"}, 401),
    ):
        answer = await api.client.post("/v1/auth/refresh", json={}, headers=headers)
        assert is_problem(answer, status), headers
        assert "set-cookie" not in answer.headers
    assert is_problem(await api.client.get("/v1/user/profile"), 401)
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    asked = {**preflight, "Access-Control-Request-Headers": "x-tallyport-session"}
    answer = await api.client.options("/v1/auth/refresh", headers=asked)
    assert "session" not in answer.headers.get("access-control-allow-headers", "").lower()


async def test_whoever_does_not_ask_gets_no_cookie(api: Api) -> None:
    await api.join()
    body = {"email": "anna@example.com", "password": PASSWORD}
    answer = await api.client.post("/v1/auth/login", json=body)
    assert answer.json()["refreshToken"].startswith("ses-")
    assert "set-cookie" not in answer.headers


async def test_signing_out_takes_the_cookie_away(api: Api) -> None:
    answer = await signed_in(api)
    token = {"Authorization": f"Bearer {answer.json()['accessToken']}"}
    out = await api.client.post("/v1/auth/logout", headers=token)
    assert "tallyport-session=; Path=/; Max-Age=0" in cookie_of(out)
    kept = {**COOKIE, "Cookie": cookie_of(answer).partition(";")[0]}
    assert is_problem(await api.client.post("/v1/auth/refresh", json={}, headers=kept), 401)


async def test_over_tls_the_cookie_is_held_to_this_host_and_to_tls(api: Api) -> None:
    await api.join()
    secure = api.another(https_only=True)
    body = {"email": "anna@example.com", "password": PASSWORD}
    answer = await secure.client.post("/v1/auth/login", json=body, headers=COOKIE)
    cookie = cookie_of(answer)
    assert cookie.startswith("__Host-tallyport-session=")
    assert cookie.endswith("; Secure")
    kept = {**COOKIE, "Cookie": cookie.partition(";")[0]}
    assert (await secure.client.post("/v1/auth/refresh", json={}, headers=kept)).is_success
    await secure.close()
