"""Teams over HTTP: founded, shown, changed, left, and what that does to what one may."""

import asyncio

from api.callers import Doorkeeper
from commands.bus import Context
from commands.identity import ReinstateUser, SuspendUser
from commands.work import Actor
from domain.teams.values import Role
from projections.departures import DEPARTURES
from tests.api.conftest import Api, Visitor
from tests.api.test_routes import is_problem


async def test_a_team_is_founded_shown_listed_and_renamed(api: Api) -> None:
    anna = await api.join()
    made = await anna.post("/v1/teams", {"name": "Acme"})
    assert made.status_code == 201
    team_id = made.json()["id"]
    assert made.headers["location"] == f"/v1/teams/{team_id}"
    shown = await anna.get(f"/v1/teams/{team_id}")
    assert shown.json() == {
        **made.json(),
        "updatedAt": shown.json()["updatedAt"],
        "createdAt": shown.json()["createdAt"],
    }
    assert (shown.json()["role"], shown.json()["personal"]) == ("owner", False)
    listed = (await anna.get("/v1/teams?sort=name")).json()
    assert [team["name"] for team in listed["teams"]] == ["Acme", "Personal"]
    assert listed["pagination"]["total"] == 2

    stale = shown.headers["etag"]
    renamed = await anna.ask("PATCH", f"/v1/teams/{team_id}", {"name": "Apex"}, If_Match=stale)
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Apex")
    again = await anna.ask("PATCH", f"/v1/teams/{team_id}", {"name": "Ajax"}, If_Match=stale)
    assert is_problem(again, 412)
    taken = await anna.post("/v1/teams", {"name": "APEX"})
    assert is_problem(taken, 409)
    assert taken.json()["error"]["code"] == "team_name_taken"
    personal = await anna.ask("PATCH", f"/v1/teams/{anna.account['teamId']}", {"name": "Mine"})
    assert is_problem(personal, 422)
    assert personal.json()["error"]["code"] == "personal_team"


async def test_a_person_may_in_each_team_what_their_role_there_allows(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    deployment_id = await anna.deploy(teamId=team_id)
    await api.add_member(team_id, bert, Role.VIEWER)
    bert.position = anna.position
    path = f"/v1/deployments/{deployment_id}"
    assert (await bert.get(path)).status_code == 200
    assert is_problem(await bert.post(f"{path}/stop"), 403)
    assert (await bert.post("/v1/api-keys", {"name": "k"})).status_code == 201  # in his own
    assert is_problem(await bert.post("/v1/api-keys", {"name": "k", "teamId": team_id}), 403)

    role = {"role": "developer"}
    changed = await anna.ask("PATCH", f"/v1/teams/{team_id}/members/{bert.account['id']}", role)
    assert changed.json() == {"userId": bert.account["id"], "role": "developer"}
    assert (await bert.post(f"{path}/stop")).status_code == 200

    removed = await anna.ask("DELETE", f"/v1/teams/{team_id}/members/{bert.account['id']}")
    assert removed.json() == {"message": "Member removed"}
    for method, where in (
        ("GET", path),
        ("POST", f"{path}/start"),
        ("GET", f"/v1/teams/{team_id}"),
    ):
        assert is_problem(await bert.ask(method, where), 404)


async def test_another_process_knows_of_a_removal_within_its_memory(api: Api) -> None:
    """Within a second, and the time the view takes: asked until it is so."""
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await api.add_member(team_id, bert, Role.ADMIN)
    elsewhere = api.another()
    path = f"/v1/teams/{team_id}"
    there = bert.at(elsewhere)
    assert (await there.get(path)).status_code == 200
    removed = await anna.ask("DELETE", f"{path}/members/{bert.account['id']}")
    assert removed.status_code == 200
    async with asyncio.timeout(20):
        while (await there.get(path)).status_code == 200:  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.05)
    assert is_problem(await there.get(path), 404)
    # A command asks the team itself, so it is refused at once, whatever is remembered.
    assert is_problem(await there.ask("PATCH", path, {"name": "Mine now"}), 404)
    await elsewhere.close()


async def test_another_process_knows_of_a_new_team_when_its_founder_asks_for_it(api: Api) -> None:
    """Although it remembers, for a second, of somebody it has just seen what they might then."""
    anna = await api.join()
    elsewhere = api.another()
    there = anna.at(elsewhere)
    assert (await there.get("/v1/user/profile")).status_code == 200
    team_id = await anna.found_team()
    there.position = anna.position
    named = await there.get("/v1/deployments?teamId=" + team_id)
    assert named.status_code == 200, "what is read at a position is read by who one is then"

    later = await anna.found_team("Later")
    without = await there.ask("GET", f"/v1/teams/{later}")
    assert without.status_code == 200, "who finds nothing is looked up again"
    wish = {"appName": "shop", "image": "tallyport/echo", "port": 8080}
    another = await anna.found_team("Another")
    # The founder has only just been looked up again: so seldom is that done without a position.
    async with asyncio.timeout(20):
        while (  # noqa: ASYNC110 - it is asked
            made := await there.post("/v1/deployments", {**wish, "teamId": another})
        ).status_code == 404:
            await asyncio.sleep(0.02)
    assert made.status_code == 201
    await elsewhere.close()


