"""Passkeys over HTTP, with a security key in software."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.api.conftest import Api, Visitor
from tests.api.test_routes import is_problem
from tests.authenticator import PRESENT, Authenticator, base64url, unbase64
from tests.wiring import PASSWORD, Clock

ORIGIN, RP_ID = "https://api.test", "api.test"


class Scene:
    """Anna, her security key, and a clock."""

    def __init__(self, api: Api, clock: Clock, anna: Visitor) -> None:
        self.api = api
        self.clock = clock
        self.anna = anna
        self.key = Authenticator(ORIGIN, RP_ID)

    async def options(self, visitor: Visitor | None = None) -> dict[str, Any]:
        """Return the options to add a passkey."""
        answer = await (visitor or self.anna).post("/v1/user/passkeys/options")
        assert answer.status_code == 200, answer.text
        options: dict[str, Any] = answer.json()["publicKey"]
        return options

    async def add(self, visitor: Visitor | None = None) -> str:
        """Add the key to somebody's account; return the passkey's id."""
        credential = self.key.create(await self.options(visitor))
        answer = await self.send(credential, visitor)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def send(
        self, credential: dict[str, Any], visitor: Visitor | None = None
    ) -> httpx.Response:
        body = {"name": "Anna's key", "credential": credential}
        return await (visitor or self.anna).post("/v1/user/passkeys", body)

    async def challenge(self) -> dict[str, Any]:
        """Return the options to sign in."""
        answer = await self.api.nobody.post("/v1/auth/passkeys/options", {})
        assert answer.status_code == 200, answer.text
        options: dict[str, Any] = answer.json()["publicKey"]
        return options

    async def sign_in(self, credential: dict[str, Any]) -> httpx.Response:
        return await self.api.nobody.post("/v1/auth/passkeys", {"credential": credential})


@pytest.fixture
async def scene(api: Api) -> AsyncIterator[Scene]:
    clock = Clock()
    timed = api.timed(clock, public_url=f"{ORIGIN}:443/")
    yield Scene(timed, clock, await timed.join())
    await timed.close()


def is_refused(answer: httpx.Response, code: str, status: int) -> bool:
    assert is_problem(answer, status), answer.text
    assert answer.json()["error"]["code"] == code
    return True


async def test_a_passkey_is_added_listed_used_and_removed(scene: Scene) -> None:
    options = await scene.options()
    assert options["rp"] == {"id": RP_ID, "name": "Tallyport"}
    assert unbase64(options["user"]["id"]).decode() == scene.anna.account["id"]
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["authenticatorSelection"]["residentKey"] == "required"

    passkey_id = await scene.add()
    [listed] = (await scene.anna.get("/v1/user/passkeys")).json()["passkeys"]
    assert (listed["id"], listed["name"]) == (passkey_id, "Anna's key")
    assert listed["lastUsedAt"] is None
    assert (await scene.options())["excludeCredentials"][0]["id"] == base64url(
        scene.key.credential_id
    )

    asked = await scene.challenge()
    assert (asked["rpId"], asked["userVerification"]) == (RP_ID, "required")
    assert asked["allowCredentials"] == []  # so nobody learns who has one
    signed_in = await scene.sign_in(scene.key.get(asked))
    assert signed_in.status_code == 200, signed_in.text
    assert signed_in.json()["user"]["id"] == scene.anna.account["id"]
    bearer = {"Authorization": f"Bearer {signed_in.json()['accessToken']}"}
    anna = Visitor(scene.api, bearer)
    anna.position = signed_in.headers["X-Tallyport-Position"]
    assert (await anna.get("/v1/user/passkeys")).json()["passkeys"][0]["lastUsedAt"] is not None
    methods = await scene.api.installation.query("SELECT method FROM views.sessions")
    assert {row["method"] for row in methods} == {"password", "passkey"}

    removed = await anna.ask("DELETE", f"/v1/user/passkeys/{passkey_id}")
    assert removed.status_code == 200, removed.text
    assert (await anna.get("/v1/user/passkeys")).json()["passkeys"] == []
    again = await scene.sign_in(scene.key.get(await scene.challenge()))
    assert is_refused(again, "passkey_refused", 401)


async def test_an_answer_counts_once_and_only_for_five_minutes(scene: Scene) -> None:
    await scene.add()
    answered = scene.key.get(await scene.challenge())
    assert (await scene.sign_in(answered)).status_code == 200
    assert is_refused(await scene.sign_in(answered), "passkey_refused", 401)

    late = scene.key.get(await scene.challenge())
    scene.clock.pass_by(minutes=4, seconds=59)
    in_time = scene.key.get(await scene.challenge())
    scene.clock.pass_by(seconds=1)
    assert is_refused(await scene.sign_in(late), "challenge_not_ours", 422)
    assert (await scene.sign_in(in_time)).status_code == 200


async def test_a_challenge_is_good_for_what_it_was_made_for(scene: Scene) -> None:
    await scene.add()
    bert = await scene.api.join("bert")
    to_add, to_sign_in = await scene.options(), await scene.challenge()
    wrong = {**to_add, "challenge": to_sign_in["challenge"]}
    assert is_refused(await scene.send(scene.key.create(wrong)), "challenge_not_ours", 422)
    await scene.add()
    wrong = {**to_sign_in, "challenge": to_add["challenge"]}
    assert is_refused(await scene.sign_in(scene.key.get(wrong)), "challenge_not_ours", 422)
    stolen = scene.key.create(await scene.options())
    assert is_refused(await scene.send(stolen, bert), "challenge_not_ours", 422)
    for made_up in ("", "AAAA", base64url(bytes(56)), "\N{SNOWMAN}"):
        answer = await scene.sign_in(scene.key.get({"challenge": made_up}))
        assert is_refused(answer, "challenge_not_ours", 422)


async def test_a_key_that_counts_back_is_refused_and_its_owner_told(scene: Scene) -> None:
    scene.key.count = 5
    await scene.add()
    scene.key.count = 6
    assert (await scene.sign_in(scene.key.get(await scene.challenge()))).status_code == 200
    mails = "SELECT count(*) FROM events WHERE starts_with(topic, 'mail.MailRequested@')"
    [before] = await scene.api.installation.query(mails)
    for count in (6, 5, 0):
        scene.key.count = count
        answer = await scene.sign_in(scene.key.get(await scene.challenge()))
        assert is_refused(answer, "passkey_refused", 401)
    [after] = await scene.api.installation.query(mails)
    assert after["count"] == before["count"] + 3
    scene.key.count = 7
    assert (await scene.sign_in(scene.key.get(await scene.challenge()))).status_code == 200


async def test_what_another_page_or_an_unlocked_key_signed_is_refused(scene: Scene) -> None:
    await scene.add()
    asked = await scene.challenge()
    for change in (
        {"origin": "https://api.test.evil.example"},
        {"origin": "http://api.test"},
        {"type": "webauthn.create"},
    ):
        assert is_refused(
            await scene.sign_in(scene.key.get(asked, **change)), "passkey_refused", 401
        )
    framed = await scene.sign_in(scene.key.get(asked, crossOrigin=True))
    assert is_refused(framed, "challenge_not_ours", 422)
    scene.key.rp_id = "evil.example"
    assert is_refused(await scene.sign_in(scene.key.get(asked)), "passkey_refused", 401)
    scene.key.rp_id, scene.key.flags = RP_ID, PRESENT  # nobody showed a finger, a face or a PIN
    assert is_refused(await scene.sign_in(scene.key.get(asked)), "passkey_refused", 401)
    unverified = await scene.send(scene.key.create(await scene.options()))
    assert is_refused(unverified, "passkey_not_accepted", 422)


async def test_a_changed_answer_is_refused_whatever_is_changed(scene: Scene) -> None:
    await scene.add()
    good = scene.key.get(await scene.challenge())
    for name in ("authenticatorData", "signature", "userHandle"):
        for value in (base64url(b"\xff" * 40), "AA", base64url(b"\x9f" * 5000)):
            changed = {**good, "response": {**good["response"], name: value}}
            assert is_refused(await scene.sign_in(changed), "passkey_refused", 401)
    for name, value in (("id", "AAAA"), ("rawId", "AAAA")):
        assert is_refused(await scene.sign_in({**good, name: value}), "passkey_refused", 401)
    made = scene.key.create(await scene.options())
    for value in ("AA", base64url(b"\x9f" * 5000), base64url(b"\xa1" * 3000), base64url(b"[" * 99)):
        changed = {**made, "response": {**made["response"], "attestationObject": value}}
        assert is_refused(await scene.send(changed), "passkey_not_accepted", 422)
    shapes: list[dict[str, Any]] = [
        {"id": 7},
        {"type": "password"},
        {"response": {}},
        {"colour": "blue"},
    ]
    for shape in shapes:
        assert is_problem(await scene.sign_in({**good, **shape}), 422)
    assert (await scene.sign_in(good)).status_code == 200


async def test_a_passkey_belongs_to_one_person_and_is_added_once(scene: Scene) -> None:
    options = await scene.options()
    credential = scene.key.create(options)
    assert (await scene.send(credential)).status_code == 201
    assert is_refused(await scene.send(credential), "passkey_known", 409)
    bert = await scene.api.join("bert")
    [passkey] = (await scene.anna.get("/v1/user/passkeys")).json()["passkeys"]
    theirs = await bert.ask("DELETE", f"/v1/user/passkeys/{passkey['id']}")
    assert is_problem(theirs, 404)
    assert (await bert.get("/v1/user/passkeys")).json()["passkeys"] == []


async def test_adding_and_removing_need_a_proof_of_the_last_quarter_of_an_hour(
    scene: Scene,
) -> None:
    passkey_id = await scene.add()
    options = await scene.options()
    scene.clock.pass_by(minutes=16)
    refreshed = await scene.api.nobody.post(
        "/v1/auth/refresh", {"refreshToken": scene.anna.session["refreshToken"]}
    )
    anna = Visitor(scene.api, {"Authorization": f"Bearer {refreshed.json()['accessToken']}"})
    remove = f"/v1/user/passkeys/{passkey_id}"
    assert is_refused(await anna.post("/v1/user/passkeys/options"), "step_up_required", 401)
    assert is_refused(await anna.ask("DELETE", remove), "step_up_required", 401)
    assert is_problem(await scene.send(scene.key.create(options), anna), 422)
    assert (await anna.post("/v1/auth/step-up", {"password": PASSWORD})).status_code == 200
    assert (await anna.post("/v1/user/passkeys/options")).status_code == 200
    assert (await anna.ask("DELETE", remove)).status_code == 200
