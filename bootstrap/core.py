"""What every process of ours has: the log, the keys, the bus, and a way to follow the log."""

import asyncio
import contextlib
import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog
from prometheus_client import REGISTRY
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from bootstrap.settings import Settings
from commands.bus import Bus
from commands.catalogue import HANDLERS
from domain.catalogue import EVENTS, UPCASTERS
from infrastructure.certificates.postgres import PostgresCertificateStore
from infrastructure.ending import end
from infrastructure.event_store.codec import JsonCodec
from infrastructure.event_store.postgres import PostgresEventStore
from infrastructure.link_tokens.hmac import HmacLinkTokens
from infrastructure.passwords.argon2 import Argon2Passwords
from infrastructure.passwords.argon2_processes import HashingProcesses
from infrastructure.sealing.postgres import PostgresVault
from infrastructure.stream import Stream
from infrastructure.stream.store import StoreStream
from projections.processes import LOCK_CLASS, lock_key

Pool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]

HASHES_AT_ONCE_MAX = 4
"""Unless a setting says otherwise; each takes 64 MiB."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Core:
    """One process's hold on the log."""

    settings: Settings
    pool: Pool
    store: PostgresEventStore
    vault: PostgresVault
    codec: JsonCodec
    hashing: HashingProcesses

    @property
    def conninfo(self) -> str:
        """How to reach PostgreSQL with a connection of one's own."""
        return self.settings.parts.database_url

    @property
    def store_stream(self) -> Stream:
        """The log followed in the store itself."""
        return StoreStream(self.store, self.conninfo)

    def stream(self) -> Stream:
        """Return the stream that projectors follow: Kafka where there is one, else the store."""
        if self.settings.parts.kafka == "none":
            return self.store_stream
        from infrastructure.stream.kafka import (  # noqa: PLC0415 - only with Kafka
            KafkaStream,
            KafkaStreamMetrics,
        )
        from infrastructure.stream.kafka_connection import KafkaServers  # noqa: PLC0415

        servers = KafkaServers(bootstrap=self.settings.parts.kafka)
        return KafkaStream(servers, self.store, KafkaStreamMetrics(REGISTRY))

    def bus(self) -> Bus:
        """Return a bus with all handlers."""
        sessions = self.settings.sessions
        return Bus(
            store=self.store,
            codec=self.codec,
            vault=self.vault,
            passwords=Argon2Passwords(
                memory_kib=sessions.argon2_memory_kib,
                passes=sessions.argon2_time_cost,
                lanes=sessions.argon2_parallelism,
                processes=self.hashing,
                waiting_max=sessions.argon2_waiting_max,
            ),
            links=self.links(),
            handlers=HANDLERS,
            claim_secret=self.derived_secret("claims"),
        )

    def links(self) -> HmacLinkTokens:
        """Return what makes and reads the tokens of links in mails."""
        return HmacLinkTokens(self.derived_secret("links"))

    def certificates(self) -> PostgresCertificateStore:
        """Return the store of certificates that all gateways share."""
        return PostgresCertificateStore(self.pool, secret=self.derived_secret("certificates"))

    def derived_secret(self, purpose: str) -> bytes:
        """Return a secret of its own for a purpose, from the installation's secret key."""
        key = self.settings.secrets.secret_key
        return hmac.new(key, f"tallyport {purpose}".encode(), hashlib.sha256).digest()


@contextlib.asynccontextmanager
async def open_core(settings: Settings, *, connections_max: int = 10) -> AsyncIterator[Core]:
    """Connect to the log; wait for it when it is not there yet."""
    pool: Pool = AsyncConnectionPool(
        settings.parts.database_url,
        min_size=1,
        max_size=connections_max,
        open=False,
        kwargs={"autocommit": True, "application_name": "tallyport"},
        check=AsyncConnectionPool.check_connection,
        timeout=10,
    )
    await pool.open()
    store = PostgresEventStore(pool, settings.parts.database_url)
    vault = PostgresVault(pool, secret=settings.secrets.secret_key or b"no secret key here")
    codec = JsonCodec(EVENTS, UPCASTERS, vault)
    hashing = HashingProcesses(settings.sessions.argon2_processes or _spare_processors())
    try:
        yield Core(
            settings=settings, pool=pool, store=store, vault=vault, codec=codec, hashing=hashing
        )
    finally:
        hashing.close()
        await store.close()
        await pool.close()


def _spare_processors() -> int:
    """Return how many passwords to hash at once: one processor is always left to other work."""
    return max(1, min((os.cpu_count() or 1) - 1, HASHES_AT_ONCE_MAX))


async def run_alone(
    core: Core, name: str, stop: asyncio.Event, work: Callable[[], Awaitable[Any]]
) -> None:
    """Do the work while this process holds the lock of that name; until then, stand by.

    When the connection that holds the lock is lost, the work is ended: somebody else may have
    taken over. Returns when told to stop.
    """
    while not stop.is_set():
        try:
            await _hold_and_work(core, name, stop, work)
        except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
            log.warning("worker interrupted", worker=name, error=str(error))
            await pause(stop, 0.5)


async def _hold_and_work(
    core: Core, name: str, stop: asyncio.Event, work: Callable[[], Awaitable[Any]]
) -> None:
    connection = await psycopg.AsyncConnection.connect(
        core.conninfo, autocommit=True, application_name=f"tallyport {name} lock"
    )
    async with connection:
        while not stop.is_set():
            cursor = await connection.execute(
                "SELECT pg_try_advisory_lock(%s, %s)", (LOCK_CLASS, lock_key(name))
            )
            row = await cursor.fetchone()
            if row is not None and row[0]:
                break
            await pause(stop, 1.0)
        if stop.is_set():
            return
        working = asyncio.ensure_future(work())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not working.done() and not stopping.done():
                await asyncio.wait(
                    {working, stopping}, timeout=2.0, return_when=asyncio.FIRST_COMPLETED
                )
                await connection.execute("SELECT 1")
            if working.done():
                working.result()
        finally:
            await end(working, stopping)


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but not longer than until told to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
