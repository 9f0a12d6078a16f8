"""Links that were sent: each followed once, until it expires or a newer one is asked for."""

from datetime import datetime

import msgspec

from domain.kernel.errors import RuleViolated


class LinkNotValid(RuleViolated):
    """This link was used already, has expired, or was replaced by a newer one; ask for another."""


class PendingLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link that was sent and not followed yet."""

    nonce: str
    expires_at: datetime
    email: str = ""
    """The address it verifies."""


def must_be_valid(link: PendingLink | None, *, nonce: str, now: datetime) -> PendingLink:
    """Return the link if this nonce is its, and it has not expired; raises `LinkNotValid`."""
    if link is None or nonce != link.nonce or now >= link.expires_at:
        raise LinkNotValid
    return link
