"""The portals: who sees each, what its document is called, what its publications changed.

The documents stand in a view of their own, so that nobody reads one who only asks whether it is
there. Both follow the deployment: what is gone has no portal.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.deployments.events import DeploymentDeleted
from domain.kernel.events import Event
from domain.portals.events import (
    DocumentFetchFailed,
    DocumentPublished,
    DocumentSourceChanged,
    DocumentWithdrawn,
    PortalVisibilityChanged,
)
from domain.portals.values import (
    CHANGES_MAX,
    DocumentChange,
    Outline,
    Visibility,
    change_between,
    outline_of,
    unpacked,
)
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.deployments import DeploymentRow, ReplicaRow
from projections.reading import Reader
from projections.view import Change, View


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """One document that was published, and what it changed."""

    digest: str
    title: str
    version: str
    published_at: datetime
    published_by: str
    revision: int | None
    change: DocumentChange


class PortalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One portal."""

    deployment_id: str
    visibility: Visibility = "off"
    path: str | None = None
    """Where the document is fetched from."""
    revision: int | None = None
    """The revision that was last asked for it, with whatever came of it."""
    fetch_failure: str | None = None
    digest: str | None = None
    """Of the document; None: there is none."""
    operations: int = 0
    outline: Outline = Outline()
    """For the next publication; those who only look are not given it."""
    publications: tuple[Publication, ...] = ()
    """The newest first."""


class PortalDocumentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One document, as compact JSON."""

    deployment_id: str
    digest: str
    document: str


_EVENTS = (
    PortalVisibilityChanged,
    DocumentSourceChanged,
    DocumentPublished,
    DocumentFetchFailed,
    DocumentWithdrawn,
)


def _changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, _EVENTS):
        return [((event.deployment_id,), event)]
    return [((recorded.stream_id,), event)] if isinstance(event, DeploymentDeleted) else []


def _fold(row: PortalRow | None, event: Event, recorded: RecordedEvent) -> PortalRow | None:
    if isinstance(event, DeploymentDeleted) or not isinstance(event, _EVENTS):
        return None
    row = row or PortalRow(deployment_id=event.deployment_id)
    changed: dict[str, object] = {}
    match event:
        case PortalVisibilityChanged():
            changed = {"visibility": event.visibility}
        case DocumentSourceChanged():
            changed = {"path": event.path, "revision": None, "fetch_failure": None}
        case DocumentFetchFailed():
            changed = {"revision": event.revision, "fetch_failure": event.reason}
        case DocumentPublished():
            return _published(row, event, recorded)
        case DocumentWithdrawn():
            return PortalRow(deployment_id=row.deployment_id, visibility=row.visibility)
    return msgspec.structs.replace(row, **changed)


def _published(row: PortalRow, event: DocumentPublished, recorded: RecordedEvent) -> PortalRow:
    outline = outline_of(msgspec.json.decode(unpacked(event.document)))
    publication = Publication(
        digest=event.digest,
        title=event.title,
        version=event.version,
        published_at=recorded.recorded_at,
        published_by=event.published_by,
        revision=event.revision,
        change=change_between(row.outline, outline),
    )
    return msgspec.structs.replace(
        row,
        revision=event.revision,
        fetch_failure=None,
        digest=event.digest,
        operations=event.operations,
        outline=outline,
        publications=(publication, *row.publications)[:CHANGES_MAX],
    )


PORTALS = View(
    name="portals",
    version=1,
    topic=Topic.EVENTS,
    row=PortalRow,
    key=("deployment_id",),
    changes=_changes,
    fold=_fold,
)


def _document_changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, DocumentPublished | DocumentWithdrawn):
        return [((event.deployment_id,), event)]
    return [((recorded.stream_id,), event)] if isinstance(event, DeploymentDeleted) else []


def _fold_document(
    _: PortalDocumentRow | None, event: Event, __: RecordedEvent
) -> PortalDocumentRow | None:
    if not isinstance(event, DocumentPublished):
        return None
    return PortalDocumentRow(
        deployment_id=event.deployment_id,
        digest=event.digest,
        document=unpacked(event.document).decode(),
    )


PORTAL_DOCUMENTS = View(
    name="portal_documents",
    version=1,
    topic=Topic.EVENTS,
    row=PortalDocumentRow,
    key=("deployment_id",),
    changes=_document_changes,
    fold=_fold_document,
)


class ShownPortal(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment and its portal."""

    deployment: DeploymentRow
    portal: PortalRow


async def portal_of(reader: Reader, deployment_id: str) -> PortalRow:
    """Return a deployment's portal: each has one, and it is off until somebody turns it on."""
    row = await reader.row(
        PortalRow,
        "SELECT deployment_id, visibility, path, revision, fetch_failure, digest, operations,"
        " publications FROM views.portals WHERE deployment_id = %s",
        deployment_id,
    )
    return row or PortalRow(deployment_id=deployment_id)


async def open_portal(reader: Reader, name: str) -> ShownPortal | None:
    """Return what has this id or app name and a portal that is not off."""
    return await reader.row(
        ShownPortal,
        "SELECT to_jsonb(d) AS deployment, to_jsonb(p) - 'outline' AS portal"
        " FROM views.deployments AS d JOIN views.portals AS p ON p.deployment_id = d.id"
        " WHERE p.visibility <> '\"off\"' AND d.status <> 'deleting'"
        " AND (d.id = %s OR d.app_name = %s) ORDER BY d.id = %s DESC LIMIT 1",
        name,
        name,
        name,
    )


async def document_of(reader: Reader, deployment_id: str) -> PortalDocumentRow | None:
    """Return a deployment's document."""
    return await reader.row(
        PortalDocumentRow,
        "SELECT * FROM views.portal_documents WHERE deployment_id = %s",
        deployment_id,
    )


class DueDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document that is to be fetched from a revision that was not asked yet."""

    deployment_id: str
    app_name: str
    path: str
    revision: int
    running: tuple[ReplicaRow, ...]
    """The deployment's replicas, of all revisions."""


async def due_documents(reader: Reader) -> Sequence[DueDocument]:
    """Return what is to be fetched."""
    return await reader.rows(
        DueDocument,
        "SELECT d.id AS deployment_id, d.app_name, p.path, d.live_revision AS revision, d.running"
        " FROM views.portals AS p JOIN views.deployments AS d ON d.id = p.deployment_id"
        " WHERE p.path IS NOT NULL AND d.status NOT IN ('stopped', 'stopping', 'deleting')"
        " AND d.live_revision IS NOT NULL AND p.revision IS DISTINCT FROM d.live_revision"
        " ORDER BY d.id",
    )
