"""Portals: which documents can be shown, where one is fetched from, what follows from what."""

from typing import Any

import msgspec
import pytest

from domain.kernel.events import Event
from domain.portals.document import DEPTH_MAX, PROBLEMS_MAX, Facts, InvalidDocument, checked
from domain.portals.events import (
    DocumentFetchFailed,
    DocumentPublished,
    DocumentSourceChanged,
    DocumentWithdrawn,
    PortalVisibilityChanged,
)
from domain.portals.portal import PORTAL
from domain.portals.values import (
    DOCUMENT_BYTES_MAX,
    DocumentTooLarge,
    InvalidDocumentPath,
    NoDocument,
    Outline,
    change_between,
    digest_of,
    fetch_path,
    outline_of,
    packed,
    unpacked,
)
from tests.scenario import given

Document = dict[str, Any]
WHOSE: dict[str, Any] = {"deployment_id": "dpl-0000000001", "team_id": "org-0000000001"}
ANNA = "usr-0000000001"
TEXT, OTHER = b'{"openapi":"3.1.0"}', b'{"openapi":"3.1.1"}'
FACTS = Facts(title="Shop", version="1.0", operations=1)

shown = PortalVisibilityChanged(**WHOSE, visibility="team", previously="off", changed_by=ANNA)
fetched_from = DocumentSourceChanged(**WHOSE, path="/openapi.json", changed_by=ANNA)
not_fetched = DocumentSourceChanged(**WHOSE, path=None, changed_by=ANNA)
withdrawn = DocumentWithdrawn(**WHOSE, withdrawn_by=ANNA)


def published(text: bytes = TEXT, **changes: Any) -> Event:
    usual = DocumentPublished(
        **WHOSE,
        digest=digest_of(text),
        title="Shop",
        version="1.0",
        operations=1,
        document=packed(text),
        published_by=ANNA,
    )
    return msgspec.structs.replace(usual, **changes)


def document(**changes: Any) -> Document:
    usual: Document = {
        "openapi": "3.1.0",
        "info": {"title": "Shop", "version": "1.0"},
        "paths": {
            "/orders/{id}": {
                "parameters": [{"name": "id", "in": "path", "required": True}],
                "get": {
                    "tags": ["Orders"],
                    "parameters": [{"$ref": "#/components/parameters/Limit"}],
                    "responses": {"200": {"description": "It"}, "4XX": {}, "default": {}},
                },
            }
        },
        "components": {
            "parameters": {"Limit": {"name": "limit", "in": "query"}},
            "schemas": {
                "Order": {"properties": {"$ref": {"type": "string"}, "next": {"$ref": "#"}}},
                "Sample": {"example": {"$ref": "https://elsewhere.example/"}},
            },
        },
    }
    return {**usual, **changes}


def problems_of(wrong: object) -> dict[str, Any]:
    with pytest.raises(InvalidDocument) as refused:
        checked(wrong)
    return dict(refused.value.details)


def test_a_document_says_what_it_is_called() -> None:
    assert checked(document()) == FACTS


def test_a_portal_is_shown_and_hidden_and_repeating_it_changes_nothing() -> None:
    (
        given(PORTAL, shown)
        .when(lambda portal: portal.show_to("team", by=ANNA))
        .then_nothing_happened()
    )
    given(PORTAL, shown).when(lambda portal: portal.show_to("public", by=ANNA)).then(
        PortalVisibilityChanged(**WHOSE, visibility="public", previously="team", changed_by=ANNA)
    )


def test_a_document_that_is_sent_is_published_once() -> None:
    (
        given(PORTAL, shown)
        .when(lambda portal: portal.publish(TEXT, FACTS, by=ANNA))
        .then(published())
        .and_then()
        .when(lambda portal: portal.publish(TEXT, FACTS, by=ANNA))
        .then_nothing_happened()
    )


def test_what_is_sent_ends_the_fetching() -> None:
    (
        given(PORTAL, fetched_from)
        .when(lambda portal: portal.publish(TEXT, FACTS, by=ANNA))
        .then(not_fetched, published())
    )


