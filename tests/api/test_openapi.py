"""The OpenAPI document says everything; `test_schemathesis.py` holds the API to it."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.api.conftest import Api

SPEAKING = {"enum", "const", "$ref", "examples", "default", "minimum", "additionalProperties"}


async def the_document(api: Api) -> dict[str, Any]:
    document: dict[str, Any] = (await api.client.get("/openapi.json")).json()
    return document


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method} {path}", operation


async def test_the_document_is_complete(api: Api) -> None:
    document = await the_document(api)
    assert document["openapi"].startswith("3.1")
    text = json.dumps(document)
    for reference in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        assert reference in document["components"]["schemas"], reference
    assert "HTTPValidationError" not in text
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method} {path}"
            statuses = set(operation["responses"])
            assert statuses >= {"400", "422", "429", "500", "503"}, name
            assert statuses & {"200", "201", "202"}, name
            signing_in = "/auth/" in path or path == "/token"
            assert operation.get("security") == [] or "401" in statuses, name
            assert operation.get("security") != [] or "401" not in statuses or signing_in, name
            assert operation["summary"], name
            for status, response in operation["responses"].items():
                kinds = set(response.get("content", {}))
                error = status >= "400" and not (path == "/health/ready" and status == "503")
                assert kinds == ({"application/problem+json"} if error else kinds), name
                assert error or kinds, (name, status)
                assert "X-Request-Id" in response["headers"]


async def test_every_route_has_a_name_a_tag_and_a_sentence_of_its_own(api: Api) -> None:
    document = await the_document(api)
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    names = [operation["operationId"] for _, operation in operations_of(document)]
    assert len(set(names)) == len(names)
    for name, operation in operations_of(document):
        assert re.fullmatch("[a-z0-9]+(_[a-z0-9]+)+", operation["operationId"]), name
        assert set(operation["tags"]) <= set(tags), f"{name}: add its tag to api/openapi.py"
        assert operation["description"].endswith("."), name


async def test_a_stranger_learns_how_to_sign_in_and_where_it_is_not_needed(api: Api) -> None:
    document = await the_document(api)
    schemes = document["components"]["securitySchemes"]
    assert document["security"] == [{name: []} for name in schemes]
    assert schemes["apiKey"]["name"] == "X-API-Key"
    assert schemes["bearer"]["scheme"] == "bearer"


async def test_every_field_that_is_sent_has_an_example(api: Api) -> None:
    document = await the_document(api)
    schemas = document["components"]["schemas"]
    sent = {
        name
        for _, operation in operations_of(document)
        for name in re.findall(
            '#/components/schemas/([^"]+)', json.dumps(operation.get("requestBody", {}))
        )
    }
    silent = []
    for name in sorted(sent):
        for field, schema in schemas[name].get("properties", {}).items():
            kinds = [schema, *schema.get("anyOf", ())]
            plain = {"boolean", "array"} & {str(kind.get("type")) for kind in kinds}
            if not plain and not any(SPEAKING & set(kind) for kind in kinds):
                silent.append(f"{name}.{field}")
    assert not silent, "add examples to api/examples.py"


async def test_what_can_be_changed_says_how_to_change_the_version_that_was_read(api: Api) -> None:
    for name, operation in operations_of(await the_document(api)):
        headers = {each["name"] for each in operation["parameters"] if each["in"] == "header"}
        assert ("412" in operation["responses"]) == ("If-Match" in headers), name
        assert name.startswith("get ") != ("Idempotency-Key" in headers), name
        assert not any("null" in json.dumps(each["schema"]) for each in operation["parameters"])


async def test_every_list_says_by_what_it_can_be_sorted_and_refuses_all_else(
    api: Api,
) -> None:
    anna, asked = await api.join(), 0
    for name, operation in operations_of(await the_document(api)):
        for parameter in operation["parameters"]:
            if parameter["name"] != "sort":
                continue
            ways = parameter["schema"]["enum"]
            assert parameter["schema"]["default"] in ways, name
            path = name.removeprefix("get ")
            if "{" in path or "/admin/" in path:
                continue
            asked += 1
            refused = await anna.get(f"{path}?sort=nothing")
            [detail] = refused.json()["error"]["details"]
            fields = {way.removeprefix("-") for way in ways}
            assert detail == {"field": "sort", "message": f"one of {', '.join(sorted(fields))}"}
    assert asked > 5