async def test_finding_nothing_looks_somebody_up_only_now_and_then(api: Api) -> None:
    anna = await api.join()
    doorkeeper = Doorkeeper(api.services, again_seconds=3600)
    session_id = anna.session["refreshToken"].partition(".")[0]
    before = await doorkeeper.caller_of_session(session_id)
    first = await anna.found_team("First")
    then = await doorkeeper.look_again(before)
    assert (before.actor.sees(first), then.actor.sees(first)) == (False, True)
    await anna.found_team("Second")
    assert await doorkeeper.look_again(then) is then


async def test_members_are_listed_by_name_and_leave(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await api.add_member(team_id, bert, Role.ADMIN)
    path = f"/v1/teams/{team_id}/members"
    bert.position = anna.position
    listed = (await bert.get(path)).json()
    assert [(each["username"], each["role"]) for each in listed["members"]] == [
        ("anna", "owner"),
        ("bert", "admin"),
    ]
    assert "@" not in str(listed)
    last = await anna.ask("DELETE", f"{path}/me")
    assert is_problem(last, 422)
    assert last.json()["error"]["code"] == "last_owner"
    left = await bert.ask("DELETE", f"{path}/me")
    assert left.json() == {"message": "You left the team"}
    assert is_problem(await bert.ask("GET", path), 404)
    assert len((await anna.get(path)).json()["members"]) == 1


async def test_ownership_is_handed_over_by_making_an_owner_and_stepping_down(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await api.add_member(team_id, bert, Role.ADMIN)
    path = f"/v1/teams/{team_id}/members"
    own = await bert.ask("PATCH", f"{path}/me", {"role": "owner"})
    assert is_problem(own, 403)
    assert is_problem(await bert.ask("DELETE", f"{path}/{anna.account['id']}"), 403)
    for who, role in ((bert.account["id"], "owner"), ("me", "viewer")):
        assert (await anna.ask("PATCH", f"{path}/{who}", {"role": role})).status_code == 200
    assert is_problem(await anna.ask("DELETE", f"/v1/teams/{team_id}"), 403)
    assert (await bert.ask("DELETE", f"/v1/teams/{team_id}")).status_code == 200


async def test_a_team_is_deleted_once_nothing_is_left_of_it(api: Api) -> None:
    anna = await api.join()
    team_id = await anna.found_team()
    await anna.deploy(teamId=team_id)
    key = await anna.create_key(teamId=team_id)
    path = f"/v1/teams/{team_id}"
    refused = await anna.ask("DELETE", path)
    assert is_problem(refused, 409)
    assert refused.json()["error"]["details"] == [
        {"field": "deployments", "message": "1"},
        {"field": "apiKeys", "message": "1"},
    ]
    await anna.ask("DELETE", f"/v1/api-keys/{key['id']}")
    assert is_problem(await anna.ask("DELETE", path), 409)
    empty = await anna.found_team("Empty")
    program = await anna.with_key("admin:*", teamId=empty)
    assert is_problem(await program.ask("DELETE", f"/v1/teams/{empty}"), 403)
    assert is_problem(await anna.ask("DELETE", f"/v1/teams/{anna.account['teamId']}"), 422)
    gone = await anna.found_team("Gone")
    assert (await anna.ask("DELETE", f"/v1/teams/{gone}")).status_code == 200
    assert is_problem(await anna.get(f"/v1/teams/{gone}"), 404)
    assert gone not in str((await anna.get("/v1/teams")).json())


async def test_a_key_sees_its_team_and_no_other(api: Api) -> None:
    anna = await api.join()
    acme, ajax = await anna.found_team("Acme"), await anna.found_team("Ajax")
    program = await anna.with_key("team:read", teamId=acme)
    program.position = anna.position
    listed = (await program.get("/v1/teams")).json()["teams"]
    assert [(team["id"], team["role"]) for team in listed] == [(acme, None)]
    assert is_problem(await program.get(f"/v1/teams/{ajax}"), 404)
    assert is_problem(await program.ask("DELETE", f"/v1/teams/{acme}/members/me"), 403)


async def test_every_list_is_narrowed_to_one_team(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    acme = await anna.found_team()
    for name, team_id in (("one", acme), ("two", anna.account["teamId"])):
        await anna.deploy(name, teamId=team_id)
        await anna.create_key(teamId=team_id, name=name)
    for path, found in (("deployments", "appName"), ("api-keys", "name")):
        field = {"api-keys": "apiKeys"}.get(path, path)
        everything = (await anna.get(f"/v1/{path}?sort={found}")).json()[field]
        assert [each[found] for each in everything] == ["one", "two"]
        narrowed = (await anna.get(f"/v1/{path}?teamId={acme}")).json()
        assert [each[found] for each in narrowed[field]] == ["one"]
        assert narrowed["pagination"]["total"] == 1
    audit = (await anna.get(f"/v1/audit?teamId={acme}&limit=100")).json()["events"]
    assert {each["type"] for each in audit} == {
        "teams.TeamCreated",
        "teams.MemberAdded",
        "deployments.CapacityAllotted",
        "deployments.DeploymentRequested",
        "api_keys.ApiKeyCreated",
    }
    for path in ("deployments", "api-keys", "audit"):
        for foreign in (acme, "org-0000000000", "x"):
            assert is_problem(await bert.get(f"/v1/{path}?teamId={foreign}"), 404)


async def test_a_managing_key_of_who_left_is_refused_before_it_is_revoked(api: Api) -> None:
    """Nobody sees people off here: the API itself refuses."""
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await api.add_member(team_id, bert, Role.ADMIN)
    managing = await bert.with_key("keys:write", "deployments:read", teamId=team_id)
    made = await managing.post(
        "/v1/api-keys", {"name": "by a key", "scopes": ["deployments:read"], "teamId": team_id}
    )
    by_key = Visitor(api, {"X-API-Key": made.json()["apiKey"]})
    calling = await bert.with_key("call:*", teamId=team_id)
    kept = await anna.with_key("deployments:read", teamId=team_id)
    await anna.ask("DELETE", f"/v1/teams/{team_id}/members/{bert.account['id']}")
    await api.installation.caught_up([DEPARTURES])
    elsewhere = api.another()  # which remembers nobody
    for program, status in ((managing, 401), (by_key, 401), (calling, 200), (kept, 200)):
        answer = await program.at(elsewhere).ask("GET", "/v1/images")
        assert answer.status_code == status
    await elsewhere.close()


async def answered(api: Api, method: str, *programs: Visitor, **wish: object) -> list[int]:
    """Return what each is told when it asks about keys, by an API that remembers nobody."""
    await api.installation.caught_up()
    elsewhere = api.another()
    told = [await each.at(elsewhere).ask(method, "/v1/api-keys", wish or None) for each in programs]
    await elsewhere.close()
    return [each.status_code for each in told]


async def test_a_key_may_never_do_more_than_its_maker_may_now(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await api.add_member(team_id, bert, Role.OWNER)
    everything = await bert.with_key("admin:*", teamId=team_id)
    writing = await bert.with_key("keys:write", teamId=team_id)
    wish = {"name": "by a key", "scopes": ["keys:write"], "teamId": team_id}
    made = await writing.post("/v1/api-keys", wish)
    keys = (everything, writing, Visitor(api, {"X-API-Key": made.json()["apiKey"]}))
    member = f"/v1/teams/{team_id}/members/{bert.account['id']}"
    assert await answered(api, "POST", *keys, **wish) == [201, 201, 201]
    assert (await anna.ask("PATCH", member, {"role": "viewer"})).status_code == 200
    assert await answered(api, "POST", *keys, **wish) == [403, 403, 403]
    assert await answered(api, "GET", everything) == [200]
    assert (await anna.ask("PATCH", member, {"role": "developer"})).status_code == 200
    assert await answered(api, "POST", *keys, **wish) == [201, 201, 201]


async def test_the_managing_keys_of_who_is_shut_out_are_shut_out_as_long(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await api.add_member(team_id, bert, Role.ADMIN)
    managing = await bert.with_key("keys:read", teamId=team_id)
    calling = await bert.with_key("call:*", teamId=team_id)
    hers = await anna.with_key("keys:read", teamId=team_id)
    assert await answered(api, "GET", managing, calling, hers) == [200, 403, 200]
    boss = Context(actor=Actor(id="boss", platform_admin=True))
    user_id = bert.account["id"]
    await api.installation.dispatch(SuspendUser(user_id=user_id, reason="spam"), boss)
    assert await answered(api, "GET", managing, calling, hers) == [401, 403, 200]
    await api.installation.dispatch(ReinstateUser(user_id=user_id), boss)
    assert await answered(api, "GET", managing, calling, hers) == [200, 403, 200]
