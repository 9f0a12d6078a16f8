"""Portals over REST: who sees one, what is published, what a page and Postman are given."""

import json
from typing import Any

import httpx

from domain.deployments.values import ReplicaPhase
from domain.portals.values import DOCUMENT_BYTES_MAX
from domain.teams.values import Role
from infrastructure.documents import read
from tests.api.conftest import DOCUMENT, Api, Visitor
from tests.api.test_routes import is_problem

JSON, YAML = "application/json", "application/yaml"
NO_DOCUMENTS: list[tuple[bytes, str, int]] = [
    (b"", JSON, 400),
    (b"", YAML, 422),
    (b'{"openapi": ', JSON, 400),
    (b"openapi: 3.1.0", JSON, 400),
    (b"a: b: c", YAML, 400),
    (b"\xff", YAML, 400),
    (b"a: &a [*a]", YAML, 400),
    (b"[" * 100_000, YAML, 400),
    (b"[" * 100_000, JSON, 422),
    (b"!!python/object/apply:os.system [id]", YAML, 400),
    (b"x: !!binary aGk=", YAML, 400),
    (b'{"a": 1, "a": 2}', JSON, 422),
    (b'{"a": "\\u0000"}', JSON, 422),
    (b'"\\0": x', YAML, 422),
    (b"null", JSON, 422),
    (b"[]", JSON, 422),
    (b"{}", JSON, 422),
    (b"{}", "text/plain", 415),
    (b"{}", "", 415),
    (b'{"fetchFrom": "//elsewhere.example/"}', JSON, 422),
    (b'{"fetchFrom": "http://169.254.169.254/"}', JSON, 422),
    (b'{"fetchFrom": 7}', JSON, 422),
    (b'{"fetchFrom": "/a", "also": 1}', JSON, 422),
    (b" " * (DOCUMENT_BYTES_MAX + 1), JSON, 413),
]


async def put(visitor: Visitor, deployment_id: str, content: bytes, kind: str) -> httpx.Response:
    answer = await visitor.api.client.put(
        f"/v1/deployments/{deployment_id}/openapi",
        content=content,
        headers={**visitor.headers, "Content-Type": kind},
    )
    visitor.position = answer.headers.get("X-Tallyport-Position", visitor.position)
    return answer


