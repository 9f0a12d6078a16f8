"""How much a team may run at once, over HTTP."""

import asyncio

from commands.bus import Context
from commands.identity import IssueAdminLink
from commands.work import Actor
from domain.deployments.values import Quota
from tests.api.conftest import Api, Visitor
from tests.api.test_routes import is_problem

QUOTA = Quota(deployments=3, replicas=10, cpu_millis=8000, memory_bytes=8 * 1024**3)


async def an_admin(api: Api) -> Visitor:
    await api.join("boss")
    issue = IssueAdminLink(only_first=True)
    issued = await api.installation.dispatch(issue, Context(actor=Actor(id="operator")))
    boss = await api.sign_in("boss@example.com")
    assert (await boss.post("/v1/setup", {"token": issued.result})).status_code == 200
    await api.installation.caught_up()
    return await api.sign_in("boss@example.com")


async def test_a_team_sees_what_it_has_and_is_told_what_it_lacks(api: Api) -> None:
    anna = await api.another(quota=QUOTA).join()
    shop = await anna.deploy("shop", replicas=7, resources={"cpu": "250m", "memory": "512Mi"})
    path = f"/v1/teams/{anna.account['teamId']}/quota"
    assert (await anna.get(path)).json() == {
        "teamId": anna.account["teamId"],
        "deployments": {"used": 1, "limit": 3, "own": False},
        "replicas": {"used": 7, "limit": 10, "own": False},
        "cpu": {"used": "1750m", "limit": "8000m", "own": False},
        "memory": {"used": "3584Mi", "limit": "8Gi", "own": False},
    }
    wish = {"appName": "till", "image": "tallyport/echo", "port": 8080, "replicas": 4}
    refused = await anna.post("/v1/deployments", wish)
    assert is_problem(refused, 422)
    assert refused.json()["error"]["code"] == "quota_exceeded"
    assert refused.json()["error"]["message"] == "Needs 4 more replicas, 3 left of 10."
    more = await anna.ask("PATCH", f"/v1/deployments/{shop}/scale", {"replicas": 10**9})
    assert is_problem(more, 422)
    assert "Needs 999999993 more replicas, 3 left of 10" in more.json()["error"]["message"]
    for number in (0, 10):
        scaled = await anna.ask("PATCH", f"/v1/deployments/{shop}/scale", {"replicas": number})
        assert (scaled.status_code, scaled.json()["replicas"]) == (200, number)
    assert (await anna.get(path)).json()["replicas"]["used"] == 10
    stopped = await anna.post(f"/v1/deployments/{shop}/stop")
    assert stopped.status_code == 200
    shown = (await anna.get(path)).json()
    assert (shown["deployments"]["used"], shown["replicas"]["used"]) == (1, 0)
    assert shown["cpu"]["used"] == "0m"


async def test_an_admin_of_the_platform_gives_a_team_limits_of_its_own(api: Api) -> None:
    boss, anna = await an_admin(api), await api.join("anna")
    team_id = await anna.found_team()
    path = f"/v1/admin/teams/{team_id}/quota"
    changed = await boss.ask("PUT", path, {"replicas": 2, "cpu": "1.5", "memory": "1Gi"})
    assert changed.json() == {
        "teamId": team_id,
        "deployments": Quota().deployments,
        "replicas": 2,
        "cpu": "1500m",
        "memory": "1Gi",
    }
    wish = {"appName": "till", "image": "tallyport/echo", "port": 8080, "teamId": team_id}
    refused = await anna.post("/v1/deployments", {**wish, "replicas": 4})
    assert is_problem(refused, 422)
    assert refused.json()["error"]["details"] == [
        {"field": "replicas", "message": "needs 4 more replicas, 2 left of 2"},
        {"field": "cpu", "message": "needs 2000m of processor, 1500m left of 1500m"},
    ]
    assert (await anna.post("/v1/deployments", {**wish, "replicas": 2})).status_code == 201
    anna.position = str(await api.installation.store.last_position())
    shown = (await anna.get(f"/v1/teams/{team_id}/quota")).json()
    assert shown["replicas"] == {"used": 2, "limit": 2, "own": True}
    assert (shown["deployments"]["own"], shown["memory"]["own"]) == (False, True)

    taken_back = await boss.ask("PUT", path, {})
    assert taken_back.json()["replicas"] == Quota().replicas
    for wrong in (
        {"replicas": -1},
        {"cpu": "lots"},
        {"memory": "1TB"},
        {"disk": 1},
        {"replicas": True},
    ):
        assert is_problem(await boss.ask("PUT", path, wrong), 422)
    for missing in ("org-0000000000", "nonsense", anna.account["id"]):
        answer = await boss.ask("PUT", f"/v1/admin/teams/{missing}/quota", {"replicas": 1})
        assert is_problem(answer, 404)
    assert is_problem(await anna.ask("PUT", path, {"replicas": 1000}), 403)


async def test_of_many_that_ask_at_once_as_many_as_there_is_room_for_get_it(api: Api) -> None:
    anna = await api.another(quota=QUOTA).join()
    wishes = (
        {"appName": f"app-{number}", "image": "tallyport/echo", "port": 8080}
        for number in range(12)
    )
    answers = await asyncio.gather(*(anna.post("/v1/deployments", wish) for wish in wishes))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [422] * 9
