"""Who looks after the platform sees what does not work, and can do something about it."""

from projections import processes
from projections.catalogue import VIEWS
from tests.api.conftest import Api, Visitor
from tests.api.test_alerts import appoint
from tests.api.test_routes import is_problem

BROKEN = "deployments.DeploymentRequested@1"


async def admin(api: Api) -> Visitor:
    anna = await api.join("anna")
    await appoint(api, anna)
    return anna


async def test_every_part_says_how_it_stands_and_what_to_do(api: Api) -> None:
    anna = await admin(api)
    async with api.installation.pool.connection() as connection:
        report = b'{"driver": "docker", "advice": "Set live-restore."}'
        await processes.tell_report(connection, "provisioner", report)
        await connection.execute(
            "SELECT pg_advisory_lock(%s, %s)",
            (processes.LOCK_CLASS, processes.lock_key("provisioner")),
        )
        health = (await anna.get("/v1/admin/health")).json()
    parts = {part["name"]: part for part in health["parts"]}
    assert parts.keys() == {"database", "counters", "kafka", "gateways", "containers"}
    assert parts["database"]["state"] == "up"
    assert parts["kafka"]["state"] == "unused"
    assert parts["containers"]["state"] == "up"
    assert parts["containers"]["advice"] == "Set live-restore."
    assert parts["gateways"]["state"] == health["state"] == "down"
    assert "gateway" in parts["gateways"]["advice"]
    workers = {worker["name"]: worker["state"] for worker in health["workers"]}
    assert workers["provisioner"] == "up"
    assert workers["mailer"] == "down"
    views = {view["name"]: view for view in health["views"]}
    assert views.keys() == {view.name for view in VIEWS}
    assert {view["parked"] for view in views.values()} == {0}


async def test_a_parked_event_is_discarded_and_what_follows_is_applied(api: Api) -> None:
    anna = await admin(api)
    deployment_id = await anna.deploy()
    before = (await api.installation.store.versions([deployment_id]))[deployment_id]
    await api.installation.append_raw(deployment_id, before + 1, BROKEN, b"{}")
    await api.installation.caught_up()
    listed = (await anna.get("/v1/admin/parked-events?view=deployments")).json()
    [parked] = listed["parkedEvents"]
    assert (parked["streamId"], parked["type"]) == (deployment_id, BROKEN.partition("@")[0])
    assert parked["error"]
    health = (await anna.get("/v1/admin/health")).json()
    [view] = [view for view in health["views"] if view["name"] == "deployments"]
    assert (view["state"], view["parked"]) == ("degraded", 1)

    path = f"/v1/admin/parked-events/{parked['id']}"
    assert (await anna.post(f"{path}/retry")).status_code == 202
    await api.installation.until("NOT EXISTS (SELECT FROM parked_events WHERE retry_wanted)")
    assert (await anna.get("/v1/admin/parked-events?view=deployments")).json()["parkedEvents"]
    assert (await anna.post(f"{path}/discard")).status_code == 202
    await api.installation.until(
        "NOT EXISTS (SELECT FROM parked_events WHERE view = 'deployments')"
    )
    assert is_problem(await anna.post(f"{path}/retry"), 404)
    for nothing in (
        "deployments",
        "deployments.x",
        "weather.1",
        "deployments." + "9" * 30,
        "a%00b.1",
    ):
        assert is_problem(await anna.post(f"/v1/admin/parked-events/{nothing}/retry"), 404)

    audit = (await anna.get("/v1/audit?limit=50")).json()["events"]
    done = {event["type"]: event["content"] for event in audit if event["type"].startswith("admin")}
    place = {"view": "deployments", "position": parked["position"], "stream_id": deployment_id}
    assert done == {
        "administration.ParkedEventRetried": place,
        "administration.ParkedEventDiscarded": place,
    }


async def test_a_view_is_filled_anew_on_demand(api: Api) -> None:
    anna = await admin(api)
    assert (await anna.post("/v1/admin/views/mails/replay")).status_code == 202
    await api.installation.until(
        "EXISTS (SELECT FROM view_generations WHERE view = 'mails' AND live AND generation = 2)"
    )
    assert is_problem(await anna.post("/v1/admin/views/weather/replay"), 404)
