"""Nobody gives themselves anything by a field that no route asks for, wherever it is put."""

from collections.abc import Iterator
from typing import Any

from tests.api.conftest import Api
from tests.api.test_routes import is_problem

FORGED = (
    *("role", "roles", "isAdmin", "is_admin", "admin", "balance", "plan", "owner", "ownerId"),
    *("owner_id", "team_id", "tenantId", "userId", "createdAt", "created_at", "id", "version"),
    *("revoked", "verified", "secretHash", "__proto__", "$where"),
)


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that stands for itself: what it points to, or its first kind but null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    chosen: dict[str, Any] = kinds[0] if kinds else schema
    if "$ref" in chosen:
        chosen = document["components"]["schemas"][chosen["$ref"].rpartition("/")[2]]
    return chosen


def example_of(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Return a value that the schema describes, with every field that it may have."""
    for said in ("examples", "enum"):
        if schema.get(said):
            return schema[said][0]
    if "const" in schema:
        return schema["const"]
    schema = resolved(document, schema)
    if schema.get("type") == "object" and "properties" in schema:
        return {name: example_of(document, field) for name, field in schema["properties"].items()}
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("type") == "array":
        return [example_of(document, schema.get("items", {}))]
    return {"integer": schema.get("minimum", 1), "boolean": True, "object": {}}.get(
        schema.get("type", ""), "text"
    )


def json_bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return method, path and schema of every route that takes a JSON object of known fields."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            if resolved(document, schema).get("additionalProperties") is False:
                yield method.upper(), path.replace("{", "").replace("}", ""), schema


def fields_at(
    document: dict[str, Any], schema: dict[str, Any], at: tuple[str, ...]
) -> dict[str, Any]:
    """Return the known fields of an object inside a schema."""
    fields: dict[str, Any] = resolved(document, schema)["properties"]
    return fields_at(document, fields[at[0]], at[1:]) if at else fields


def objects_in(
    document: dict[str, Any], schema: dict[str, Any], at: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Return where the schema has an object whose fields are known."""
    schema = resolved(document, schema)
    if "properties" in schema:
        yield at
        for name, field in schema["properties"].items():
            yield from objects_in(document, field, (*at, name))


def with_field(body: dict[str, Any], at: tuple[str, ...], name: str) -> dict[str, Any]:
    """Return the body with one field more in one of its objects."""
    if not at:
        return {**body, name: "x"}
    return {**body, at[0]: with_field(body[at[0]], at[1:], name)}


async def test_a_field_that_no_schema_has_is_refused_in_every_object_of_every_body(
    api: Api,
) -> None:
    anna = await api.join()
    document = (await api.client.get("/openapi.json")).json()
    tried = 0
    for method, path, schema in json_bodies(document):
        whole = example_of(document, schema)
        for at in objects_in(document, schema):
            for name in FORGED:
                if name in fields_at(document, schema, at):
                    continue
                answer = await anna.ask(method, path, with_field(whole, at, name))
                assert is_problem(answer, 422), (method, path, at, name)
                details = answer.json()["error"]["details"]
                assert ".".join((*at, name)) in {each["field"] for each in details}, path
                tried += 1
    assert tried > 100
