"""The mailer's wiring: which mails wait, who carries them, where their outcome goes."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import structlog
from psycopg.errors import InvalidSchemaName, UndefinedTable

from bootstrap.core import Core
from bootstrap.settings import Settings
from commands.bus import Bus, Command, Context
from commands.mail import ADDRESS_PURPOSE, PARAMETER_PURPOSE, MarkMailFailed, MarkMailSent
from commands.work import Actor
from domain.kernel.events import ERASED
from domain.mail.mail import MAIL
from infrastructure.event_store import StoreUnavailable, UnreadableEvent
from infrastructure.mail import Mailbox, Mailer
from infrastructure.mail.mailbox import FolderMailbox, FolderMailer
from infrastructure.mail.mime import sender_address
from infrastructure.mail.smtp import SmtpMailer, smtp_options
from infrastructure.sealing import opened, subjects_in
from projections.mail import MAILS, due_mails, next_due
from projections.news import ViewNews
from workers.mailer import PendingMail
from workers.mailer.letters import Letters
from workers.mailer.sending import MailWorker

MAILER = Context(actor=Actor(id="mailer"))
STORE_AWAY_SECONDS = 1.0
NO_VIEW_YET = (UndefinedTable, InvalidSchemaName)


async def send_mails(core: Core) -> None:
    """Send what is asked for. Never returns."""
    outbox = LogOutbox(core, core.bus())
    letters = Letters(site_url=core.settings.api.public_url, tokens=core.links())
    try:
        await MailWorker(outbox, choose_mailer(core.settings), letters).run()
    finally:
        await outbox.close()


def choose_mailer(settings: Settings) -> Mailer:
    """Return what carries the letters: the mail server of the settings, else the folder."""
    sender = sender_address(settings.mail.sender)
    if settings.mail.url:
        return SmtpMailer(smtp_options(settings.mail.url), sender=sender)
    return FolderMailer(mailbox_folder(settings), sender=sender)


def choose_mailbox(settings: Settings) -> Mailbox | None:
    """Return where letters stay, where the API is to show them."""
    return FolderMailbox(mailbox_folder(settings)) if settings.mail.mailbox == "on" else None


def mailbox_folder(settings: Settings) -> Path:
    """Return where letters are written when there is no mail server."""
    return settings.home / "mail"


class LogOutbox:
    """What waits by the view, each mail as the log has it."""

    def __init__(self, core: Core, bus: Bus) -> None:
        self._core = core
        self._bus = bus
        self._news = ViewNews(core.conninfo, {MAILS.name})

    async def due(self, *, now: datetime, limit: int) -> Sequence[str]:
        """Return the ids of mails that are due. One that is done with may still be among them."""
        with contextlib.suppress(*NO_VIEW_YET):
            async with self._core.pool.connection() as connection:
                return await due_mails(connection, now=now, limit=limit)
        return ()

    async def next_due(self, *, after: datetime) -> datetime | None:
        """Return when the next one will be due."""
        with contextlib.suppress(*NO_VIEW_YET):
            async with self._core.pool.connection() as connection:
                return await next_due(connection, after=after)
        return None

    async def open(self, mail_id: str) -> PendingMail | None:
        """Return the mail as the log has it now, None when it is done with or cannot be read."""
        try:
            state = (await self._bus.load(MAIL, mail_id, fresh=True)).state
        except UnreadableEvent as error:  # the view has parked it too; the others are to be sent
            structlog.get_logger().error("mail not readable", mail_id=mail_id, error=str(error))
            return None
        if state is None or not state.pending:
            return None
        vault = self._core.vault
        sealed = "\n".join([state.address, *state.parameters.values()])
        await vault.load(subjects_in(sealed.encode()))
        return PendingMail(
            mail_id=mail_id,
            template=state.template,
            address=opened(vault, state.address, purpose=ADDRESS_PURPOSE),
            parameters={
                name: opened(vault, text, purpose=PARAMETER_PURPOSE) or ERASED
                for name, text in state.parameters.items()
            },
            link=state.link,
            requested_at=state.requested_at,
            attempts=state.attempts,
        )

    async def mark_sent(self, mail_id: str) -> None:
        """Remember that the mail was sent."""
        await self._insist(MarkMailSent(mail_id=mail_id))
        await self._forget(mail_id)

    async def mark_failed(self, mail_id: str, *, reason: str, retry_at: datetime | None) -> None:
        """Remember that it was not; None: and never will be."""
        await self._insist(MarkMailFailed(mail_id=mail_id, reason=reason, retry_at=retry_at))
        if retry_at is None:
            await self._forget(mail_id)

    async def wait_for_change(self, timeout_seconds: float) -> None:
        """Return when there may be more mails, or after the time."""
        await self._news.wait(timeout_seconds)

    async def close(self) -> None:
        """Stop listening."""
        await self._news.close()

    async def _insist(self, command: Command) -> None:
        """Store it, however long the store is away: a letter cannot be unsent."""
        while True:
            try:
                await self._bus.dispatch(command, MAILER)
            except StoreUnavailable as error:
                structlog.get_logger().warning("outcome of a mail not stored", error=str(error))
                await asyncio.sleep(STORE_AWAY_SECONDS)
            else:
                return

    async def _forget(self, mail_id: str) -> None:
        """Destroy the key that a mail to nobody we know has of its own."""
        await self._core.vault.destroy([mail_id])
