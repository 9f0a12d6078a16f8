"""A second factor over HTTP: set up, asked for at every way in, turned off."""

from collections.abc import AsyncIterator

import httpx
import pyotp
import pytest

from tests.api.conftest import Api, Body, Visitor
from tests.api.test_routes import is_problem
from tests.wiring import PASSWORD, Clock

LOGIN = {"email": "anna@example.com", "password": PASSWORD}


class Scene:
    """Anna, her app, and a clock."""

    def __init__(self, api: Api, clock: Clock, anna: Visitor) -> None:
        self.api = api
        self.clock = clock
        self.anna = anna
        self.secret = ""

    def code(self) -> str:
        return pyotp.TOTP(self.secret).at(int(self.clock.now.timestamp()))

    async def turn_on(self) -> list[str]:
        """Set the app up; return the recovery codes."""
        prepared = await self.anna.post("/v1/user/2fa", {"password": PASSWORD})
        assert prepared.status_code == 200, prepared.text
        assert set(prepared.json()) == {"secret", "otpauthUri", "expiresAt"}
        self.secret = prepared.json()["secret"]
        confirmed = await self.anna.post("/v1/user/2fa/confirm", {"otp": self.code()})
        assert confirmed.status_code == 200, confirmed.text
        self.clock.pass_by(seconds=30)
        codes: list[str] = confirmed.json()["recoveryCodes"]
        return codes

    async def login(self, **changes: str) -> httpx.Response:
        return await self.api.nobody.post("/v1/auth/login", {**LOGIN, **changes})


@pytest.fixture
async def scene(api: Api) -> AsyncIterator[Scene]:
    clock = Clock()
    timed = api.timed(clock)
    yield Scene(timed, clock, await timed.join())
    await timed.close()


def code_of(answer: httpx.Response) -> str:
    error: Body = answer.json()["error"]
    return str(error["code"])


async def test_once_it_is_on_every_way_in_asks_for_a_code(scene: Scene) -> None:
    assert (await scene.anna.get("/v1/user/2fa")).json() == {
        "enabled": False,
        "enabledAt": None,
        "recoveryCodesLeft": 0,
    }
    await scene.turn_on()
    shown = (await scene.anna.get("/v1/user/2fa")).json()
    assert (shown["enabled"], shown["recoveryCodesLeft"]) == (True, 10)

    missing = await scene.login()
    assert is_problem(missing, 401)
    assert code_of(missing) == "otp_required"
    wrong = await scene.login(otp="000000")
    assert is_problem(wrong, 401)
    assert code_of(wrong) == "otp_wrong"
    assert (await scene.login(otp=scene.code())).status_code == 200

    form = {"grant_type": "password", "username": LOGIN["email"], "password": PASSWORD}
    asked = await scene.api.client.post("/token", data=form)
    assert is_problem(asked, 401)
    assert code_of(asked) == "otp_required"
    scene.clock.pass_by(seconds=30)
    given = await scene.api.client.post("/token", data={**form, "otp": scene.code()})
    assert given.status_code == 200
    assert is_problem(await scene.api.client.post("/token", data={**form, "otp": "1" * 65}), 422)


async def test_who_does_not_know_the_password_is_not_told_that_there_is_a_second_factor(
    scene: Scene,
) -> None:
    before = await scene.login(password="wrong password")
    await scene.turn_on()
    after = [
        await scene.login(password="wrong password"),
        await scene.login(password="wrong password", otp=scene.code()),
    ]
    for answer in after:
        assert is_problem(answer, 401)
        assert {**answer.json(), "requestId": ""} == {**before.json(), "requestId": ""}


async def test_too_many_wrong_codes_are_answered_429_with_when_to_come_back(scene: Scene) -> None:
    codes = await scene.turn_on()
    for number in range(5):
        assert is_problem(await scene.login(otp=f"00000{number}"), 401)
    refused = await scene.login(otp=scene.code())
    assert is_problem(refused, 429)
    assert (code_of(refused), refused.headers["retry-after"]) == ("too_many_codes", "301")
    assert (await scene.login(otp=codes[0])).status_code == 200
    assert (await scene.anna.get("/v1/user/2fa")).status_code == 200
    scene.clock.pass_by(minutes=5)
    assert (await scene.login(otp=scene.code())).status_code == 200


