"""The rules of one portal."""

import msgspec

from domain.kernel.aggregates import Aggregate
from domain.kernel.events import Event
from domain.portals.document import Facts
from domain.portals.events import (
    DocumentFetchFailed,
    DocumentPublished,
    DocumentSourceChanged,
    DocumentWithdrawn,
    PortalVisibilityChanged,
)
from domain.portals.values import NoDocument, Visibility, digest_of, fetch_path, packed

REASON_CHARACTERS_MAX = 500


class Portal(msgspec.Struct, frozen=True, kw_only=True):
    """Where one deployment is explained. Each has one from the beginning, and it is off."""

    deployment_id: str
    team_id: str
    visibility: Visibility = "off"
    path: str | None = None
    """Where the document is fetched from."""
    digest: str | None = None
    """Of the document; None: there is none."""
    revision: int | None = None
    """The revision that was last asked for its document, with whatever came of it."""

    def show_to(self, visibility: Visibility, *, by: str) -> list[Event]:
        """Let others see it. To those who do already: nothing."""
        if visibility == self.visibility:
            return []
        return [
            PortalVisibilityChanged(
                deployment_id=self.deployment_id,
                team_id=self.team_id,
                visibility=visibility,
                previously=self.visibility,
                changed_by=by,
            )
        ]

    def publish(self, text: bytes, facts: Facts, *, by: str) -> list[Event]:
        """Take a document that somebody sent. From then on none is fetched over it."""
        events = self.fetch_from(None, by=by)
        if digest_of(text) == self.digest:
            return events
        return [*events, self._published(text, facts, by=by, revision=None)]

    def fetch_from(self, path: str | None, *, by: str) -> list[Event]:
        """Fetch it from there. From where it is fetched already: nothing."""
        path = None if path is None else fetch_path(path)
        if path == self.path:
            return []
        return [
            DocumentSourceChanged(
                deployment_id=self.deployment_id, team_id=self.team_id, path=path, changed_by=by
            )
        ]

    def fetched(
        self, text: bytes, facts: Facts, *, path: str, revision: int, by: str
    ) -> list[Event]:
        """Take what a revision answered. What is shown already, or not wanted any more: nothing."""
        if path != self.path or digest_of(text) == self.digest:
            return []
        return [self._published(text, facts, by=by, revision=revision)]

    def could_not_fetch(self, reason: str, *, path: str, revision: int) -> list[Event]:
        """Remember why there is none; once for each revision."""
        if path != self.path or revision == self.revision:
            return []
        return [
            DocumentFetchFailed(
                deployment_id=self.deployment_id,
                team_id=self.team_id,
                revision=revision,
                path=path,
                reason=reason[:REASON_CHARACTERS_MAX],
            )
        ]

    def withdraw(self, *, by: str) -> list[Event]:
        """Show none any more."""
        if self.digest is None and self.path is None:
            raise NoDocument
        return [
            DocumentWithdrawn(
                deployment_id=self.deployment_id, team_id=self.team_id, withdrawn_by=by
            )
        ]

    def _published(self, text: bytes, facts: Facts, *, by: str, revision: int | None) -> Event:
        return DocumentPublished(
            deployment_id=self.deployment_id,
            team_id=self.team_id,
            digest=digest_of(text),
            title=facts.title,
            version=facts.version,
            operations=facts.operations,
            document=packed(text),
            published_by=by,
            revision=revision,
        )


def evolve(state: Portal | None, event: Event) -> Portal | None:
    """Return the portal after the event."""
    match event:
        case PortalVisibilityChanged():
            return _after(event, state, visibility=event.visibility)
        case DocumentSourceChanged():
            return _after(event, state, path=event.path, revision=None)
        case DocumentPublished():
            return _after(event, state, digest=event.digest, revision=event.revision)
        case DocumentFetchFailed():
            return _after(event, state, revision=event.revision)
        case DocumentWithdrawn():
            return _after(event, state, path=None, digest=None, revision=None)
    return state


_Any = (
    PortalVisibilityChanged
    | DocumentSourceChanged
    | DocumentPublished
    | DocumentFetchFailed
    | DocumentWithdrawn
)


def _after(event: _Any, state: Portal | None, **changes: object) -> Portal:
    before = state or Portal(deployment_id=event.deployment_id, team_id=event.team_id)
    return msgspec.structs.replace(before, team_id=event.team_id, **changes)


PORTAL = Aggregate(name="portal", state=Portal, evolve=evolve, snapshot_every=10)
