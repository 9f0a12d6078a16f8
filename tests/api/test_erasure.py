"""Deleting one's account."""

from domain.teams.values import Role
from tests.api.conftest import Api
from tests.api.test_routes import is_problem
from tests.wiring import PASSWORD


async def test_a_deleted_account_is_gone_at_once_and_its_names_are_free(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    second = await api.sign_in("anna@example.com")
    answer = await anna.ask("DELETE", "/v1/user", {"password": PASSWORD})
    assert answer.status_code == 200, answer.text
    assert "deleted" in answer.json()["message"]
    assert (await anna.get("/v1/user/profile")).status_code == 401
    second.position = anna.position
    assert (await api.another().client.get("/health/live")).status_code == 200
    other_process = api.another()
    refused = await other_process.client.get("/v1/user/profile", headers=second.headers)
    assert refused.status_code == 401
    token = {"refreshToken": anna.session["refreshToken"]}
    assert (await api.nobody.post("/v1/auth/refresh", token)).status_code in {401, 404}
    login = {"email": "anna@example.com", "password": PASSWORD}
    assert (await api.nobody.post("/v1/auth/login", login)).status_code == 401
    assert (await bert.get("/v1/user/profile")).status_code == 200
    again = await api.join("anna")
    assert again.account["id"] != anna.account["id"]


async def test_without_the_password_nothing_is_deleted(api: Api) -> None:
    anna = await api.join("anna")
    answer = await anna.ask("DELETE", "/v1/user", {"password": "a guess"})
    assert is_problem(answer, 401)
    assert (await anna.get("/v1/user/profile")).status_code == 200


async def test_a_key_deletes_nobody(api: Api) -> None:
    anna = await api.join("anna")
    robot = await anna.with_key("admin:*")
    answer = await robot.ask("DELETE", "/v1/user", {"password": PASSWORD})
    assert answer.status_code == 403


async def test_the_only_owner_of_a_team_is_told_what_to_do_first(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team("Acme")
    body = {"password": PASSWORD}
    refused = await anna.ask("DELETE", "/v1/user", body)
    assert is_problem(refused, 409)
    assert refused.json()["error"]["code"] == "only_owner"
    assert refused.json()["error"]["details"] == [{"field": team_id, "message": "Acme"}]
    await api.add_member(team_id, bert, Role.OWNER)
    assert (await anna.ask("DELETE", "/v1/user", body)).status_code == 200
    bert.position = anna.position
    members = (await bert.get(f"/v1/teams/{team_id}/members")).json()["members"]
    assert [member["username"] for member in members] == ["bert"]
