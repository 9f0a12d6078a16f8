"""One mail after the other: send it, mark it, or say when it is tried again."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import Counter, Gauge

from domain.mail.values import Template
from infrastructure.mail import MailAway, Mailer, MailRefused, OutgoingMail
from workers.mailer import MailerOptions, Outbox, PendingMail
from workers.mailer.letters import CannotBeWritten, Letters

SENT = Counter("tallyport_mailer_sent_total", "Mails that a mail server took over")
PUT_OFF = Counter("tallyport_mailer_put_off_total", "Attempts that are to be repeated")
GIVEN_UP = Counter("tallyport_mailer_given_up_total", "Mails that will never be sent")
AWAY = Gauge("tallyport_mailer_server_away", "1 while the mail server takes nothing at all")
LAST_SUCCESS = Gauge("tallyport_mailer_last_success_seconds", "Unix time of the last mail sent")

_DOUBLINGS_MAX = 16

log = structlog.get_logger()


class MailWorker:
    """Sends what is due, for ever."""

    def __init__(
        self,
        outbox: Outbox,
        mailer: Mailer,
        letters: Letters,
        *,
        options: MailerOptions | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._outbox = outbox
        self._mailer = mailer
        self._letters = letters
        self._options = options or MailerOptions()
        self._clock = clock
        self._times_away = 0

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                await self._send_what_is_due()
            except MailAway as away:
                await self._pause(away)
            else:
                await self._outbox.wait_for_change(await self._seconds_to_next())

    async def _send_what_is_due(self) -> None:
        limit = self._options.batch_size_max
        for mail_id in await self._outbox.due(now=self._clock(), limit=limit):
            mail = await self._outbox.open(mail_id)
            if mail is not None:  # else the view is a moment behind the log
                await self._send(mail)

    async def _send(self, mail: PendingMail) -> None:
        if mail.address is None:
            await self._give_up(mail, "the recipient was erased")
        elif mail.link is not None and mail.link.expires_at <= self._clock():
            await self._give_up(mail, "its link had ended before it could be sent")
        else:
            await self._hand_over(mail, mail.address)

    async def _hand_over(self, mail: PendingMail, address: str) -> None:
        try:
            letter = self._letters.write(mail)
            await self._mailer.send(
                OutgoingMail(
                    mail_id=mail.mail_id,
                    recipient=address,
                    subject=letter.subject,
                    text=letter.text,
                    html=letter.html,
                    requested_at=mail.requested_at,
                    keep=mail.template != Template.ERASED,
                )
            )
        except CannotBeWritten as error:
            await self._give_up(mail, f"it cannot be written: {error}")
        except MailRefused as refused:
            self._server_is_there()
            await self._give_up(mail, str(refused))
        except MailAway as away:
            await self._put_off(mail, away)
        else:
            self._server_is_there()
            await self._outbox.mark_sent(mail.mail_id)
            SENT.inc()
            LAST_SUCCESS.set_to_current_time()
            log.info("mail sent", mail_id=mail.mail_id, template=mail.template)

    async def _put_off(self, mail: PendingMail, away: MailAway) -> None:
        """Try it again later: this mail, or all of them."""
        if self._clock() - mail.requested_at >= timedelta(seconds=self._options.give_up_seconds):
            await self._give_up(mail, str(away))
        elif not away.for_all:
            self._server_is_there()
            retry_at = self._clock() + timedelta(seconds=self._retry_seconds(mail.attempts))
            await self._outbox.mark_failed(mail.mail_id, reason=str(away), retry_at=retry_at)
            PUT_OFF.inc()
            log.warning(
                "mail put off",
                mail_id=mail.mail_id,
                template=mail.template,
                reason=str(away),
                retry_at=retry_at.isoformat(),
            )
        if away.for_all:
            raise away

    async def _give_up(self, mail: PendingMail, reason: str) -> None:
        await self._outbox.mark_failed(mail.mail_id, reason=reason, retry_at=None)
        GIVEN_UP.inc()
        log.warning("mail given up", mail_id=mail.mail_id, template=mail.template, reason=reason)

    async def _pause(self, away: MailAway) -> None:
        """Leave the server alone for a while; new mails wait too."""
        AWAY.set(1)
        log.warning("no mail can be sent", reason=str(away), times=self._times_away + 1)
        options = self._options
        seconds = options.away_seconds * 2 ** min(self._times_away, _DOUBLINGS_MAX)
        self._times_away += 1
        await asyncio.sleep(self._shortened(min(seconds, options.away_seconds_max)))

    def _server_is_there(self) -> None:
        AWAY.set(0)
        self._times_away = 0

    def _retry_seconds(self, failures: int) -> float:
        seconds = self._options.retry_seconds * 2 ** min(failures, _DOUBLINGS_MAX)
        return self._shortened(min(seconds, self._options.retry_seconds_max))

    def _shortened(self, seconds: float) -> float:
        return seconds * (1 - random.uniform(0, self._options.jitter))  # noqa: S311  no secret

    async def _seconds_to_next(self) -> float:
        now = self._clock()
        due_at = await self._outbox.next_due(after=now)
        if due_at is None:
            return self._options.interval_seconds
        return min(max((due_at - now).total_seconds(), 0.01), self._options.interval_seconds)
