"""Link tokens: what a link in a mail proves, computed anew instead of kept anywhere.

A token names its subject and a nonce. Whoever handles the link compares the nonce with the one in
the subject's newest event: so a link is used once, ends when that event says, and is void as soon
as a newer one is asked for. The log has the nonce only; the token needs the installation's secret.
"""

from typing import Protocol

import msgspec


class LinkToken(msgspec.Struct, frozen=True):
    """What a genuine token says. Whether it is still good, its subject knows."""

    subject: str
    nonce: str


class LinkTokens(Protocol):
    """Makes and reads tokens, each good for one purpose."""

    def issue(self, purpose: str, subject: str, nonce: str) -> str:
        """Return the token: the same for the same three, every time."""
        ...

    def read(self, purpose: str, token: str) -> LinkToken | None:
        """Return what the token says, None if it was not issued here for this purpose."""
        ...
