"""Portals as their pages ask for them, and what the document fetcher has to do."""

from typing import Any

import msgspec

from domain.deployments.events import DeploymentDeleted
from domain.portals.events import (
    DocumentFetchFailed,
    DocumentPublished,
    DocumentSourceChanged,
    DocumentWithdrawn,
    PortalVisibilityChanged,
)
from domain.portals.values import digest_of, packed, portal_id
from projections.portals import PORTAL_DOCUMENTS, PORTALS
from tests.projections.asking import digest, rebuild
from tests.wiring import Installation

FIRST, SECOND = "dpl-0000000001", "dpl-0000000002"
ANNA = "usr-0000000001"


def whose(deployment_id: str) -> dict[str, Any]:
    return {"deployment_id": deployment_id, "team_id": "org-0000000001"}


def published(deployment_id: str, *paths: str, **changes: Any) -> DocumentPublished:
    operations: dict[str, Any] = {path: {"get": {}} for path in paths}
    text = msgspec.json.encode({"openapi": "3.1.0", "paths": operations})
    usual = DocumentPublished(
        **whose(deployment_id),
        digest=digest_of(text),
        title="Shop",
        version="1.0",
        operations=len(paths),
        document=packed(text),
        published_by=ANNA,
    )
    return msgspec.structs.replace(usual, **changes)


def shown(deployment_id: str, visibility: Any = "public") -> PortalVisibilityChanged:
    return PortalVisibilityChanged(
        **whose(deployment_id), visibility=visibility, previously="off", changed_by=ANNA
    )


async def test_a_portal_has_its_newest_document_and_what_each_one_changed(
    installation: Installation,
) -> None:
    await installation.append(
        portal_id(FIRST),
        shown(FIRST),
        published(FIRST, "/a", "/b"),
        published(FIRST, "/b", "/c", version="2.0", revision=4),
    )
    await installation.append(portal_id(SECOND), published(SECOND, "/x"))
    installation.start_views([PORTALS, PORTAL_DOCUMENTS])

    first, second = await installation.rows(PORTALS)
    assert (first["visibility"], first["operations"], first["revision"]) == ("public", 2, 4)
    newest, before = first["publications"]
    assert (newest["version"], newest["revision"]) == ("2.0", 4)
    assert newest["change"]["added"] == ["GET /c"]
    assert newest["change"]["removed"] == ["GET /a"]
    assert before["change"]["added"] == ["GET /a", "GET /b"]
    assert (second["visibility"], second["operations"]) == ("off", 1)
    documents = await installation.rows(PORTAL_DOCUMENTS)
    assert [list(msgspec.json.decode(row["document"])["paths"]) for row in documents] == [
        ["/b", "/c"],
        ["/x"],
    ]
    assert [row["digest"] for row in documents] == [first["digest"], second["digest"]]


async def test_a_withdrawn_document_is_gone_and_the_portal_stays(
    installation: Installation,
) -> None:
    source = DocumentSourceChanged(**whose(FIRST), path="/openapi.json", changed_by=ANNA)
    failed = DocumentFetchFailed(**whose(FIRST), revision=2, path="/openapi.json", reason="404")
    await installation.append(
        portal_id(FIRST), shown(FIRST), published(FIRST, "/a"), source, failed
    )
    await installation.append(portal_id(SECOND), published(SECOND, "/x"))
    installation.start_views([PORTALS, PORTAL_DOCUMENTS])
    [row, _] = await installation.rows(PORTALS)
    assert (row["path"], row["revision"], row["fetch_failure"]) == ("/openapi.json", 2, "404")
    assert row["digest"] is not None, "the last good one is shown until there is a newer one"

    withdrawn = DocumentWithdrawn(**whose(FIRST), withdrawn_by=ANNA)
    await installation.append(portal_id(FIRST), withdrawn, after=4)
    [row, other] = await installation.rows(PORTALS)
    assert (row["visibility"], row["path"], row["digest"]) == ("public", None, None)
    assert other["digest"] is not None
    assert [each["deployment_id"] for each in await installation.rows(PORTAL_DOCUMENTS)] == [SECOND]


async def test_with_its_deployment_a_portal_goes_and_a_replay_gives_the_same(
    installation: Installation,
) -> None:
    for deployment_id in (FIRST, SECOND):
        await installation.append(
            portal_id(deployment_id), shown(deployment_id), published(deployment_id, "/a")
        )
    await installation.append(FIRST, DeploymentDeleted())
    installation.start_views([PORTALS, PORTAL_DOCUMENTS])
    for view in (PORTALS, PORTAL_DOCUMENTS):
        assert [row["deployment_id"] for row in await installation.rows(view)] == [SECOND]
        before = await digest(installation, view)
        await rebuild(installation, view)
        assert await digest(installation, view) == before
