"""The mails that wait to be sent, and when each is due. What is in them stays in the log."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.mail.events import MailFailed, MailRequested, MailSent
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.tables import Connection
from projections.view import Change, View


class MailRow(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that was neither sent nor given up."""

    id: str
    template: str
    requested_at: datetime
    attempts: int = 0
    due_at: datetime


def _changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, MailRequested | MailSent | MailFailed):
        return [((event.mail_id,), event)]
    return []


def _fold(row: MailRow | None, event: object, _: RecordedEvent) -> MailRow | None:
    match event:
        case MailRequested():
            return MailRow(
                id=event.mail_id,
                template=event.template,
                requested_at=event.requested_at,
                due_at=event.requested_at,
            )
        case MailFailed(retry_at=datetime() as due_at) if row is not None:
            return msgspec.structs.replace(row, attempts=event.attempt, due_at=due_at)
    return None


MAILS = View(
    name="mails",
    version=1,
    topic=Topic.EVENTS,
    row=MailRow,
    key=("id",),
    changes=_changes,
    fold=_fold,
    indexes=("due_at, id",),
)


async def due_mails(connection: Connection, *, now: datetime, limit: int) -> list[str]:
    """Return the ids of the mails that are due, the one that waits longest first."""
    cursor = await connection.execute(
        "SELECT id FROM views.mails WHERE due_at <= %s ORDER BY due_at, id LIMIT %s", (now, limit)
    )
    return [row[0] for row in await cursor.fetchall()]


async def next_due(connection: Connection, *, after: datetime) -> datetime | None:
    """Return when the first of the mails that are not due yet will be."""
    cursor = await connection.execute(
        "SELECT min(due_at) FROM views.mails WHERE due_at > %s", (after,)
    )
    row = await cursor.fetchone()
    return row[0] if row is not None else None
