"""What is delicate needs a proof of the last quarter of an hour; the rest does not."""

from collections.abc import AsyncIterator

import httpx
import pyotp
import pytest

from domain.identity.events import PlatformAdminGranted
from projections.identity import USERS
from tests.api.conftest import Api, Visitor
from tests.api.test_routes import is_problem
from tests.wiring import PASSWORD, Clock


class Scene:
    """Anna, still signed in after twenty minutes, and another process."""

    def __init__(self, api: Api, elsewhere: Api, clock: Clock, anna: Visitor) -> None:
        self.api = api
        self.elsewhere = elsewhere
        self.clock = clock
        self.anna = anna

    async def later(self) -> None:
        """Let twenty minutes pass, in which she goes on working."""
        self.clock.pass_by(minutes=20)
        token = {"refreshToken": self.anna.session["refreshToken"]}
        refreshed = await self.api.nobody.post("/v1/auth/refresh", token)
        assert refreshed.status_code == 200
        self.anna.session = refreshed.json()
        self.anna.headers = {"Authorization": f"Bearer {refreshed.json()['accessToken']}"}

    async def make_key(self, *scopes: str, api: Api | None = None) -> httpx.Response:
        visitor = Visitor(api or self.api, self.anna.headers)
        return await visitor.post("/v1/api-keys", {"name": "a key", "scopes": list(scopes)})


@pytest.fixture
async def scene(api: Api) -> AsyncIterator[Scene]:
    clock = Clock()
    timed, elsewhere = api.timed(clock), api.timed(clock)
    yield Scene(timed, elsewhere, clock, await timed.join())
    await elsewhere.close()
    await timed.close()


def asks_to_step_up(answer: httpx.Response) -> bool:
    assert is_problem(answer, 401), answer.text
    return str(answer.json()["error"]["code"]) == "step_up_required"


async def test_a_key_with_power_over_the_team_is_made_only_shortly_after_a_proof(
    scene: Scene,
) -> None:
    assert (await scene.make_key("team:write")).status_code == 201
    await scene.later()
    ordinary = await scene.make_key("deployments:write")
    assert ordinary.status_code == 201
    for scopes in (("team:write",), ("admin:*",), ("deployments:read", "admin:*")):
        assert asks_to_step_up(await scene.make_key(*scopes))
    path = f"/v1/api-keys/{ordinary.json()['id']}"
    assert asks_to_step_up(await scene.anna.ask("PATCH", path, {"scopes": ["admin:*"]}))
    assert (await scene.anna.ask("PATCH", path, {"name": "another"})).status_code == 200


async def test_an_address_is_changed_only_shortly_after_a_proof_and_a_name_at_any_time(
    scene: Scene,
) -> None:
    await scene.later()
    path = "/v1/user/profile"
    assert asks_to_step_up(await scene.anna.ask("PUT", path, {"email": "other@example.org"}))
    assert (await scene.anna.ask("PUT", path, {"username": "anna.b"})).status_code == 200


async def test_stepping_up_counts_at_once_in_every_process(scene: Scene) -> None:
    await scene.later()
    assert asks_to_step_up(await scene.make_key("admin:*", api=scene.elsewhere))
    stepped = await scene.anna.post("/v1/auth/step-up", {"password": PASSWORD})
    assert stepped.status_code == 200
    assert (await scene.make_key("admin:*", api=scene.elsewhere)).status_code == 201
    assert (await scene.make_key("admin:*")).status_code == 201


async def sign_in(scene: Scene, api: Api, otp: str | None = None) -> Visitor:
    login = {"email": "anna@example.com", "password": PASSWORD}
    answer = await api.nobody.post(
        "/v1/auth/login", login if otp is None else {**login, "otp": otp}
    )
    assert answer.status_code == 200, answer.text
    visitor = Visitor(api, {"Authorization": f"Bearer {answer.json()['accessToken']}"})
    visitor.position = scene.anna.position
    return visitor


async def become_admin(scene: Scene) -> None:
    user_id = scene.anna.account["id"]
    versions = await scene.api.installation.store.versions([user_id])
    granted = PlatformAdminGranted(user_id=user_id, how="command line")
    await scene.api.installation.append(user_id, granted, after=versions[user_id])
    await scene.api.installation.caught_up([USERS])


async def test_an_admin_of_the_platform_proves_all_that_there_is_to_prove(scene: Scene) -> None:
    await become_admin(scene)
    by_password = await sign_in(scene, scene.api)
    assert (await by_password.get("/v1/admin/users")).status_code == 200
    prepared = (await by_password.post("/v1/user/2fa", {"password": PASSWORD})).json()
    app = pyotp.TOTP(prepared["secret"])
    code = {"otp": app.at(int(scene.clock.now.timestamp()))}
    confirmed = await by_password.post("/v1/user/2fa/confirm", code)
    assert confirmed.status_code == 200

    # There is more to prove now: the session of before did not.
    refused = await by_password.get("/v1/admin/users")
    assert is_problem(refused, 403)
    assert refused.json()["error"]["code"] == "second_factor_required"
    by_both = await sign_in(scene, scene.api, confirmed.json()["recoveryCodes"][0])
    assert (await by_both.get("/v1/admin/users")).status_code == 200
    scene.clock.pass_by(minutes=9)
    stepping = {"password": PASSWORD, "otp": app.at(int(scene.clock.now.timestamp()))}
    assert (await by_password.post("/v1/auth/step-up", stepping)).status_code == 200
    assert (await by_password.get("/v1/admin/users")).status_code == 200


async def test_whether_an_admin_needs_a_second_factor_is_a_setting(scene: Scene) -> None:
    await become_admin(scene)
    for wanted, status in (("always", 403), ("once-set", 200), ("never", 200)):
        api = scene.api.timed(scene.clock, admin_second_factor=wanted)
        admin = await sign_in(scene, api)
        assert (await admin.get("/v1/admin/users")).status_code == status, wanted
        await api.close()


async def test_a_key_needs_no_proof_of_a_person(scene: Scene) -> None:
    program = await scene.anna.with_key("keys:write", "team:write")
    await scene.later()
    made = await program.post("/v1/api-keys", {"name": "a key", "scopes": ["team:write"]})
    assert made.status_code == 201, made.text