async def test_a_public_portal_is_read_by_everybody_under_its_name_and_its_id(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy("shop")
    assert is_problem(await api.nobody.get("/v1/portals/shop"), 401)
    await anna.publish(deployment_id)
    answer = await anna.ask(
        "PUT", f"/v1/deployments/{deployment_id}/portal", {"visibility": "public"}
    )
    assert answer.json()["url"] == "http://localhost:8000/portal/shop"
    api.nobody.position = anna.position
    for name in ("shop", deployment_id):
        page = (await api.nobody.get(f"/v1/portals/{name}")).json()
        assert page["url"] == "http://shop.apps.localhost:8080"
        assert (page["appName"], page["needsKey"]) == ("shop", True)
        assert page["document"]["title"] == "Shop"
        assert page["document"]["operations"] == 1
        assert page["status"] == {"health": "starting", "uptime": "0s"}
    path = f"/v1/deployments/{deployment_id}/openapi"
    for visitor in (api.nobody, await api.join("berta"), await anna.with_key("call:*")):
        visitor.position = anna.position
        assert (await visitor.get(path)).json() == DOCUMENT
        assert (await visitor.get(f"{path}/postman")).status_code == 200
        log = (await visitor.get(f"{path}/changelog")).json()
        assert [change["added"] for change in log["changes"]] == [["GET /orders"]]
        assert anna.account["id"] not in json.dumps(log), "who published it is the team's business"
    await api.report(deployment_id, ReplicaPhase.READY)
    await api.installation.caught_up()
    assert (await api.nobody.get("/v1/portals/shop")).json()["status"]["health"] == "healthy"


async def test_a_teams_portal_is_a_strangers_401_and_anothers_404(api: Api) -> None:
    anna, berta, carl = await api.join("anna"), await api.join("berta"), await api.join("carl")
    anna.team_id = await anna.found_team()
    deployment_id = await anna.open_portal("team")
    await api.add_member(anna.team_id, carl, Role.VIEWER)
    for visitor in (api.nobody, berta, carl):
        visitor.position = anna.position
    path = f"/v1/portals/{deployment_id}"
    assert is_problem(await api.nobody.get(path), 401)
    assert is_problem(await api.nobody.get("/v1/portals/nothing-here"), 401)
    assert is_problem(await berta.get(path), 404)
    assert (await carl.get(path)).json()["visibility"] == "team"
    assert (await carl.get(f"/v1/deployments/{deployment_id}/openapi")).json() == DOCUMENT
    setting = f"/v1/deployments/{deployment_id}/portal"
    assert is_problem(await carl.ask("PUT", setting, {"visibility": "public"}), 403)
    assert is_problem(await put(carl, deployment_id, b"{}", JSON), 403)
    await anna.ask("PUT", setting, {"visibility": "off"})
    carl.position = anna.position
    assert is_problem(await carl.get(path), 404)
    assert (await carl.get(setting)).json()["visibility"] == "off"


async def test_what_is_no_name_has_no_portal(api: Api) -> None:
    anna = await api.join()
    for name in ("a%00b", "%F0%9F%98%80", "x" * 100, "%2e%2e%2f"):
        assert is_problem(await anna.get(f"/v1/portals/{name}"), 404), name


async def test_json_and_yaml_say_the_same_in_and_out(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.open_portal()
    text = b"""
openapi: 3.0.3
info: {title: Caf\xc3\xa9, version: 2024-01-01}
tags: [{name: no}]
paths:
  /coffee:
    get:
      parameters: &shared
        - {name: size, in: query, schema: {type: string, enum: [no, yes, 1.0]}}
      responses: {200: {description: ok}}
    post: {parameters: *shared, responses: {default: {description: "it's"}}}
"""
    taken = await put(anna, deployment_id, text, YAML)
    assert taken.json() | {"digest": ""} == {
        "status": "published",
        "digest": "",
        "title": "Café",
        "version": "2024-01-01",
        "operations": 2,
        "fetchFrom": None,
        "message": "Document published",
    }
    path = f"/v1/deployments/{deployment_id}/openapi"
    found = (await anna.get(path)).json()
    assert found["tags"] == [{"name": "no"}]
    schema = found["paths"]["/coffee"]["post"]["parameters"][0]["schema"]
    assert schema["enum"] == ["no", "yes", 1.0]
    as_yaml = await anna.get(f"{path}?format=yaml")
    assert as_yaml.headers["content-type"].startswith(YAML)
    assert read(as_yaml.content) == found
    again = await put(anna, deployment_id, as_yaml.content, YAML)
    assert again.json()["digest"] == taken.json()["digest"]


async def test_what_is_no_document_is_refused_and_changes_nothing(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.open_portal()
    before = await api.installation.store.last_position()
    for content, kind, status in NO_DOCUMENTS:
        answer = await put(anna, deployment_id, content, kind)
        assert is_problem(answer, status), (content[:40], kind)
    assert await api.installation.store.last_position() == before
    assert (await anna.get(f"/v1/deployments/{deployment_id}/openapi")).json() == DOCUMENT


async def test_what_is_wrong_with_a_document_is_named_by_its_place(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    wrong = {**DOCUMENT, "info": {"title": "Shop"}, "x": {"$ref": "https://elsewhere.example/"}}
    answer = await put(anna, deployment_id, json.dumps(wrong).encode(), JSON)
    assert is_problem(answer, 422)
    error = answer.json()["error"]
    assert error["code"] == "invalid_document"
    assert {detail["field"] for detail in error["details"]} == {"/info/version", "/x/$ref"}


async def test_a_document_is_withdrawn(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.open_portal("public")
    path = f"/v1/deployments/{deployment_id}/openapi"
    assert (await anna.ask("DELETE", path)).json() == {"message": "Document withdrawn"}
    for of_it in (path, f"{path}/postman"):
        assert is_problem(await anna.get(of_it), 404)
    assert is_problem(await anna.ask("DELETE", path), 404)
    assert (await anna.get(f"/v1/portals/{deployment_id}")).json()["document"] is None
    setting = (await anna.get(f"/v1/deployments/{deployment_id}/portal")).json()
    assert (setting["visibility"], setting["document"]) == ("public", None)


async def test_a_document_shall_be_fetched_from_the_deployment(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    answer = await put(anna, deployment_id, b'{"fetchFrom": "/openapi.json"}', JSON)
    assert (answer.status_code, answer.json()["status"]) == (202, "fetching")
    setting = (await anna.get(f"/v1/deployments/{deployment_id}/portal")).json()
    assert (setting["fetchFrom"], setting["document"]) == ("/openapi.json", None)
    await anna.publish(deployment_id)
    setting = (await anna.get(f"/v1/deployments/{deployment_id}/portal")).json()
    assert (setting["fetchFrom"], setting["document"]["title"]) == (None, "Shop")


async def test_a_repeated_publication_is_one_and_the_audit_list_leaves_its_text_out(
    api: Api,
) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    path = f"/v1/deployments/{deployment_id}/openapi"
    answers = [await anna.ask("PUT", path, DOCUMENT, Idempotency_Key="once") for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    events = (await anna.get("/v1/audit?type=portals.DocumentPublished")).json()["events"]
    assert len(events) == 1
    assert events[0]["content"]["title"] == "Shop"
    assert "document" not in events[0]["content"]


async def test_a_transferred_deployment_takes_its_portal_along(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    deployment_id = await anna.open_portal("team")
    team_id = await anna.found_team()
    await api.add_member(team_id, berta, Role.VIEWER)
    moved = await anna.post(f"/v1/deployments/{deployment_id}/transfer", {"teamId": team_id})
    assert moved.status_code == 200
    berta.position = anna.position
    assert (await berta.get(f"/v1/portals/{deployment_id}")).status_code == 200
    await anna.publish(deployment_id)
    changed = await anna.ask(
        "PUT", f"/v1/deployments/{deployment_id}/portal", {"visibility": "public"}
    )
    assert changed.status_code == 200
    events = (await anna.get(f"/v1/audit?teamId={team_id}")).json()["events"]
    assert "portals.PortalVisibilityChanged" in {event["type"] for event in events}


async def test_a_bomb_of_references_makes_a_small_collection(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    schemas: dict[str, Any] = {
        f"L{level}": {
            "type": "object",
            "properties": {
                name: {"$ref": f"#/components/schemas/L{level + 1}"} for name in "abcdefghij"
            },
        }
        for level in range(30)
    }
    schemas["L30"] = {"$ref": "#/components/schemas/L30"}
    body = {"content": {JSON: {"schema": {"$ref": "#/components/schemas/L0"}}}}
    bomb = {
        **DOCUMENT,
        "servers": [{"url": "https://evil.example/v1/"}],
        "paths": {
            "/orders/{id}": {
                "post": {
                    "tags": ["Orders"],
                    "summary": "{{script}}",
                    "parameters": [
                        {"name": "id", "in": "path", "required": True, "example": 7},
                        {"name": "full", "in": "query", "schema": {"type": "boolean"}},
                    ],
                    "requestBody": body,
                }
            }
        },
        "components": {"schemas": schemas},
    }
    taken = await put(anna, deployment_id, json.dumps(bomb).encode(), JSON)
    assert taken.status_code == 200, taken.text
    answer = await anna.get(f"/v1/deployments/{deployment_id}/openapi/postman")
    assert len(answer.content) < 100_000
    collection = answer.json()
    assert collection["info"]["schema"].endswith("/v2.1.0/collection.json")
    assert collection["variable"][0] == {
        "key": "baseUrl",
        "value": "http://hello.apps.localhost:8080/v1",
    }
    [folder] = collection["item"]
    [request] = folder["item"]
    assert (folder["name"], request["name"]) == ("Orders", "{{script}}")
    url = request["request"]["url"]
    assert url["raw"] == "{{baseUrl}}/orders/:id"
    assert url["variable"] == [{"key": "id", "value": "7", "description": ""}]
    assert url["query"][0] == {"key": "full", "value": "true", "description": "", "disabled": True}
    assert json.loads(request["request"]["body"]["raw"])["a"]["a"]["a"]
    assert "evil.example" not in answer.text
    assert "event" not in collection
