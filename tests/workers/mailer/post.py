"""A mailer on a real installation, with a real mail server to talk to."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bootstrap import settings as settings_module
from bootstrap.core import Core
from bootstrap.mail import LogOutbox, choose_mailer
from commands.bus import Bus, Command, Context
from commands.mail import request_mail
from commands.work import NOBODY, Work
from domain.mail.values import Link, LinkPurpose, Template
from infrastructure.ending import end
from infrastructure.passwords.argon2_processes import HashingProcesses
from projections.mail import MAILS
from tests.mail_server import MailServer
from tests.wiring import SECRET, Installation, Person
from workers.mailer import MailerOptions
from workers.mailer.letters import Letters
from workers.mailer.sending import MailWorker

FAST = MailerOptions(
    interval_seconds=0.2,
    retry_seconds=0.05,
    retry_seconds_max=0.1,
    away_seconds=0.02,
    away_seconds_max=0.05,
)
SITE = "https://tallyport.example"


class Ask(Command, frozen=True, kw_only=True):
    """A command of which a mail is a part."""

    wish: dict


async def ask(command: Ask, work: Work) -> str:
    return await request_mail(work, **command.wish)


class Post:
    """The post of one installation: mails are asked for, a mailer sends them."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.server = MailServer()
        self._bus = Bus(
            store=installation.store,
            codec=installation.codec,
            vault=installation.vault,
            passwords=installation.passwords,
            links=installation.links,
            handlers={Ask: ask},
            claim_secret=SECRET,
        )

    async def ask(self, template: Template = Template.PASSWORD_CHANGED, **wish: object) -> str:
        """Ask for a mail; return its id."""
        command = Ask(wish={"template": template, **wish})
        mail_id: str = (await self._bus.dispatch(command, Context(actor=NOBODY))).result
        return mail_id

    async def ask_for_link(self, person: Person, *, ends_in: timedelta) -> str:
        """Ask for a mail with a link that ends."""
        link = Link(
            purpose=LinkPurpose.RESET_PASSWORD,
            subject=person.user_id,
            nonce="n" * 22,
            expires_at=datetime.now(UTC) + ends_in,
        )
        return await self.ask(Template.RESET_PASSWORD, user_id=person.user_id, link=link)

    def invitation_link(self) -> Link:
        """Return a link to an invitation that lasts."""
        return Link(
            purpose=LinkPurpose.INVITATION,
            subject="org-0000000001",
            nonce="n" * 22,
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )

    def core(self, port: int) -> Core:
        """Return what a process of this installation has."""
        environ = {
            "TALLYPORT_MAIL_URL": f"smtp://127.0.0.1:{port}?tls=none",
            "TALLYPORT_PUBLIC_URL": SITE,
            "TALLYPORT_SECRET_KEY": base64.b64encode(SECRET).decode(),
        }
        settings = settings_module.load(environ)
        database = replace(settings.parts, database_url=self.installation.conninfo)
        return Core(
            settings=replace(settings, parts=database),
            pool=self.installation.pool,
            store=self.installation.store,
            vault=self.installation.another_vault(),
            codec=self.installation.fresh_codec(),
            hashing=HashingProcesses(1),
        )

    @asynccontextmanager
    async def mailer(
        self,
        options: MailerOptions = FAST,
        *,
        port: int | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> AsyncIterator[None]:
        """Run a mailer for a while."""
        core = self.core(port or self.server.port)
        outbox = LogOutbox(core, core.bus())
        letters = Letters(site_url=core.settings.api.public_url, tokens=core.links())
        worker = MailWorker(
            outbox, choose_mailer(core.settings), letters, options=options, clock=clock
        )
        running = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            await end(running)
            await outbox.close()
        if not running.cancelled():
            running.result()

    async def outcome(self, mail_id: str) -> list[tuple[str, str | None]]:
        """Return what happened to the mail, once it is done with."""
        await self.until(lambda: self._is_done(mail_id))
        recorded = await self.installation.store.read_stream(mail_id)
        events = await self.installation.codec.decode_all(recorded)
        return [(type(e).__name__, getattr(e, "reason", None)) for e in events[1:]]

    async def _is_done(self, mail_id: str) -> bool:
        await self.installation.caught_up([MAILS])
        return not await self.installation.query("SELECT FROM views.mails WHERE id = %s", mail_id)

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(120):
            while not await condition():  # noqa: ASYNC110  the database is asked
                await asyncio.sleep(0.01)

    async def attempts(self, mail_id: str) -> int:
        """Return how many attempts have failed so far."""
        rows = await self.installation.query(
            "SELECT attempts FROM views.mails WHERE id = %s", mail_id
        )
        return int(rows[0]["attempts"]) if rows else 0
