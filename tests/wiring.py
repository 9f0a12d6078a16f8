"""An installation without processes: the log, the bus and the projection runners in one loop."""

import asyncio
import atexit
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from bootstrap.traffic import TRAFFIC_SCHEMA
from commands.api_keys import CreateApiKey, CreatedApiKey
from commands.bus import Bus, Command, Context, Receipt
from commands.catalogue import HANDLERS
from commands.deployments import Changed, RequestDeployment
from commands.identity import Registered, RegisterUser
from commands.teams import ChangedTeam, CreateTeam
from commands.work import NOBODY, Actor
from domain.catalogue import EVENTS, UPCASTERS
from domain.kernel.events import Event
from domain.mail.values import LinkPurpose
from domain.teams.events import InvitationCreated, MemberAdded
from domain.teams.values import SCOPES_OF, Role
from infrastructure.certificates.postgres import CERTIFICATES_SCHEMA, PostgresCertificateStore
from infrastructure.event_store import ADDRESS_PURPOSE, Metadata, NewEvent
from infrastructure.event_store.codec import JsonCodec
from infrastructure.event_store.postgres import EVENT_STORE_SCHEMA, PostgresEventStore
from infrastructure.link_tokens.hmac import HmacLinkTokens
from infrastructure.passwords.argon2 import Argon2Passwords
from infrastructure.passwords.argon2_processes import HashingProcesses
from infrastructure.sealing import opened, subjects_in
from infrastructure.sealing.postgres import SEALING_SCHEMA, PostgresVault
from infrastructure.stream.store import StoreStream
from infrastructure.webhooks.postgres import WEBHOOKS_SCHEMA
from projections.catalogue import VIEWS
from projections.health_looks import LOOKS_SCHEMA
from projections.moving import Mover
from projections.processes import REPORTS_SCHEMA
from projections.tables import VIEWS_SCHEMA, create_generation, switch_to
from projections.upkeep import Wishes
from projections.view import View
from tests.servers import APPLICATION_ROLE, MIGRATED, PostgresServer
from workers.projection_runner import ProjectionRunner
from workers.relay import RELAY_SCHEMA

SCHEMAS = (
    EVENT_STORE_SCHEMA,
    SEALING_SCHEMA,
    VIEWS_SCHEMA,
    RELAY_SCHEMA,
    CERTIFICATES_SCHEMA,
    WEBHOOKS_SCHEMA,
    TRAFFIC_SCHEMA,
    REPORTS_SCHEMA,
    LOOKS_SCHEMA,
)
SECRET = b"a secret that only tests have .."
PASSWORD = "correct horse battery"
HASHING = HashingProcesses(2, patience_seconds=0)
"""Shared by all tests, as starting processes would take longer than most of them."""
atexit.register(HASHING.close)


