"""The mailer: sends the mails that were asked for, each at least once.

A mail is done with when the log says so. It is sent first and marked after, so a mailer that dies
in between sends it again, with the same Message-ID; one that dies before has lost nothing. What a
server puts off is tried again at growing intervals for a day, what it refuses is given up at once.

- `letters.py` writes the text and the HTML of a mail, and makes the token of its link.
- `sending.py` decides what is sent, repeated and given up.

Trouble that would hit every letter (the server is away) stops all sending for a while and is
nobody's failed attempt. The order of mails is not promised.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from domain.mail.values import Link


class PendingMail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that is to be sent, opened: never log this."""

    mail_id: str
    template: str
    address: str | None
    """None when it cannot be read any more: the recipient was erased."""
    parameters: Mapping[str, str]
    link: Link | None
    requested_at: datetime
    attempts: int = 0

    def __repr__(self) -> str:
        """Name the mail, never whom it goes to or what it says."""
        return f"PendingMail({self.mail_id!r}, attempts={self.attempts})"


class Outbox(Protocol):
    """The mails that wait, and where their outcome goes."""

    async def due(self, *, now: datetime, limit: int) -> Sequence[str]:
        """Return the ids of mails that are due. One that is done with may still be among them."""
        ...

    async def next_due(self, *, after: datetime) -> datetime | None:
        """Return when the next one will be due."""
        ...

    async def open(self, mail_id: str) -> PendingMail | None:
        """Return the mail as the log has it now, None when it is done with."""
        ...

    async def mark_sent(self, mail_id: str) -> None:
        """Remember that the mail was sent."""
        ...

    async def mark_failed(self, mail_id: str, *, reason: str, retry_at: datetime | None) -> None:
        """Remember that it was not; None: and never will be."""
        ...

    async def wait_for_change(self, timeout_seconds: float) -> None:
        """Return when there may be more mails, or after the time."""
        ...


class MailerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All limits of the mailer."""

    interval_seconds: float = 5.0
    """Longest time between two looks."""
    batch_size_max: int = 50
    retry_seconds: float = 30.0
    """From the first failed attempt to the second; doubled after each."""
    retry_seconds_max: float = 3600.0
    give_up_seconds: float = 24 * 3600.0
    """A mail that was asked for so long ago is given up with its next failure."""
    away_seconds: float = 1.0
    """Pause while the server takes nothing at all; doubled each time."""
    away_seconds_max: float = 60.0
    jitter: float = 0.25
    """Up to so much of a wait is left out by chance, so that waits do not end together."""
