"""Who looks after the platform: nobody at first, then whoever follows the link printed on it."""

from datetime import datetime, timedelta

import msgspec

from domain.identity.events import AdminLinkIssued, PlatformAdminGranted
from domain.identity.links import PendingLink, must_be_valid
from domain.kernel.aggregates import Aggregate
from domain.kernel.events import Event

PLATFORM_ID = "adm-0000000000"
"""There is one platform, so its stream has one name."""
ADMIN_LINK_LIFETIME = timedelta(hours=24)


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """The admins there are, and the link by which there may be one more."""

    admins: tuple[str, ...] = ()
    link: PendingLink | None = None

    def issue_link(self, *, nonce: str, now: datetime) -> list[Event]:
        """Make a link; the one before is void."""
        return [AdminLinkIssued(nonce=nonce, expires_at=now + ADMIN_LINK_LIFETIME)]

    def follow_link(self, *, user_id: str, nonce: str, now: datetime) -> list[Event]:
        """Make whoever has the link an admin. It works once."""
        must_be_valid(self.link, nonce=nonce, now=now)
        return [PlatformAdminGranted(user_id=user_id, how="link")]

    def grant(self, user_id: str) -> list[Event]:
        """Make a person an admin from the server's own command line. Twice changes nothing."""
        if user_id in self.admins:
            return []
        return [PlatformAdminGranted(user_id=user_id, how="command line")]


def evolve(state: Platform | None, event: Event) -> Platform | None:
    """Remember who looks after the platform."""
    state = state or Platform()
    match event:
        case AdminLinkIssued():
            link = PendingLink(nonce=event.nonce, expires_at=event.expires_at)
            return msgspec.structs.replace(state, link=link)
        case PlatformAdminGranted():
            admins = tuple(dict.fromkeys((*state.admins, event.user_id)))
            kept = None if event.how == "link" else state.link
            return msgspec.structs.replace(state, admins=admins, link=kept)
    return state


PLATFORM = Aggregate(name="platform", state=Platform, evolve=evolve)