async def test_a_wrong_code_sent_again_with_its_idempotency_key_is_counted_once(
    scene: Scene,
) -> None:
    await scene.turn_on()
    body = {**LOGIN, "otp": "000000"}
    answers = [
        await scene.api.nobody.post("/v1/auth/login", body, Idempotency_Key="again")
        for _ in range(10)
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert (await scene.login(otp=scene.code())).status_code == 200


async def test_it_is_turned_off_by_a_recovery_code_too(scene: Scene) -> None:
    codes = await scene.turn_on()
    proof = {"password": PASSWORD, "otp": codes[0]}
    assert is_problem(await scene.anna.post("/v1/user/2fa", {"password": PASSWORD}), 409)
    replaced = await scene.anna.post("/v1/user/2fa/recovery-codes", proof)
    assert len(replaced.json()["recoveryCodes"]) == 10
    assert is_problem(await scene.anna.ask("DELETE", "/v1/user/2fa", proof), 401)
    proof["otp"] = replaced.json()["recoveryCodes"][9]
    wrong = {**proof, "password": "wrong password"}
    assert is_problem(await scene.anna.ask("DELETE", "/v1/user/2fa", wrong), 401)
    assert (await scene.anna.ask("DELETE", "/v1/user/2fa", proof)).status_code == 200
    assert (await scene.anna.get("/v1/user/2fa")).json()["enabled"] is False
    assert (await scene.login()).status_code == 200
    off = await scene.anna.ask("DELETE", "/v1/user/2fa", proof)
    assert is_problem(off, 422)
    assert code_of(off) == "second_factor_is_off"


async def test_an_app_that_nobody_set_up_is_not_confirmed(scene: Scene) -> None:
    answer = await scene.anna.post("/v1/user/2fa/confirm", {"otp": "123456"})
    assert is_problem(answer, 422)
    assert code_of(answer) == "nothing_to_confirm"


async def test_stepping_up_renews_the_proof_of_this_session_only(scene: Scene) -> None:
    elsewhere = await scene.api.sign_in(LOGIN["email"])
    scene.clock.pass_by(minutes=5)
    assert is_problem(await scene.anna.post("/v1/auth/step-up", {"password": "no"}), 401)
    stepped = await scene.anna.post("/v1/auth/step-up", {"password": PASSWORD})
    assert stepped.status_code == 200
    rows = await scene.api.installation.query("SELECT * FROM views.sessions ORDER BY id")
    proofs = {row["id"]: (row["authenticated_at"], row["method"]) for row in rows}
    assert len(proofs) == 2
    assert {at for at, _ in proofs.values()} == {
        scene.clock.now,
        min(at for at, _ in proofs.values()),
    }
    assert {method for _, method in proofs.values()} == {"password"}
    assert (await elsewhere.get("/v1/user/2fa")).status_code == 200


async def test_what_happened_is_in_the_history_without_its_secrets(scene: Scene) -> None:
    codes = await scene.turn_on()
    await scene.login(otp="000000")
    done = await scene.login(otp=codes[0])
    scene.anna.position = done.headers["X-Tallyport-Position"]
    listed = (await scene.anna.get("/v1/audit?limit=100")).json()["events"]
    kinds = {entry["type"] for entry in listed}
    assert kinds >= {
        "identity.TotpPrepared",
        "identity.TotpEnabled",
        "identity.SecondFactorRefused",
        "identity.RecoveryCodeUsed",
    }
    for entry in listed:
        if entry["type"] == "identity.TotpPrepared":
            assert entry["content"]["secret"] == "[sealed]"
        assert not {"recovery_hashes", "code_hash"} & set(entry["content"])