def test_what_a_revision_answers_is_published_when_it_is_new_and_still_wanted() -> None:
    scene = given(PORTAL, fetched_from)
    fetch: dict[str, Any] = {"path": "/openapi.json", "revision": 2, "by": "document fetcher"}
    (
        scene.when(lambda portal: portal.fetched(TEXT, FACTS, **fetch))
        .then(published(published_by="document fetcher", revision=2))
        .and_then()
        .when(lambda portal: portal.fetched(TEXT, FACTS, **{**fetch, "revision": 3}))
        .then_nothing_happened()
    )
    elsewhere = {**fetch, "path": "/other.json"}
    scene.when(lambda portal: portal.fetched(OTHER, FACTS, **elsewhere)).then_nothing_happened()


def test_a_revision_without_a_document_is_told_of_once() -> None:
    where: dict[str, Any] = {"path": "/openapi.json", "revision": 2}
    failed = DocumentFetchFailed(**WHOSE, **where, reason="answered 404")
    (
        given(PORTAL, fetched_from)
        .when(lambda portal: portal.could_not_fetch("answered 404", **where))
        .then(failed)
        .and_then()
        .when(lambda portal: portal.could_not_fetch("answered 404", **where))
        .then_nothing_happened()
    )
    given(PORTAL, shown).when(
        lambda portal: portal.could_not_fetch("answered 404", **where)
    ).then_nothing_happened()


def test_another_path_is_asked_although_the_revision_was_asked_before() -> None:
    failed = DocumentFetchFailed(**WHOSE, path="/openapi.json", revision=2, reason="404")
    moved = DocumentSourceChanged(**WHOSE, path="/v2.yaml", changed_by=ANNA)
    (
        given(PORTAL, fetched_from, failed)
        .when(lambda portal: portal.fetch_from("/v2.yaml", by=ANNA))
        .then(moved)
        .then_state(revision=None, path="/v2.yaml")
    )


def test_a_document_is_withdrawn_and_only_one_that_is_there() -> None:
    given(PORTAL, published()).when(lambda portal: portal.withdraw(by=ANNA)).then(withdrawn)
    given(PORTAL, fetched_from).when(lambda portal: portal.withdraw(by=ANNA)).then(withdrawn)
    (
        given(PORTAL, published(), withdrawn)
        .when(lambda portal: portal.withdraw(by=ANNA))
        .then_refused(NoDocument)
    )


