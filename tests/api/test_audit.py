from datetime import UTC, datetime

from domain.deployments.values import ReplicaPhase
from tests.api.conftest import Api
from tests.api.test_routes import is_problem


async def test_the_audit_tells_who_did_what_when_and_from_where(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    await berta.deploy("hers")
    wish = {"appName": "shop", "image": "tallyport/echo", "port": 8080}
    made = await anna.post("/v1/deployments", wish, X_Request_Id="order-66")
    shop = made.json()["id"]
    await api.report(shop, ReplicaPhase.READY)
    await api.installation.caught_up()

    listed = (await anna.get("/v1/audit?limit=100")).json()
    events = [each for each in listed["events"] if each["streamId"][:6] not in ("claim-", "quota-")]
    assert [each["position"] for each in events] == sorted(
        (each["position"] for each in events), reverse=True
    )
    types = {each["type"].partition(".")[2] for each in events}
    assert types >= {
        "UserRegistered",
        "SessionStarted",
        "DeploymentRequested",
        "ReplicaBecameReady",
        "DeploymentBecameHealthy",
    }
    assert {each["streamId"] for each in events} == {
        shop,
        anna.account["id"],
        next(each["streamId"] for each in events if each["type"].endswith("SessionStarted")),
    }
    [requested] = [each for each in events if each["type"].endswith("DeploymentRequested")]
    assert requested["actor"] == anna.account["id"]
    assert requested["address"] == "192.0.2.1"
    assert requested["correlationId"] == "order-66"
    assert requested["content"]["app_name"] == "shop"
    assert "anna@example.com" not in str(events)


async def test_the_audit_is_narrowed(api: Api) -> None:
    anna = await api.join()
    shop = await anna.deploy("shop")
    await api.report(shop, ReplicaPhase.READY)
    await api.installation.caught_up()
    middle = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    till = await anna.deploy("till")

    async def streams(query: str) -> set[str]:
        events = (await anna.get(f"/v1/audit?{query}")).json()["events"]
        return {
            each["streamId"]
            for each in events
            if not each["streamId"].startswith(("claim-", "quota-"))
        }

    assert await streams(f"streamId={shop}") == {shop}
    assert await streams("actor=provisioner") == {shop}
    assert await streams("type=deployments.DeploymentRequested") == {shop, till}
    assert await streams(f"from={middle}") == {till}
    assert shop in await streams(f"to={middle}")
    assert await streams("type=unheard.Of") == set()
    for wrong in ("limit=0", "sort=actor", "actor=%00", "from=then", "actor=" + "a" * 61):
        assert is_problem(await anna.get(f"/v1/audit?{wrong}"), 422), wrong
    assert await streams("actor=' OR 1=1 --") == set()


async def test_a_history_is_all_of_one_thing_and_of_ones_own(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    shop = await anna.deploy("shop")
    await anna.ask("PATCH", f"/v1/deployments/{shop}/scale", {"replicas": 2})
    history = (await anna.get(f"/v1/history/{shop}")).json()
    assert history["resource"] == shop
    assert [each["version"] for each in history["events"]] == [1, 2]
    person = anna.account["id"]
    assert len((await anna.get(f"/v1/history/{person}")).json()["events"]) == 2
    team = await anna.found_team()
    await anna.ask("PATCH", f"/v1/teams/{team}", {"name": "Apex"})
    history = (await anna.get(f"/v1/history/{team}")).json()
    assert [each["type"] for each in history["events"]][-1] == "teams.TeamRenamed"
    berta.position = anna.position
    for theirs in (shop, person, team, "claim-0123456789abcdef", "org-0000000000", "x' OR '1'='1"):
        assert is_problem(await berta.get(f"/v1/history/{theirs}"), 404), theirs
