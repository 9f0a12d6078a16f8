import asyncio
import re
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from commands.bus import Context
from commands.deployments import SECRET_PURPOSE, ReportReplicas
from commands.work import Actor
from domain.deployments.deployment import DEPLOYMENT
from domain.deployments.values import ReplicaPhase, ReplicaReport
from infrastructure.clickhouse.client import ClickHouseClient
from infrastructure.registries.http import HttpRegistries
from projections.analytics.logs import ClickHouseLogSink
from tests.api.conftest import Api, held_back
from tests.api.test_routes import is_problem
from tests.images.registry import Registry


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line as the collector hands it over."""

    team_id: str
    deployment_id: str
    replica_id: str
    timestamp_ns: int
    ordinal: int
    source: str
    level: str
    message: str


READY, STARTING, UNHEALTHY = ReplicaPhase.READY, ReplicaPhase.STARTING, ReplicaPhase.UNHEALTHY


async def test_a_deployment_is_answered_as_the_contract_says(api: Api) -> None:
    anna = await api.join()
    wish = {
        "appName": "shop",
        "image": "ghcr.io/anna/shop:1.2",
        "port": 8080,
        "replicas": 2,
        "envVars": {"GREETING": "a canary secret", "DEBUG": "1"},
        "resources": {"cpu": "100m", "memory": "128Mi"},
        "healthCheck": {"path": "/health", "periodSeconds": 7},
        "registryAuth": {"username": "anna", "password": "another canary"},
        "visibility": "public",
        "teamId": anna.account["teamId"],
    }
    answer = await anna.post("/v1/deployments", wish)
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/deployments/{made['id']}"
    assert {key: made[key] for key in ("appName", "image", "status", "url")} == {
        "appName": "shop",
        "image": "ghcr.io/anna/shop:1.2",
        "status": "pending",
        "url": "http://shop.apps.localhost:8080",
    }
    assert made["message"]
    assert re.fullmatch(r"dpl-[0-9a-z]{10}", made["id"])

    shown = (await anna.get(f"/v1/deployments/{made['id']}")).json()
    assert shown["envVars"] == {"DEBUG": "********", "GREETING": "********"}
    assert shown["resources"] == {
        "cpu": "100m",
        "memory": "128Mi",
        "storage": "64Mi",
        "pids": 256,
    }
    assert shown["healthCheck"]["path"] == "/health"
    assert shown["healthCheck"]["periodSeconds"] == 7
    assert (shown["port"], shown["replicas"], shown["visibility"]) == (8080, 2, "public")
    assert shown["deployedAt"] is None
    everything = [
        (await anna.get(path)).text
        for path in ("/v1/audit", f"/v1/history/{made['id']}", "/v1/deployments")
    ]
    assert "canary" not in str(shown) + str(everything)


@pytest.mark.parametrize(
    ("wish", "storage"),
    [
        ({}, "64Mi"),
        ({"memory": "1Gi"}, "64Mi"),
        ({"memory": "1Gi", "storage": "512Mi"}, "512Mi"),
        ({"memory": "20Gi", "storage": "10Gi"}, "10Gi"),
        ({"memory": "64Mi"}, "32Mi"),
        ({"storage": "1Mi"}, "1Mi"),
    ],
)
async def test_storage_is_what_was_asked_for_or_what_the_memory_allows(
    api: Api, wish: dict[str, str], storage: str
) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy(resources=wish)
    shown = (await anna.get(f"/v1/deployments/{deployment_id}")).json()
    assert shown["resources"]["storage"] == storage


@pytest.mark.parametrize(
    "wish",
    [
        {"storage": "129Mi"},  # beside 256Mi of memory
        {"memory": "64Gi", "storage": "11Gi"},
        {"storage": "1Ki"},
        {"storage": "-1Mi"},
        {"storage": "64"},
        {"storage": "64mb"},
        {"storage": 64},
        {"storage": ""},
        {"pids": 15},
        {"pids": 4097},
        {"pids": "256"},
        {"pids": True},
        {"disk": "1Gi"},
    ],
)
async def test_what_cannot_be_given_is_refused(api: Api, wish: dict[str, object]) -> None:
    anna = await api.join()
    body = {"appName": "shop", "image": "tallyport/echo", "port": 8080, "resources": wish}
    assert is_problem(await anna.post("/v1/deployments", body), 422)


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        ({"path": "/health"}, "http"),
        ({"type": "http", "path": "/health"}, "http"),
        ({"periodSeconds": 9}, "tcp"),
        ({"type": "tcp", "successThreshold": 2}, "tcp"),
        ({"command": ["pg_isready", "-q"]}, "command"),
        ({"type": "command", "command": ["pg_isready", "-q"], "timeoutSeconds": 9}, "command"),
        ({"type": "image"}, "image"),
    ],
)
async def test_a_health_check_is_of_the_type_that_is_named_or_meant(
    api: Api, wish: dict[str, object], kind: str
) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy(healthCheck=wish)
    shown = (await anna.get(f"/v1/deployments/{deployment_id}")).json()["healthCheck"]
    assert shown["type"] == kind
    assert {name: shown[name] for name in wish} == wish


@pytest.mark.parametrize(
    "wish",
    [
        {"type": "http"},
        {"type": "tcp", "path": "/health"},
        {"type": "image", "command": ["true"]},
        {"type": "command"},
        {"type": "command", "command": []},
        {"type": "command", "command": [""]},
        {"type": "command", "command": "true"},
        {"type": "command", "command": ["x\u0000y"]},
        {"type": "command", "command": ["x"] * 65},
        {"type": "command", "command": ["x" * 5000]},
        {"type": "exec", "command": ["true"]},
        {"path": "/health", "command": ["true"]},
        {"path": "http://169.254.169.254/"},
        {"path": "/health", "successThreshold": 0},
        {"path": "/health", "privileged": True},
    ],
)
async def test_a_health_check_that_cannot_be_carried_out_is_refused(
    api: Api, wish: dict[str, object]
) -> None:
    anna = await api.join()
    body = {"appName": "shop", "image": "tallyport/echo", "port": 8080, "healthCheck": wish}
    assert is_problem(await anna.post("/v1/deployments", body), 422)


async def test_a_name_belongs_to_one_deployment_until_it_is_gone(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    deployment_id = await anna.deploy("shop")
    wish = {"appName": "shop", "image": "tallyport/echo", "port": 8080}
    taken = await berta.post("/v1/deployments", wish)
    assert is_problem(taken, 409)
    assert taken.json()["error"]["code"] == "app_name_taken"

    going = await anna.ask("DELETE", f"/v1/deployments/{deployment_id}")
    assert going.status_code == 202
    assert (await anna.get(f"/v1/deployments/{deployment_id}")).json()["status"] == "deleting"
    await api.report(deployment_id)
    assert (await berta.post("/v1/deployments", wish)).status_code == 201


async def test_a_deletion_is_answered_when_nothing_is_left(api: Api) -> None:
    patient = api.another(deletion_wait_seconds=20.0)
    anna = await api.join()
    deployment_id = await anna.deploy()
    await api.report(deployment_id, READY)
    path = f"/v1/deployments/{deployment_id}"
    deleting = asyncio.create_task(patient.client.delete(path, headers=anna.headers))
    while (await anna.ask("GET", path)).json().get("status") != "deleting":  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert not deleting.done()
    await api.report(deployment_id)

    answer = await deleting
    assert answer.status_code == 200
    assert answer.json() == {"message": "Deployment deleted successfully"}
    assert is_problem(await anna.ask("GET", path), 404)
    assert is_problem(await anna.ask("DELETE", path), 404)
    assert len((await anna.get(f"/v1/history/{deployment_id}")).json()["events"]) > 3
    await patient.close()


async def test_it_is_scaled_stopped_and_started_in_the_contracts_words(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    path = f"/v1/deployments/{deployment_id}"
    await api.report(deployment_id, READY)

    scaled = (await anna.ask("PATCH", f"{path}/scale", {"replicas": 3})).json()
    assert (scaled["id"], scaled["replicas"], scaled["status"]) == (deployment_id, 3, "scaling")
    await api.report(deployment_id, READY, READY, READY)
    stopped = (await anna.post(f"{path}/stop")).json()
    assert (stopped["id"], stopped["status"]) == (deployment_id, "stopping")
    assert is_problem(await anna.ask("PATCH", f"{path}/scale", {"replicas": 1}), 422)
    await api.report(deployment_id)
    assert (await anna.get(path)).json()["status"] in {"stopping", "stopped"}
    started = (await anna.post(f"{path}/start")).json()
    assert (started["id"], started["status"]) == (deployment_id, "starting")
    assert all(each["message"] for each in (scaled, stopped, started))


async def test_no_more_replicas_than_the_quota_and_only_whole_ones(api: Api) -> None:
    anna = await api.join()
    path = f"/v1/deployments/{await anna.deploy()}/scale"
    wrong: list[object] = [101, 10**9, -1, 1.5, "1e3", "3", True, None, [], 10**30]
    for replicas in wrong:
        assert is_problem(await anna.ask("PATCH", path, {"replicas": replicas}), 422), replicas
    assert (await anna.ask("PATCH", path, {"replicas": 20})).status_code == 200


async def test_status_tells_what_the_containers_are(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy(replicas=2)
    path = f"/v1/deployments/{deployment_id}/status"

    async def status() -> tuple[str, str, int]:
        await api.installation.caught_up()
        shown = (await anna.get(path)).json()
        assert set(shown["replicas"]) == {"desired", "ready", "available"}
        assert shown["replicas"]["desired"] == 2
        assert re.fullmatch(r"(\d+h )?(\d+m )?\d+s", shown["uptime"])
        return shown["status"], shown["health"], shown["replicas"]["ready"]

    assert await status() == ("pending", "starting", 0)
    await api.report(deployment_id, STARTING, STARTING)
    assert await status() == ("pending", "starting", 0)
    await api.report(deployment_id, READY, READY)
    assert await status() == ("running", "healthy", 2)
    await api.report(deployment_id, READY, UNHEALTHY)
    assert (await status())[1:] == ("degraded", 1)
    shown = (await anna.get(path)).json()
    assert shown["lastHealthCheck"]
    assert shown["restartCount"] == 0
    later = api.services.clock() + timedelta(minutes=5, seconds=30)
    elsewhere = api.with_services(clock=lambda: later)
    shown = (await anna.at(elsewhere).get(path)).json()
    assert re.fullmatch(r"([5-9]|1\d)m \d+s", shown["uptime"])


async def test_a_list_is_narrowed_by_status(api: Api) -> None:
    anna = await api.join()
    first, second = await anna.deploy("first"), await anna.deploy("second")
    await api.report(first, READY)
    await api.installation.caught_up()
    for status, expected in (("running", [first]), ("pending", [second]), ("failed", [])):
        listed = (await anna.get(f"/v1/deployments?status={status}")).json()
        assert [each["id"] for each in listed["deployments"]] == expected
        assert listed["pagination"]["total"] == len(expected)
    assert is_problem(await anna.get("/v1/deployments?status=nice"), 422)


async def test_a_deployment_is_found_by_its_name_among_ones_own(api: Api) -> None:
    anna, bela = await api.join(), await api.join("bela")
    await anna.deploy("first")
    second = await anna.deploy("second")
    await api.installation.caught_up()
    for who, name, expected in (
        (anna, "second", [second]),
        (anna, "secon", []),
        (bela, "second", []),
    ):
        listed = (await who.get(f"/v1/deployments?appName={name}")).json()
        assert [each["id"] for each in listed["deployments"]] == expected


async def test_a_change_is_made_only_to_the_version_that_was_read(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    path = f"/v1/deployments/{deployment_id}"
    tag = (await anna.get(path)).headers["etag"]
    changed = await anna.ask("PATCH", f"{path}/scale", {"replicas": 2}, If_Match=tag)
    assert changed.status_code == 200
    await anna.get(path)
    for method, url, body in (
        ("PATCH", f"{path}/scale", {"replicas": 3}),
        ("POST", f"{path}/stop", None),
        ("POST", f"{path}/start", None),
        ("DELETE", path, None),
    ):
        assert is_problem(await anna.ask(method, url, body, If_Match=tag), 412), url
    now = changed.headers["etag"]
    for wrong in ('W/"2"', "2", '"0"', "x", '"1" "2"', '"-2"', '"' + "9" * 30 + '"', ""):
        assert is_problem(await anna.post(f"{path}/stop", If_Match=wrong), 412), wrong
    stopped = await anna.post(f"{path}/stop", If_Match=f'"77", {now}')
    assert stopped.status_code == 200
    assert (await anna.get(path)).headers["etag"] == stopped.headers["etag"] != now
    assert (await anna.post(f"{path}/start", If_Match="*")).status_code == 200


async def test_of_two_hundred_pairs_that_read_the_same_one_each_is_carried_out(api: Api) -> None:
    anna = await api.join()
    apis = [api, api.another()]

    async def pairs(number: int) -> list[list[int]]:
        path = f"/v1/deployments/{await anna.deploy(f'app-{number}')}/scale"
        tag, seen = '"1"', []
        for again in range(10):
            answers = await asyncio.gather(
                *(
                    one.client.patch(
                        path,
                        json={"replicas": 2 + again % 2},
                        headers={**anna.headers, "If-Match": tag},
                    )
                    for one in apis
                )
            )
            seen.append(sorted(answer.status_code for answer in answers))
            tag = next(each.headers["etag"] for each in answers if each.status_code == 200)
        return seen

    seen = [each for some in await asyncio.gather(*map(pairs, range(20))) for each in some]
    assert seen == [[200, 412]] * 200
    await apis[1].close()


async def test_it_is_shown_as_it_was_at_a_time_or_position(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    deployment_id = await anna.deploy()
    path = f"/v1/deployments/{deployment_id}"
    then = anna.position
    await asyncio.sleep(0.01)
    moment = datetime.now(UTC).isoformat()
    await anna.ask("PATCH", f"{path}/scale", {"replicas": 5})
    assert (await anna.get(path)).json()["replicas"] == 5

    for as_of in (then, moment, moment.replace("+00:00", "Z"), moment.replace("+", "%2B")):
        shown = await anna.get(f"{path}?asOf={as_of}")
        assert shown.status_code == 200, shown.text
        assert (shown.json()["replicas"], shown.json()["status"]) == (1, "pending")
    before = (datetime.now(UTC) - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert is_problem(await anna.get(f"{path}?asOf={before}"), 404)
    assert is_problem(await anna.get(f"{path}?asOf=0"), 404)
    assert is_problem(await berta.get(f"{path}?asOf={then}"), 404)
    for wrong in ("yesterday", "9" * 19, "-1", "2026-01-01", "%00", "9999-12-31T23:59:59-23:59"):
        assert is_problem(await anna.get(f"{path}?asOf={wrong}"), 422), wrong


async def test_logs_are_the_newest_lines_oldest_first(
    api: Api, clickhouse: ClickHouseClient
) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    began = datetime.now(UTC).replace(microsecond=0)
    await ClickHouseLogSink(clickhouse).write(
        [
            LogRow(
                team_id=anna.account["teamId"],
                deployment_id=deployment_id,
                replica_id=f"{deployment_id}-1-1",
                timestamp_ns=int(began.timestamp() + number) * 10**9,
                ordinal=0,
                source="stderr" if number == 3 else "stdout",
                level="error" if number == 3 else "",
                message=f"line {number} <script>",
            )
            for number in range(5)
        ]
    )
    path = f"/v1/deployments/{deployment_id}/logs"

    async def lines(query: str) -> list[str]:
        answer = await anna.get(f"{path}?{query}")
        assert answer.status_code == 200, answer.text
        return [line["message"].split()[1] for line in answer.json()["logs"]]

    assert await lines("") == ["0", "1", "2", "3", "4"]
    assert await lines("tail=2") == ["3", "4"]
    assert await lines("search=LINE%203") == ["3"]
    since = (began + timedelta(seconds=2)).isoformat().replace("+00:00", "Z")
    assert await lines(f"since={since}") == ["2", "3", "4"]
    assert await lines(f"until={since}") == ["0", "1"]
    shown = (await anna.get(f"{path}?search=line%203")).json()["logs"][0]
    assert (shown["source"], shown["level"]) == ("stderr", "error")
    assert shown["timestamp"].endswith("Z")
    for wrong in ("tail=0", "tail=5001", "since=now", "search=%00"):
        assert is_problem(await anna.get(f"{path}?{wrong}"), 422), wrong


async def test_the_predefined_images_and_the_runtimes_are_listed(api: Api) -> None:
    anna = await api.join()
    shown = (await anna.get("/v1/images")).json()
    assert [each["runtime"] for each in shown["runtimes"]] == ["python", "node", "go"]
    assert all(each["baseImage"] for each in shown["runtimes"])
    [echo] = shown["images"]
    assert (echo["image"], echo["port"], echo["healthPath"]) == ("tallyport/echo", 8080, "/health")


async def test_an_update_changes_what_is_named_and_nothing_else(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy("updated-api")
    before = (await anna.get(f"/v1/deployments/{deployment_id}")).json()
    answer = await anna.ask(
        "PUT",
        f"/v1/deployments/{deployment_id}",
        {"envVars": {"GREETING": "hello"}, "resources": {"memory": "64Mi", "pids": 512}},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "updating"
    assert answer.json()["revision"] == 2
    after = (await anna.get(f"/v1/deployments/{deployment_id}")).json()
    assert {name for name in after if after[name] != before[name]} == {
        "status",
        "revision",
        "envVars",
        "resources",
        "updatedAt",
    }
    assert "hello" not in str(after)
    assert after["resources"] == {"cpu": "500m", "memory": "64Mi", "storage": "32Mi", "pids": 512}


async def test_single_variables_are_changed_and_taken_out_and_the_others_stay(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy("app", envVars={"A": "1", "B": "2", "C": "3"})
    path = f"/v1/deployments/{deployment_id}"
    read = await anna.get(path)

    async def change(changes: object, **headers: str) -> httpx.Response:
        return await anna.ask("PUT", path, {"envVarChanges": changes}, **headers)

    changed = await change({"B": "new", "C": None, "D": "4"}, if_match=read.headers["ETag"])
    assert changed.json()["revision"] == 2
    again = await change({"B": "new", "C": None})
    assert again.json()["revision"] == 2, "what is so already changes nothing"
    late = await change({"B": "late"}, if_match=read.headers["ETag"])
    assert is_problem(late, 412)
    assert is_problem(await change({"LD_PRELOAD": "x"}), 422)
    assert is_problem(await change({"A": 1}), 422)
    await api.installation.caught_up()
    assert (await anna.get(path)).json()["envVars"].keys() == {"A", "B", "D"}
    bus = api.installation.another_bus()
    blueprint = (await bus.load(DEPLOYMENT, deployment_id, fresh=True)).present.blueprint
    vault = api.installation.another_vault()
    await vault.load([anna.account["id"].replace("usr-", "org-")])
    opened = {
        name: vault.open(text, purpose=SECRET_PURPOSE)
        for name, text in blueprint.environment.items()
    }
    assert opened == {"A": "1", "B": "new", "D": "4"}


async def test_an_update_that_names_nothing_is_refused(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy("updated-api")
    answer = await anna.ask("PUT", f"/v1/deployments/{deployment_id}", {})
    assert answer.status_code == 422


async def test_every_revision_is_listed_with_who_wanted_it_and_why(api: Api) -> None:
    anna = await api.join()
    path = f"/v1/deployments/{await anna.deploy('revised-api')}"
    assert (await anna.ask("PUT", path, {"image": "tallyport/echo:2"})).status_code == 200
    assert (await anna.ask("POST", f"{path}/restart")).status_code == 200
    assert (await anna.ask("POST", f"{path}/rollback", {"revision": 1})).status_code == 200
    revisions = (await anna.get(f"{path}/revisions")).json()["revisions"]
    assert [(each["revision"], each["cause"], each["status"]) for each in revisions] == [
        (4, "rolled back", "pending"),
        (3, "restarted", "superseded"),
        (2, "updated", "superseded"),
        (1, "created", "superseded"),
    ]
    assert {each["requestedBy"] for each in revisions} == {
        (await anna.get("/v1/user/profile")).json()["id"]
    }
    assert revisions[0]["copiedFrom"] == 1
    assert revisions[0]["image"] == revisions[3]["image"]


async def test_every_revision_tells_when_it_was_live_and_how_it_ended(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy("revised-api")
    path = f"/v1/deployments/{deployment_id}"
    ready = ReplicaReport(
        replica_id=f"{deployment_id}-1-1",
        revision=1,
        phase=READY,
        address="127.0.0.1",
        port=9000,
        image_digest="sha256:1",
    )
    provisioner = Context(actor=Actor(id="provisioner"))
    came_up = ReportReplicas(deployment_id=deployment_id, replicas=(ready,))
    await api.installation.dispatch(came_up, provisioner)
    assert (await anna.post(f"{path}/restart")).is_success
    crashed = msgspec.structs.replace(
        ready,
        replica_id=f"{deployment_id}-2-1",
        revision=2,
        phase=ReplicaPhase.FAILED,
        image_digest="sha256:2",
    )
    failed = msgspec.structs.replace(
        came_up,
        replicas=(ready, crashed),
        problem="exit code 3: no database",
        hopeless_revision=2,
    )
    await api.installation.dispatch(failed, provisioner)
    await api.installation.caught_up()
    second, first = (await anna.get(f"{path}/revisions")).json()["revisions"]
    assert (second["status"], second["failure"]) == ("failed", "exit code 3: no database")
    assert second["imageDigest"] == "sha256:2"  # although it never was live
    told = first["requestedAt"], first["liveAt"], second["requestedAt"], second["endedAt"]
    moments = [datetime.fromisoformat(each) for each in told]
    assert moments == sorted(moments)
    assert (first["status"], first["imageDigest"]) == ("live", "sha256:1")
    assert (first["endedAt"], first["failure"], second["liveAt"]) == (None, None, None)


async def test_a_rollback_without_anything_to_go_back_to_says_so(api: Api) -> None:
    anna = await api.join()
    path = f"/v1/deployments/{await anna.deploy('first-api')}"
    answer = await anna.ask("POST", f"{path}/rollback")
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "no_earlier_revision"


async def test_what_the_view_has_not_heard_of_is_not_taken_for_gone(api: Api) -> None:
    anna = await api.join()
    await anna.get("/v1/user/profile")
    async with held_back(api):
        deployment_id = await anna.deploy()
        answer = await anna.ask("DELETE", f"/v1/deployments/{deployment_id}")
        assert answer.status_code == 202


async def test_an_image_that_its_registry_refuses_is_refused_in_its_words(api: Api) -> None:
    registry = Registry()
    digest = registry.push("you/api:1", "true")
    registries = HttpRegistries(private=[registry.host])
    asking = api.with_services(registries=registries)
    try:
        visitor = await asking.join()
        image = f"{registry.host}/you/api"
        body = {"appName": "pulled-api", "image": f"{image}:9", "port": 8080}
        refused = await visitor.post("/v1/deployments", body)
        assert refused.status_code == 422
        assert refused.json()["error"]["code"] == "image_refused"
        assert "404 manifest unknown" in refused.json()["detail"]
        made = await visitor.post("/v1/deployments", {**body, "image": f"{image}:1"})
        assert made.status_code == 201
        revisions = await visitor.get(f"/v1/deployments/{made.json()['id']}/revisions")
        assert revisions.json()["revisions"][0]["imageDigest"] == digest
        assert (await visitor.post(f"/v1/deployments/{made.json()['id']}/restart")).is_success
        revisions = await visitor.get(f"/v1/deployments/{made.json()['id']}/revisions")
        assert [each["imageDigest"] for each in revisions.json()["revisions"]] == [digest, digest]
    finally:
        await registries.close()
        registry.close()
