"""The rules of one mail."""

from datetime import datetime

import msgspec

from domain.kernel.aggregates import Aggregate
from domain.kernel.events import Event, SealedText
from domain.mail.events import MailFailed, MailRequested, MailSent
from domain.mail.values import Link


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail: waiting to be sent, or done with."""

    mail_id: str
    template: str
    user_id: str | None
    team_id: str | None
    address: SealedText
    parameters: dict[str, SealedText]
    link: Link | None
    requested_at: datetime
    attempts: int = 0
    pending: bool = True

    def sent(self) -> list[Event]:
        """Say that the server took it over. Repeated, it changes nothing."""
        if not self.pending:
            return []
        return [MailSent(mail_id=self.mail_id, attempt=self.attempts + 1)]

    def failed(self, *, reason: str, retry_at: datetime | None) -> list[Event]:
        """Say that an attempt failed. Of a mail that is done with, it changes nothing."""
        if not self.pending:
            return []
        attempt = self.attempts + 1
        return [MailFailed(mail_id=self.mail_id, attempt=attempt, reason=reason, retry_at=retry_at)]


def evolve(state: Mail | None, event: Event) -> Mail | None:
    """Remember how far the mail got."""
    match event:
        case MailRequested():
            return Mail(
                mail_id=event.mail_id,
                template=event.template,
                user_id=event.user_id,
                team_id=event.team_id,
                address=event.address,
                parameters=event.parameters,
                link=event.link,
                requested_at=event.requested_at,
            )
        case MailSent() if state is not None:
            return msgspec.structs.replace(state, attempts=event.attempt, pending=False)
        case MailFailed() if state is not None:
            return msgspec.structs.replace(
                state, attempts=event.attempt, pending=event.retry_at is not None
            )
    return state


MAIL = Aggregate(name="mail", state=Mail, evolve=evolve)
