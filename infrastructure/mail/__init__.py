"""Mail: handing a finished letter to whoever carries it.

The same letter may be handed over twice, after a crash in the wrong moment: it then has the same
Message-ID, by which servers and readers know it again.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

import msgspec


class OutgoingMail(msgspec.Struct, frozen=True, kw_only=True):
    """A letter as it is to arrive."""

    mail_id: str
    recipient: str
    subject: str
    text: str
    html: str
    requested_at: datetime
    keep: bool = True
    """False: no copy of it may stay on this machine."""

    def __repr__(self) -> str:
        """Name the mail, never whom it goes to or what it says."""
        return f"OutgoingMail({self.mail_id!r})"


class MailRefused(Exception):
    """This letter will not be taken, now or later. The message never names the recipient."""


class MailAway(Exception):
    """It was not taken this time. The message never names the recipient."""

    def __init__(self, reason: str, *, for_all: bool) -> None:
        super().__init__(reason)
        self.for_all = for_all
        """No letter would have been taken: the trouble is the server's, or our settings'."""


class KeptMail(msgspec.Struct, frozen=True, kw_only=True):
    """A letter that stayed on this machine, without what it says."""

    mail_id: str
    recipient: str
    subject: str
    requested_at: datetime

    def __repr__(self) -> str:
        """Name the mail, never whom it goes to."""
        return f"KeptMail({self.mail_id!r})"


class Mailbox(Protocol):
    """Shows the letters that stayed on this machine, as there is no mail server."""

    async def newest(self, *, offset: int, limit: int) -> tuple[int, Sequence[KeptMail]]:
        """Return how many there are and a part of them, the newest first."""
        ...

    async def read(self, mail_id: str) -> tuple[KeptMail, str] | None:
        """Return a letter and its text, None when it is not there."""
        ...


class Mailer(Protocol):
    """Carries letters."""

    async def send(self, mail: OutgoingMail) -> None:
        """Return once somebody else has taken it over; raises `MailRefused` or `MailAway`."""
        ...

    async def forget(self, mail_ids: Collection[str]) -> None:
        """Delete what is kept here of these letters; what was carried away cannot be recalled."""
        ...
