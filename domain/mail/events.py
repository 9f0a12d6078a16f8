"""The facts of a mail's way out."""

from datetime import datetime

from domain.kernel.events import Event, SealedText
from domain.mail.values import Link


class MailRequested(Event, frozen=True, kw_only=True):
    """Somebody is to be told something. Sealed with the key of the recipient.

    That is the person's key; for an address that is nobody's, the mail's own.
    A parameter that names another person is sealed with the key of that one.
    """

    mail_id: str
    template: str
    user_id: str | None = None
    """The person it goes to; None when the address is nobody's yet."""
    team_id: str | None = None
    """The team it is about."""
    address: SealedText
    parameters: dict[str, SealedText] = {}
    link: Link | None = None
    requested_at: datetime


class MailSent(Event, frozen=True, kw_only=True):
    """The mail server took it over. It may have done so before, under the same Message-ID."""

    mail_id: str
    attempt: int


class MailFailed(Event, frozen=True, kw_only=True):
    """An attempt to send it came to nothing."""

    mail_id: str
    attempt: int
    reason: str
    """In words of ours with the server's number: its own text may repeat the address."""
    retry_at: datetime | None = None
    """When it is tried again; None: it was given up."""
