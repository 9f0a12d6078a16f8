"""Signing in on a device without a browser."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.conftest import Api, Body, Visitor
from tests.api.test_routes import is_problem
from tests.wiring import PASSWORD, Clock


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def timed(api: Api, clock: Clock) -> AsyncIterator[Api]:
    timed = api.timed(clock)
    yield timed
    await timed.close()


async def codes_of(api: Api) -> Body:
    answer = await api.nobody.post("/v1/auth/device")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def exchange(api: Api, codes: Body) -> httpx.Response:
    """Ask for the session, as often as it takes not to be too early."""
    while True:
        body = {"device_code": codes["device_code"]}
        answer = await api.nobody.post("/v1/auth/device/token", body)
        if answer.is_success or answer.json()["error"]["code"] != "slow_down":
            return answer
        await asyncio.sleep(0.1)


async def decide(anna: Visitor, codes: Body, how: str = "approve") -> httpx.Response:
    return await anna.post(f"/v1/auth/device/{how}", {"userCode": codes["user_code"]})


async def renew(anna: Visitor) -> None:
    body = {"refreshToken": anna.session["refreshToken"]}
    anna.session = (await anna.api.nobody.post("/v1/auth/refresh", body)).json()
    anna.headers = {"Authorization": f"Bearer {anna.session['accessToken']}"}


def is_refused_with(answer: httpx.Response, code: str) -> bool:
    assert is_problem(answer, 400), answer.text
    return str(answer.json()["error"]["code"]) == code


async def test_a_device_is_signed_in_once_somebody_typed_its_code(api: Api) -> None:
    anna = await api.join()
    codes = await codes_of(api)
    assert codes["verification_uri_complete"].endswith(f"/device?code={codes['user_code']}")
    assert 590 <= codes["expires_in"] <= 600
    assert is_refused_with(await exchange(api, codes), "authorization_pending")
    codes["user_code"] = codes["user_code"].lower().replace("-", " ")
    assert (await decide(anna, codes)).status_code == 200
    assert (await decide(anna, codes)).status_code == 200  # twice is once
    session = (await exchange(api, codes)).json()
    device = Visitor(api, {"Authorization": f"Bearer {session['access_token']}"})
    assert (await device.get("/v1/user/profile")).json()["username"] == "anna"
    refreshed = await api.nobody.post(
        "/v1/auth/refresh", {"refreshToken": session["refresh_token"]}
    )
    assert refreshed.status_code == 200
    assert is_refused_with(await exchange(api, codes), "invalid_grant")
    assert is_problem(await decide(anna, codes), 404)
    listed = (await anna.get("/v1/user/sessions")).json()["sessions"]
    assert len(listed) == 2


async def test_a_device_that_is_refused_is_told_so(api: Api) -> None:
    anna = await api.join()
    codes = await codes_of(api)
    assert (await decide(anna, codes, "deny")).status_code == 200
    assert is_refused_with(await exchange(api, codes), "access_denied")
    assert is_problem(await decide(anna, codes), 404)


async def test_a_device_that_asks_too_often_is_told_to_slow_down(api: Api) -> None:
    codes = await codes_of(api)
    body = {"device_code": codes["device_code"]}
    asking = [api.nobody.post("/v1/auth/device/token", body) for _ in range(10)]
    answers = await asyncio.gather(*asking)
    assert any(is_refused_with(each, "slow_down") for each in answers)


async def test_codes_end_after_ten_minutes(timed: Api, clock: Clock) -> None:
    anna = await timed.join()
    codes = await codes_of(timed)
    clock.pass_by(minutes=10)
    await renew(anna)
    assert is_problem(await decide(anna, codes), 404)
    assert is_refused_with(await exchange(timed, codes), "expired_token")


async def test_only_who_proved_lately_to_be_there_lets_a_device_in(
    timed: Api, clock: Clock
) -> None:
    anna = await timed.join()
    clock.pass_by(minutes=20)
    await renew(anna)
    codes = await codes_of(timed)
    refused = await decide(anna, codes)
    assert is_problem(refused, 401)
    assert refused.json()["error"]["code"] == "step_up_required"
    stepped_up = await anna.post("/v1/auth/step-up", {"password": PASSWORD})
    assert stepped_up.status_code == 200
    assert (await decide(anna, codes)).status_code == 200


async def test_an_approval_ends_with_the_sessions_of_who_gave_it(api: Api) -> None:
    anna = await api.join()
    codes = await codes_of(api)
    await decide(anna, codes)
    assert (await anna.ask("DELETE", "/v1/user/sessions")).status_code == 200
    assert is_refused_with(await exchange(api, codes), "access_denied")


@pytest.mark.parametrize("code", ["BCDF-GHJK", "nonsense", "dev-0000000000", "ÄÖÜ"])
async def test_a_code_that_nobody_was_given_is_none(api: Api, code: str) -> None:
    anna = await api.join()
    assert is_problem(await decide(anna, {"user_code": code}), 404)
    assert is_refused_with(await exchange(api, {"device_code": code}), "invalid_grant")


async def test_no_code_is_written_down(api: Api) -> None:
    codes = await codes_of(api)
    stored = b"".join(
        event.data for event in await api.installation.store.read_all(after=0, limit=1000)
    )
    short = codes["user_code"].replace("-", "")
    assert short.encode() not in stored
    assert codes["device_code"].encode() not in stored
