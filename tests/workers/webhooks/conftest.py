"""The worker's parts on a real database, and a real server that is told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg.rows import DictRow

from commands.api_keys import RevokeApiKey
from commands.webhooks import ChangeWebhook, CreateWebhook, ShownWebhook
from infrastructure.ending import end
from infrastructure.stream import Cursor
from infrastructure.webhooks.http import HttpPoster
from infrastructure.webhooks.postgres import PostgresLedger
from projections.live import LIVE_TYPES
from tests.webhook_receiver import Receiver, running_receiver
from tests.wiring import Installation, Person
from workers.webhooks import SenderOptions
from workers.webhooks.follower import Follower
from workers.webhooks.sender import Sender


class Scene:
    """A person with webhooks, a server, and a worker that runs when a test says so."""

    def __init__(self, installation: Installation, receiver: Receiver, anna: Person) -> None:
        self.installation = installation
        self.receiver = receiver
        self.anna = anna
        self.ledger = PostgresLedger(installation.pool)
        self.told: list[Cursor] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._posters: list[HttpPoster] = []
        self._forgiving = False

    async def make(self, path: str = "/hook", *event_types: str, **changes: Any) -> ShownWebhook:
        wish: dict[str, Any] = {
            "team_id": self.anna.team_id,
            "url": self.receiver.url(path),
            "event_types": event_types or ("*",),
            "known_types": tuple(LIVE_TYPES),
            "private_hosts": (self.receiver.host,),
            "present": 0,
            "webhooks_max": 99,
        }
        person = changes.pop("person", self.anna)
        command = CreateWebhook(**{**wish, "team_id": person.team_id, **changes})
        made: ShownWebhook = (await self.installation.dispatch(command, person.context)).result
        return made

    async def change(self, webhook_id: str, **changes: Any) -> None:
        command = ChangeWebhook(webhook_id=webhook_id, known_types=tuple(LIVE_TYPES), **changes)
        await self.installation.dispatch(command, self.anna.context)

    async def keys(self, number: int = 1) -> list[str]:
        """Make keys, each of which is one message of the type `key.created`; return their ids."""
        made = [
            await self.installation.create_key(self.anna, name=f"key {each}")
            for each in range(number)
        ]
        return [key.key_id for key in made]

    async def revoke(self, key_id: str) -> None:
        await self.installation.dispatch(RevokeApiKey(key_id=key_id), self.anna.context)

    def start(
        self,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        timeout_seconds: float = 30.0,
        private_hosts: Collection[str] | None = None,
        **options: Any,
    ) -> None:
        """Let the worker work until it is stopped."""
        installation, news = self.installation, asyncio.Event()
        hosts = [self.receiver.host] if private_hosts is None else private_hosts

        async def tell(progress: Cursor) -> None:
            self.told.append(progress)

        poster = HttpPoster(private_hosts=hosts, timeout_seconds=timeout_seconds)
        follower = Follower(
            installation.stream(),
            installation.store,
            installation.fresh_codec(),
            self.ledger,
            tell,
            news,
        )
        sender = Sender(
            self.ledger,
            poster,
            installation.another_vault(),
            installation.another_bus(clock),
            news,
            private_hosts=hosts,
            options=SenderOptions(**{"jitter": 0.0, **options}),
            clock=clock,
        )
        self._posters.append(poster)
        self._tasks += [
            asyncio.create_task(work()) for work in (follower.run, follower.replay, sender.run)
        ]

    def forgive(self) -> None:
        """Let a worker that gave way to another one be no failure of the test."""
        self._forgiving = True

    async def stop(self) -> None:
        failed = [] if self._forgiving else [task for task in self._tasks if task.done()]
        await end(*self._tasks)
        self._tasks.clear()
        for poster in self._posters:
            await poster.close()
        self._posters.clear()
        for task in failed:
            task.result()

    async def caught_up(self) -> None:
        """Return when the ledger has all of the log."""
        position = await self.installation.store.last_position()
        await self.installation.until("(SELECT position >= %s FROM webhook_progress)", position)

    async def until(self, condition: str, *parameters: object) -> None:
        """Return when the database says so; a worker that ended is told at once."""
        waiting = asyncio.ensure_future(
            self.installation.until(f"coalesce({condition}, false)", *parameters)
        )
        await asyncio.wait(
            {waiting, *([] if self._forgiving else self._tasks)},
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not waiting.done():
            await end(waiting)
            await self.stop()
        await waiting

    async def settled(self, status: str = "delivered", *, number: int = 1) -> list[DictRow]:
        """Return the deliveries of a status once there are so many."""
        condition = "(SELECT count(*) >= %s FROM webhook_deliveries WHERE status = %s)"
        await self.until(condition, number, status)
        return await self.installation.query(
            "SELECT * FROM webhook_deliveries WHERE status = %s ORDER BY position, cursor", status
        )


@pytest.fixture
async def scene(installation: Installation) -> AsyncIterator[Scene]:
    async with running_receiver() as receiver:
        opened = Scene(installation, receiver, await installation.register())
        yield opened
        await opened.stop()