class Clock:
    """A clock on which time passes only when a test says so."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 14, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        """Let it be later."""
        self.now += timedelta(**time)


class Person:
    """Somebody registered, and the context in which their commands run."""

    def __init__(self, registered: Registered) -> None:
        self.user_id = registered.user_id
        self.team_id = registered.team_id
        self.username = registered.username
        self.email = registered.email
        self.context = Context(
            actor=Actor(
                id=self.user_id,
                user_id=self.user_id,
                grants={self.team_id: SCOPES_OF[Role.OWNER]},
                home_team_id=self.team_id,
            )
        )

    def join(self, team_id: str, role: Role) -> None:
        """Let what they do from now on be done as a member of this team."""
        grants = {**self.context.actor.grants, team_id: SCOPES_OF[role]}
        actor = msgspec.structs.replace(self.context.actor, grants=grants)
        self.context = Context(actor=actor)


class Installation:
    """The parts, and short words for what most tests begin with."""

    def __init__(
        self, conninfo: str, admin_conninfo: str, pool: AsyncConnectionPool, store: Any
    ) -> None:
        self.conninfo = conninfo
        """As the application's role."""
        self.admin_conninfo = admin_conninfo
        """As the superuser: for looking behind the application's back."""
        self.pool = pool
        self.mover = Mover(pool)
        self.wishes = Wishes(pool)
        self.store: PostgresEventStore = store
        self.vault = PostgresVault(pool, secret=SECRET)
        self.codec = JsonCodec(EVENTS, UPCASTERS, self.vault)
        self.passwords = Argon2Passwords(
            memory_kib=64, passes=1, lanes=1, processes=HASHING, waiting_max=5000
        )
        self.links = HmacLinkTokens(SECRET)
        self.certificates = PostgresCertificateStore(pool, secret=SECRET)
        self.bus = self.another_bus()
        self._shared_stream = self.stream()
        self._stop = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []

    def another_bus(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Bus:
        """Return a bus with a cache of its own, as another process would have."""
        return Bus(
            store=self.store,
            codec=self.codec,
            vault=self.vault,
            passwords=self.passwords,
            links=self.links,
            handlers=HANDLERS,
            claim_secret=SECRET,
            clock=clock,
        )

    def another_vault(self) -> PostgresVault:
        """Return a vault that has no key in memory, as a process just started."""
        return PostgresVault(self.pool, secret=SECRET)

    def fresh_codec(self) -> JsonCodec:
        """Return a codec that has to fetch every key, as in a process just started."""
        return JsonCodec(EVENTS, UPCASTERS, self.another_vault())

    def stream(self) -> StoreStream:
        """Return the log as a stream."""
        return StoreStream(self.store, self.conninfo, poll_seconds=0.2)

    def runner(self, view: View[Any]) -> ProjectionRunner:
        """Return a runner for one view."""
        return ProjectionRunner(
            view,
            stream=self._shared_stream,
            rebuild_stream=self._shared_stream,
            reader=self.store,
            decoder=self.codec,
            pool=self.pool,
            mover=self.mover,
            wishes=self.wishes,
        )

    def start_views(self, views: Iterable[View[Any]] = VIEWS) -> None:
        """Keep these views until the end of the test."""
        self._running += [asyncio.create_task(self.runner(view).run(self._stop)) for view in views]

    async def close(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._running)
        await self.store.close()
        self.passwords.close()

    async def dispatch(self, command: Command, context: Context) -> Receipt:
        return await self.bus.dispatch(command, context)

    async def register(self, username: str = "anna") -> Person:
        """Let a person join."""
        command = RegisterUser(
            username=username, email=f"{username}@example.com", password=PASSWORD
        )
        receipt = await self.dispatch(command, Context(actor=NOBODY))
        return Person(receipt.result)

    async def found_team(self, owner: Person, name: str = "Acme") -> str:
        """Found a team."""
        founded: ChangedTeam = (await self.dispatch(CreateTeam(name=name), owner.context)).result
        owner.join(founded.team_id, Role.OWNER)
        return founded.team_id

    async def add_member(self, team_id: str, person: Person, role: Role) -> None:
        """Put a person into a team, without an invitation."""
        versions = await self.store.versions([team_id])
        added = MemberAdded(user_id=person.user_id, role=role)
        await self.append(team_id, added, after=versions[team_id])
        person.join(team_id, role)

    async def link_of(self, team_id: str) -> str:
        """Return the token of the team's newest invitation, as the mail has it; "" without one."""
        events = await self.codec.decode_all(await self.store.read_stream(team_id))
        nonces = [event.nonce for event in events if isinstance(event, InvitationCreated)]
        return self.links.issue(LinkPurpose.INVITATION, team_id, nonces[-1]) if nonces else ""

    async def create_key(self, person: Person, **changes: Any) -> CreatedApiKey:
        """Make a key for the person's team."""
        wish: dict[str, Any] = {
            "team_id": person.team_id,
            "name": "a key",
            "scopes": ("call:*",),
            "requests_per_minute": 60,
        }
        command = CreateApiKey(**{**wish, **changes})
        created: CreatedApiKey = (await self.dispatch(command, person.context)).result
        return created

    async def deploy(self, person: Person, app_name: str = "hello", **changes: Any) -> Changed:
        """Ask for a deployment."""
        wish: dict[str, Any] = {"image": "tallyport/echo", "port": 8000}
        command = RequestDeployment(
            **{"team_id": person.team_id, "app_name": app_name, **wish, **changes}
        )
        changed: Changed = (await self.dispatch(command, person.context)).result
        return changed

    async def append(self, stream_id: str, *events: Event, after: int = 0) -> int:
        """Append events to a stream as they are, without any rule."""
        encoded = await self.codec.encode_all(list(events))
        return await self.store.append(
            [
                NewEvent(
                    stream_id=stream_id,
                    version=after + number,
                    topic=topic,
                    data=data,
                    event_id=uuid4(),
                    metadata=Metadata(actor="test"),
                )
                for number, (topic, data) in enumerate(encoded, start=1)
            ]
        )

    async def append_raw(self, stream_id: str, version: int, topic: str, data: bytes) -> int:
        """Append bytes that no codec made."""
        event = NewEvent(
            stream_id=stream_id, version=version, topic=topic, data=data, event_id=uuid4()
        )
        return await self.store.append([event])

    async def address(self, kept: str | None) -> str | None:
        """Return an address that the log or a view has, in clear; None once its key is gone."""
        if kept is None:
            return None
        vault = self.another_vault()
        await vault.load(subjects_in(kept.encode()))
        return opened(vault, kept, purpose=ADDRESS_PURPOSE)

    async def query(self, sql: str, *parameters: object) -> list[DictRow]:
        """Ask the database as the application's role."""
        async with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(sql.encode(), parameters)
            return await cursor.fetchall()

    async def until(self, condition: str, *parameters: object) -> None:
        """Return when the database says so."""
        async with asyncio.timeout(60):
            while await self.query(f"SELECT WHERE NOT ({condition})", *parameters):  # noqa: ASYNC110 - the database is asked
                await asyncio.sleep(0.01)

    async def as_admin(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask, or change, the database as its superuser."""
        async with await psycopg.AsyncConnection.connect(
            self.admin_conninfo, autocommit=True
        ) as connection:
            cursor = await connection.execute(sql.encode(), parameters)
            return await cursor.fetchall() if cursor.description else []

    async def rows(self, view: View[Any]) -> list[DictRow]:
        """Return all rows of a view that has caught up with the log, in the order of its key."""
        await self.caught_up([view])
        return await self.query(f"SELECT * FROM views.{view.name} ORDER BY {', '.join(view.key)}")

    async def caught_up(
        self, views: Iterable[View[Any]] = VIEWS, *, position: int | None = None
    ) -> None:
        """Return when the views have reached a position: the newest one unless told."""
        position = await self.store.last_position() if position is None else position
        wanted = [view.name for view in views]
        async with asyncio.timeout(60):
            while await self._behind(wanted, position):  # noqa: ASYNC110 - the database is asked
                await asyncio.sleep(0.01)

    async def _behind(self, wanted: list[str], position: int) -> bool:
        rows = await self.query(
            "SELECT view FROM view_generations JOIN view_positions USING (view, generation)"
            " WHERE live AND view = ANY(%s) GROUP BY view HAVING min(position) >= %s",
            wanted,
            position,
        )
        return len(rows) < len(wanted) and position > 0


async def show_views(postgres: PostgresServer) -> None:
    """Let every database made from now on have all views, empty: making them anew takes long."""
    conninfo = postgres.conninfo(MIGRATED, user=APPLICATION_ROLE)
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        for view in VIEWS:
            await create_generation(connection, view, 1)
            await switch_to(connection, view, 1)


@asynccontextmanager
async def open_installation(postgres: PostgresServer, database: str) -> AsyncIterator[Installation]:
    """Open everything on a migrated database, and close it at the end."""
    conninfo = postgres.conninfo(database, user=APPLICATION_ROLE)
    async with AsyncConnectionPool(
        conninfo,
        open=False,
        min_size=2,
        max_size=60,
        timeout=30,
        kwargs={"autocommit": True},
        check=AsyncConnectionPool.check_connection,
    ) as pool:
        store = PostgresEventStore(pool, conninfo)
        opened = Installation(conninfo, postgres.conninfo(database), pool, store)
        try:
            yield opened
        finally:
            await opened.close()
