"""What is said about portals, in and out."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api.schemas import Input, Output, checked
from domain.portals import values
from projections.portals import PortalRow, Publication


class FetchFrom(Input):
    """Where the deployment itself has its document."""

    fetch_from: Annotated[
        str,
        checked(values.fetch_path),
        Field(max_length=values.PATH_CHARACTERS_MAX, examples=["/openapi.json"]),
    ]
    """A path of the deployment. It is asked again for each revision that goes live."""


class PortalSetting(Input):
    """Who may see the portal."""

    visibility: values.Visibility
    """`off`: nobody; `team`: who may see the deployment; `public`: everybody."""


class FormatQuery(Input):
    """How the document is written."""

    format: Literal["json", "yaml"] = "json"


class DocumentOut(Output):
    """What is said of a document without showing it."""

    digest: str
    """SHA-256 of the document as compact JSON."""
    title: str
    version: str
    operations: int
    published_at: datetime


class PortalOut(Output):
    """A deployment's portal, as its team sees it."""

    deployment_id: str
    visibility: values.Visibility
    url: str
    """Where it is read, unless it is off."""
    document: DocumentOut | None
    fetch_from: str | None
    fetch_failure: str | None
    """Why the newest revision had no document at that path, if it was asked and had none."""


class PortalShown(Output):
    """A portal after a change."""

    deployment_id: str
    visibility: values.Visibility
    url: str
    message: str


class DocumentTaken(Output):
    """What became of what was sent."""

    status: Literal["published", "fetching"]
    """`fetching`: the deployment is asked within seconds, once it runs."""
    digest: str | None
    title: str | None
    version: str | None
    operations: int | None
    fetch_from: str | None
    message: str


class ChangeOut(Output):
    """What one publication changed. Each list has its first hundred names."""

    version: str
    digest: str
    published_at: datetime
    revision: int | None
    """The revision that it was fetched from, if it was."""
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    deprecated: tuple[str, ...]
    schemas: tuple[str, ...]
    """Schemas that were added, removed or changed."""


class Changelog(Output):
    """The last fifty publications, the newest first."""

    changes: list[ChangeOut]


class PortalStatus(Output):
    """Whether the API answers, as seen from its containers."""

    health: Literal["healthy", "degraded", "unhealthy", "starting", "stopped"]
    uptime: str
    """How long it has been answering without a pause."""


class PortalPage(Output):
    """Everything that a portal's page begins with."""

    deployment_id: str
    app_name: str
    url: str
    """Where the API is called, whatever the document says."""
    needs_key: bool
    visibility: values.Visibility
    status: PortalStatus
    document: DocumentOut | None


def document_out(row: PortalRow) -> DocumentOut | None:
    """Return what is said of the portal's document, if it has one."""
    if row.digest is None:
        return None
    newest = row.publications[0]
    return DocumentOut(
        digest=newest.digest,
        title=newest.title,
        version=newest.version,
        operations=row.operations,
        published_at=newest.published_at,
    )


def change_out(publication: Publication) -> ChangeOut:
    """Return a publication as it is shown: not by whom, which is the team's own business."""
    change = publication.change
    return ChangeOut(
        version=publication.version,
        digest=publication.digest,
        published_at=publication.published_at,
        revision=publication.revision,
        added=change.added,
        removed=change.removed,
        changed=change.changed,
        deprecated=change.deprecated,
        schemas=change.schemas,
    )


def portal_url(public_url: str, app_name: str) -> str:
    """Return where a portal is read."""
    return f"{public_url.rstrip('/')}/portal/{app_name}"
