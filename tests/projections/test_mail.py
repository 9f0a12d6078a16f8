from datetime import UTC, datetime, timedelta

from domain.kernel.events import Event
from domain.mail.events import MailFailed, MailRequested, MailSent
from projections.mail import MAILS, due_mails, next_due
from tests.projections.asking import digest, rebuild
from tests.wiring import Installation

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


def requested(number: int, at: datetime = NOON) -> MailRequested:
    return MailRequested(
        mail_id=f"mai-{number:010d}", template="erased", address="sealed", requested_at=at
    )


def failed(number: int, retry_at: datetime | None) -> MailFailed:
    return MailFailed(mail_id=f"mai-{number:010d}", attempt=1, reason="away", retry_at=retry_at)


async def test_mails_wait_until_they_are_due_and_are_gone_when_they_are_done_with(
    installation: Installation,
) -> None:
    installation.start_views([MAILS])
    later = NOON + timedelta(minutes=1)
    stories: dict[int, list[Event]] = {
        1: [requested(1)],
        2: [requested(2, NOON - timedelta(hours=1))],
        3: [requested(3), failed(3, later)],
        4: [requested(4), MailSent(mail_id="mai-0000000004", attempt=1)],
        5: [requested(5), failed(5, None)],
    }
    for number, events in stories.items():
        await installation.append(f"mai-{number:010d}", *events)
    rows = await installation.rows(MAILS)
    assert [(row["id"][-1], row["attempts"]) for row in rows] == [("1", 0), ("2", 0), ("3", 1)]
    async with installation.pool.connection() as connection:
        due = await due_mails(connection, now=NOON, limit=10)
        assert [mail_id[-1] for mail_id in due] == ["2", "1"]
        assert len(await due_mails(connection, now=NOON, limit=1)) == 1
        assert len(await due_mails(connection, now=later, limit=10)) == 3
        assert await next_due(connection, after=NOON) == later
        assert await next_due(connection, after=later) is None
    before = await digest(installation, MAILS)
    await rebuild(installation, MAILS)
    assert await digest(installation, MAILS) == before
