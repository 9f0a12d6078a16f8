"""The facts about a deployment's portal, in the order they happen."""

from domain.kernel.events import Event
from domain.portals.values import Visibility


class PortalVisibilityChanged(Event, frozen=True, kw_only=True):
    """Others may see the portal from now on."""

    deployment_id: str
    team_id: str
    visibility: Visibility
    previously: Visibility
    changed_by: str


class DocumentSourceChanged(Event, frozen=True, kw_only=True):
    """The document is fetched from this path of the deployment from now on, or not any more."""

    deployment_id: str
    team_id: str
    path: str | None
    """None: only what somebody sends is published."""
    changed_by: str


class DocumentPublished(Event, frozen=True, kw_only=True):
    """This is how the deployment is called, by its team's word."""

    deployment_id: str
    team_id: str
    digest: str
    """SHA-256 of the document as compact JSON, in hex."""
    title: str
    version: str
    """Of the API, as the document says."""
    operations: int
    document: bytes
    """Compact JSON, compressed with Zstandard."""
    published_by: str
    revision: int | None = None
    """The revision of the deployment that it was fetched from; None when somebody sent it."""


class DocumentFetchFailed(Event, frozen=True, kw_only=True):
    """The deployment did not have a document at the path; its next revision is asked again."""

    deployment_id: str
    team_id: str
    revision: int
    path: str
    reason: str


class DocumentWithdrawn(Event, frozen=True, kw_only=True):
    """The portal has no document any more, and none is fetched."""

    deployment_id: str
    team_id: str
    withdrawn_by: str
