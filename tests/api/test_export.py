"""Everything held about oneself, for oneself alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.identity.values import RECENT
from domain.teams.values import Role
from projections import personal_data
from tests.api.conftest import Api
from tests.api.test_routes import is_problem
from tests.wiring import PASSWORD


async def test_it_has_all_that_is_known_with_what_is_personal_in_clear(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    key = await anna.create_key(name="for the shop")
    app = await anna.deploy("shop", envVars={"TOKEN": "a hushed value"})
    team_id = await bert.found_team("Acme")
    await api.add_member(team_id, anna, Role.VIEWER)
    anna.position = bert.position
    answer = await anna.get("/v1/user/export")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    known = answer.json()
    assert known["profile"]["username"] == "anna"
    assert known["profile"]["email"] == "anna@example.com"
    assert [session["address"] for session in known["sessions"]] == ["192.0.2.1"]
    assert [made["id"] for made in known["apiKeys"]] == [key["id"]]
    assert [deployment["id"] for deployment in known["deployments"]] == [app]
    assert {team["name"]: team["role"] for team in known["teams"]} == {
        "Personal": "owner",
        "Acme": "viewer",
    }
    events = {event["type"]: event for event in known["events"]}
    registered = events["identity.UserRegistered"]
    assert registered["content"]["email"] == "anna@example.com"
    assert registered["address"] == "192.0.2.1"
    assert events["deployments.DeploymentRequested"]["streamId"] == app
    assert events["api_keys.ApiKeyCreated"]["actor"] == anna.account["id"]
    assert "teams.MemberAdded" in events
    positions = [event["position"] for event in known["events"]]
    assert positions == sorted(positions)
    _tells_no_secret(answer.text, key, anna.session)
    assert "bert" not in answer.text


def _tells_no_secret(text: str, *secrets: dict[str, Any]) -> None:
    for secret in ("sealed:1:", "argon2", "a hushed value", PASSWORD):
        assert secret not in text
    for holder in secrets:
        for name in ("apiKey", "accessToken", "refreshToken"):
            assert holder.get(name, "sealed:1:") not in text


async def test_it_comes_in_pages_without_a_gap_or_a_repeat(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = await api.join("anna")
    keys = [(await anna.create_key())["id"] for _ in range(7)]
    whole = (await anna.get("/v1/user/export")).json()
    monkeypatch.setattr(personal_data, "PAGE", 3)
    paged = (await anna.get("/v1/user/export")).json()
    assert sorted(keys) == [key["id"] for key in paged["apiKeys"]]
    assert {**paged, "exportedAt": ""} == {**whole, "exportedAt": ""}


async def test_an_old_proof_is_not_enough(api: Api) -> None:
    anna = await api.join("anna")
    [session] = (await anna.get("/v1/user/export")).json()["sessions"]
    moment = datetime.now(UTC) + RECENT + timedelta(seconds=1)
    token, _ = api.services.tokens.issue(
        user_id=anna.account["id"], session_id=session["id"], now=moment
    )
    refused = await api.at(moment).client.get(
        "/v1/user/export", headers={"Authorization": f"Bearer {token}"}
    )
    assert is_problem(refused, 401)
    assert refused.json()["error"]["code"] == "step_up_required"


async def test_a_key_exports_nobody(api: Api) -> None:
    robot = await (await api.join("anna")).with_key("admin:*")
    assert is_problem(await robot.get("/v1/user/export"), 403)
