"""The revisions of every deployment: what each was, who wanted it, and how it ended."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from domain.deployments.events import (
    DeploymentRequested,
    DeploymentRestarted,
    DeploymentRolledBack,
    DeploymentTransferred,
    DeploymentUpdated,
    RevisionBecameLive,
    RevisionFailed,
    RevisionResolved,
)
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Listing, Page, Reader, Window
from projections.view import Change, View

Cause = Literal["created", "updated", "restarted", "rolled back", "transferred"]
Outcome = Literal["pending", "live", "superseded", "failed"]


class RevisionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of one deployment."""

    deployment_id: str
    number: int
    cause: Cause
    image: str
    image_digest: str | None
    requested_by: str
    requested_at: datetime
    status: Outcome = "pending"
    copied_from: int | None = None
    """The revision it repeats, for a restart or a rollback."""
    live_at: datetime | None = None
    ended_at: datetime | None = None
    failure: str | None = None


class Superseded(msgspec.Struct, frozen=True):
    """Another revision was wanted from then on."""


_Starting = (
    DeploymentRequested
    | DeploymentUpdated
    | DeploymentRestarted
    | DeploymentRolledBack
    | DeploymentTransferred
)


def _changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    name = recorded.stream_id
    match event:
        case DeploymentRequested():
            return [((name, 1), event)]
        case DeploymentUpdated() if event.revision == event.previously:
            return []
        case (
            DeploymentUpdated()
            | DeploymentRestarted()
            | DeploymentRolledBack()
            | DeploymentTransferred()
        ):
            return [((name, event.previously), Superseded()), ((name, event.revision), event)]
        case RevisionResolved() | RevisionBecameLive() | RevisionFailed():
            return [((name, event.revision), event)]
    return []


def _fold(row: RevisionRow | None, event: object, recorded: RecordedEvent) -> RevisionRow | None:
    at = recorded.recorded_at
    if isinstance(event, _Starting):
        return _begun(row, event, recorded)
    if row is None:
        return None
    match event:
        case RevisionResolved():
            row = msgspec.structs.replace(row, image_digest=event.image_digest)
        case RevisionBecameLive():
            return msgspec.structs.replace(
                row,
                status="live",
                live_at=row.live_at or at,
                image_digest=event.image_digest or row.image_digest,
            )
        case RevisionFailed():
            return msgspec.structs.replace(row, status="failed", failure=event.reason, ended_at=at)
        case Superseded() if row.status != "failed":
            return msgspec.structs.replace(row, status="superseded", ended_at=at)
    return row


def _begun(row: RevisionRow | None, event: _Starting, recorded: RecordedEvent) -> RevisionRow:
    if row is not None:  # it goes on, because the one after it failed
        return msgspec.structs.replace(row, status="live", ended_at=None)
    begun = RevisionRow(
        deployment_id=recorded.stream_id,
        number=1,
        cause="created",
        image="",
        image_digest=None,
        requested_by=recorded.metadata.actor,
        requested_at=recorded.recorded_at,
    )
    change = msgspec.structs.replace
    match event:
        case DeploymentRequested():
            return change(begun, image=event.image, image_digest=event.image_digest)
        case DeploymentUpdated():
            return change(
                begun,
                number=event.revision,
                cause="updated",
                image=event.blueprint.image,
                image_digest=event.blueprint.image_digest,
            )
        case DeploymentRestarted():
            return change(
                begun,
                number=event.revision,
                cause="restarted",
                image=event.image,
                image_digest=event.image_digest,
                copied_from=event.previously,
            )
        case DeploymentTransferred():
            return change(
                begun,
                number=event.revision,
                cause="transferred",
                image=event.blueprint.image,
                image_digest=event.blueprint.image_digest,
                copied_from=event.previously,
            )
        case DeploymentRolledBack():
            return change(
                begun,
                number=event.revision,
                cause="rolled back",
                image=event.blueprint.image,
                image_digest=event.blueprint.image_digest,
                copied_from=event.to_revision,
            )


REVISIONS = View(
    name="revisions",
    version=3,
    topic=Topic.EVENTS,
    row=RevisionRow,
    key=("deployment_id", "number"),
    changes=_changes,
    fold=_fold,
)

REVISION_LISTING = Listing(
    sorts={"revision": "number"},
    sort_default="-revision",
    id_column="number",
    kinds=REVISIONS.columns,
)


async def list_revisions(
    reader: Reader, window: Window, *, deployment_id: str
) -> Page[RevisionRow]:
    """Return the deployment's revisions."""
    return await reader.page(
        RevisionRow,
        "SELECT * FROM views.revisions WHERE deployment_id = %s",
        deployment_id,
        listing=REVISION_LISTING,
        window=window,
    )


async def sources_in_use(reader: Reader) -> frozenset[str]:
    """Return the digests of all uploaded code that a deployment runs or can go back to."""
    rows = await reader.rows(
        _Image,
        "SELECT DISTINCT revisions.image FROM views.revisions JOIN views.deployments"
        " ON deployments.id = deployment_id WHERE revisions.image LIKE 'source/%%'",
    )
    return frozenset(row.image.rpartition(":")[2] for row in rows)


class _Image(msgspec.Struct, frozen=True):
    image: str
