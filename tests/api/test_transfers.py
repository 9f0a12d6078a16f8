"""A deployment changes hands: who sees it, who calls it, and whose its past and future are."""

from domain.deployments.values import ReplicaPhase
from domain.teams.values import Role
from projections.gateway import ROUTES
from projections.revisions import REVISIONS
from tests.api.conftest import Api
from tests.api.test_routes import is_problem


async def test_a_deployment_goes_to_another_team_and_leaves_the_first(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    acme = await anna.found_team("Acme")
    await api.add_member(acme, bert, Role.DEVELOPER)
    ajax = await bert.found_team("Ajax")
    deployment_id = await anna.deploy(teamId=acme, envVars={"GREETING": "hello"})
    await api.report(deployment_id, ReplicaPhase.READY)
    await api.installation.caught_up()
    path = f"/v1/deployments/{deployment_id}"
    moved = await bert.post(f"{path}/transfer", {"teamId": ajax}, If_Match='"1"')
    assert is_problem(moved, 412)
    etag = (await bert.get(path)).headers["etag"]
    moved = await bert.post(f"{path}/transfer", {"teamId": ajax}, If_Match=etag)
    assert moved.status_code == 200, moved.text
    assert (moved.json()["status"], moved.json()["revision"]) == ("updating", 2)

    anna.position = bert.position
    assert is_problem(await anna.get(path), 404)
    assert is_problem(await anna.post(f"{path}/stop"), 404)
    shown = (await bert.get(path)).json()
    assert (shown["id"], shown["envVars"].keys()) == (deployment_id, {"GREETING"})
    listed = (await bert.get(f"/v1/deployments?teamId={ajax}")).json()["deployments"]
    assert [each["id"] for each in listed] == [deployment_id]

    [route] = await api.installation.rows(ROUTES)
    assert route["team_id"] == ajax  # so the gateway lets its keys in, and no other's
    causes = [row["cause"] for row in await api.installation.rows(REVISIONS)]
    assert causes == ["created", "transferred"]


async def test_each_team_sees_of_the_history_what_was_its_own(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    acme = await anna.found_team("Acme")
    await api.add_member(acme, bert, Role.DEVELOPER)
    deployment_id = await anna.deploy(teamId=acme)
    then = anna.position
    path, story = f"/v1/deployments/{deployment_id}", f"/v1/history/{deployment_id}"
    given = await bert.post(f"{path}/transfer", {"teamId": bert.account["teamId"]})
    assert given.status_code == 200
    await bert.post(f"{path}/stop")
    await bert.ask("DELETE", f"/v1/teams/{acme}/members/me")
    anna.position = bert.position

    theirs = [each["type"] for each in (await anna.get(story)).json()["events"]]
    assert theirs == ["deployments.DeploymentRequested", "deployments.DeploymentTransferred"]
    ours = [each["type"] for each in (await bert.get(story)).json()["events"]]
    assert ours == ["deployments.DeploymentTransferred", "deployments.DeploymentStopRequested"]
    for visitor, types in ((anna, theirs), (bert, ours)):
        audit = (await visitor.get(f"/v1/audit?streamId={deployment_id}&limit=100")).json()
        assert [each["type"] for each in reversed(audit["events"])] == types
    assert (await anna.get(f"{path}?asOf={then}")).json()["status"] == "pending"
    assert is_problem(await bert.get(f"{path}?asOf={then}"), 404)
    assert is_problem(await anna.get(f"{path}?asOf={bert.position}"), 404)