@pytest.mark.parametrize(
    "path",
    [
        "",
        "openapi.json",
        "//elsewhere.example/x",
        "http://elsewhere.example/",
        "/a b",
        "/a\r\nHost: x",
        "/a#b",
        "/\\elsewhere",
        "/" + "a" * 600,
        "/ü",
    ],
)
def test_a_document_is_fetched_from_a_path_and_from_nothing_else(path: str) -> None:
    with pytest.raises(InvalidDocumentPath):
        fetch_path(path)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"openapi": "2.0"}, "/openapi"),
        ({"openapi": 3.1}, "/openapi"),
        ({"swagger": "2.0"}, "/swagger"),
        ({"info": None}, "/info"),
        ({"info": {"title": " ", "version": "1"}}, "/info/title"),
        ({"info": {"title": "x" * 201, "version": "1"}}, "/info/title"),
        ({"info": {"title": "Shop", "version": 1}}, "/info/version"),
        ({"info": {"title": "Shop", "version": "1", "description": []}}, "/info/description"),
        ({"paths": []}, "/paths"),
        ({"paths": {}, "components": {}}, "/paths"),
        ({"paths": {"orders": {}}}, "/paths/orders"),
        ({"paths": {"/a\n-H x": {}}}, "/paths/~1a\n-H x"),
        ({"paths": {"/a\u202eb": {}}}, "/paths/~1a\u202eb"),
        ({"paths": {"/a": []}}, "/paths/~1a"),
        ({"paths": {"/a": {"get": "x"}}}, "/paths/~1a/get"),
        ({"paths": {"/a": {"get": {"summary": {}}}}}, "/paths/~1a/get/summary"),
        ({"paths": {"/a": {"get": {"tags": [1]}}}}, "/paths/~1a/get/tags"),
        ({"paths": {"/a": {"get": {"deprecated": "yes"}}}}, "/paths/~1a/get/deprecated"),
        ({"paths": {"/a": {"get": {"parameters": {}}}}}, "/paths/~1a/get/parameters"),
        (
            {"paths": {"/a": {"get": {"parameters": [{"name": "", "in": "query"}]}}}},
            "/paths/~1a/get/parameters/0/name",
        ),
        (
            {"paths": {"/a": {"get": {"parameters": [{"name": "x", "in": "body"}]}}}},
            "/paths/~1a/get/parameters/0/in",
        ),
        ({"paths": {"/a": {"get": {"requestBody": []}}}}, "/paths/~1a/get/requestBody"),
        (
            {"paths": {"/a": {"get": {"requestBody": {"content": []}}}}},
            "/paths/~1a/get/requestBody/content",
        ),
        ({"paths": {"/a": {"get": {"responses": []}}}}, "/paths/~1a/get/responses"),
        (
            {"paths": {"/a": {"get": {"responses": {"999": {}}}}}},
            "/paths/~1a/get/responses/999",
        ),
        ({"components": []}, "/components"),
        ({"components": {"schemas": []}}, "/components/schemas"),
        ({"x": [{"$ref": "#/nowhere"}]}, "/x/0/$ref"),
        ({"x": {"$ref": "https://elsewhere.example/a.json"}}, "/x/$ref"),
        ({"x": {"$ref": "file:///etc/passwd"}}, "/x/$ref"),
        ({"x": [{"$ref": "#/x/\u0661"}]}, "/x/0/$ref"),
        ({"x": [{"$ref": "#/x/" + "9" * 5000}]}, "/x/0/$ref"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(changes: Document, place: str) -> None:
    whole = document(**{"components": {"parameters": {"Limit": {"$ref": "#/info"}}}, **changes})
    assert place in problems_of(whole)


def test_two_operations_of_one_name_are_told_apart_by_their_place() -> None:
    twice = {"/a": {"get": {"operationId": "x"}}, "/b": {"get": {"operationId": "x"}}}
    assert problems_of(document(paths=twice)) == {
        "/paths/~1b/get/operationId": "is the name of /paths/~1a/get already"
    }


def test_only_the_first_problems_are_named() -> None:
    many: Document = {f"no-slash-{number}": {} for number in range(1000)}
    assert len(problems_of(document(paths=many))) == PROBLEMS_MAX


def test_a_document_that_only_hurts_is_refused() -> None:
    deep: Any = "x"
    for _ in range(DEPTH_MAX + 1):
        deep = [deep]
    hurting: list[Any] = [
        [],
        None,
        "text",
        document(x=deep),
        document(x=[0] * 300_000),
        document(x={"a\0b": 1}),
        document(x="a\0b"),
    ]
    for wrong in hurting:
        assert "/" in problems_of(wrong)
    with pytest.raises(DocumentTooLarge):
        packed(b" " * (DOCUMENT_BYTES_MAX + 1))
    assert unpacked(packed(b" " * DOCUMENT_BYTES_MAX)) == b" " * DOCUMENT_BYTES_MAX


def test_a_reference_to_itself_is_no_problem() -> None:
    around = {"schemas": {"A": {"$ref": "#/components/schemas/A"}}}
    paths: Document = {"/a": {"get": {"responses": {}}}}
    assert checked(document(paths=paths, components=around)).operations == 1


def test_a_changelog_names_what_is_new_gone_and_otherwise() -> None:
    before = outline_of(
        {
            "paths": {
                "/a": {"get": {"summary": "a"}, "post": {}, "parameters": []},
                "/b": {"get": {}, "put": {"deprecated": True}},
            },
            "components": {"schemas": {"A": {"type": "string"}, "B": {}}},
        }
    )
    after = outline_of(
        {
            "paths": {
                "/a": {"get": {"summary": "b"}, "post": {}, "parameters": []},
                "/b": {"get": {"deprecated": True}, "put": {"deprecated": True}},
                "/c": {"get": {}},
            },
            "components": {"schemas": {"A": {"type": "number"}, "C": {}}},
        }
    )
    change = change_between(before, after)
    assert change.added == ("GET /c",)
    assert change.changed == ("GET /a", "GET /b")
    assert change.deprecated == ("GET /b",)
    assert change.schemas == ("A", "B", "C")
    assert change_between(after, before).removed == ("GET /c",)
    assert (
        len(
            change_between(
                Outline(), outline_of({"paths": {f"/{n}": {"get": {}} for n in range(200)}})
            ).added
        )
        == 100
    )


@pytest.mark.parametrize("strange", [{}, {"paths": 7}, {"paths": {"/a": 7}}, {"components": []}])
def test_an_outline_is_made_of_whatever_was_stored(strange: Document) -> None:
    assert outline_of(strange) == Outline()
