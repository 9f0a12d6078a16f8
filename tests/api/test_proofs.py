"""What is delicate needs a proof of the last quarter of an hour; the rest does not."""

from collections.abc import AsyncIterator

import httpx
import pytest

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


async def test_stepping_up_counts_at_once_in_every_process(scene: Scene) -> None:
    await scene.later()
    assert asks_to_step_up(await scene.make_key("admin:*", api=scene.elsewhere))
    stepped = await scene.anna.post("/v1/auth/step-up", {"password": PASSWORD})
    assert stepped.status_code == 200
    assert (await scene.make_key("admin:*", api=scene.elsewhere)).status_code == 201
    assert (await scene.make_key("admin:*")).status_code == 201


async def test_a_key_needs_no_proof_of_a_person(scene: Scene) -> None:
    program = await scene.anna.with_key("keys:write", "team:write")
    await scene.later()
    made = await program.post("/v1/api-keys", {"name": "a key", "scopes": ["team:write"]})
    assert made.status_code == 201, made.text
