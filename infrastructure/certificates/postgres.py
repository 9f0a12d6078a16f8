"""The store in PostgreSQL, private keys sealed with a key that PostgreSQL never sees.

AES-256-GCM with a random 96-bit nonce; what a text is and whose is bound in as associated data. A
change of what gateways shall have counts the version up in its own transaction, under the lock of
one row: versions become visible in their order.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, dict_row
from psycopg_pool import AsyncConnectionPool

from infrastructure.certificates import (
    Account,
    Certificate,
    LeaseLost,
    Order,
    SharedState,
    Standing,
    StoredCertificate,
)

CERTIFICATES_SCHEMA = """
CREATE TABLE IF NOT EXISTS certificate_version (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    version bigint NOT NULL DEFAULT 0
);
INSERT INTO certificate_version DEFAULT VALUES ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS certificates (
    name text PRIMARY KEY,
    owner_id text NOT NULL,
    origin text NOT NULL,
    chain text NOT NULL,
    private_key text NOT NULL,
    hosts text[] NOT NULL,
    issuer text NOT NULL,
    fingerprint text NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    told boolean NOT NULL
);
CREATE SEQUENCE IF NOT EXISTS certificate_epochs;
CREATE TABLE IF NOT EXISTS certificate_orders (
    name text PRIMARY KEY,
    owner_id text NOT NULL,
    epoch bigint NOT NULL DEFAULT nextval('certificate_epochs'),
    held_until timestamptz NOT NULL,
    next_try_at timestamptz NOT NULL DEFAULT '-infinity',
    failures integer NOT NULL DEFAULT 0,
    url text,
    private_key text
);
CREATE TABLE IF NOT EXISTS certificate_challenges (
    token text PRIMARY KEY,
    name text NOT NULL,
    answer text NOT NULL
);
CREATE TABLE IF NOT EXISTS certificate_gateways (
    gateway_id text PRIMARY KEY,
    version bigint NOT NULL,
    seen_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS acme_accounts (
    directory text PRIMARY KEY,
    private_key text NOT NULL,
    url text
);
GRANT USAGE ON SEQUENCE certificate_epochs TO tallyport_app;
GRANT SELECT, UPDATE ON certificate_version TO tallyport_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON certificates, certificate_orders, certificate_challenges,
    certificate_gateways, acme_accounts TO tallyport_app;
"""

GATEWAY_GONE_SECONDS = 10.0
"""A gateway that was silent for so long is not waited for."""

_NONCE_BYTES = 12
_KEY_BYTES = 32
_FACTS = "hosts, issuer, fingerprint, not_before, not_after"

Connection = AsyncConnection[TupleRow]


class PostgresCertificateStore:
    """See the port for what each does."""

    def __init__(self, pool: AsyncConnectionPool[Any], *, secret: bytes) -> None:
        self._pool = pool
        self._sealing = AESGCM(
            HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"tallyport certificates").derive(secret)
        )

    async def read(self) -> SharedState:
        """Return what every gateway shall have, as it was at one moment."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            version = await _version(connection)
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(
                f"SELECT name, owner_id, origin, chain, private_key, {_FACTS} FROM certificates"  # noqa: S608 - a constant
                " WHERE not_after > clock_timestamp() ORDER BY name"
            )
            rows = await cursor.fetchall()
            await cursor.execute("SELECT token, answer FROM certificate_challenges")
            challenges = {row["token"]: row["answer"] for row in await cursor.fetchall()}
        return SharedState(
            version=version,
            certificates=[self._stored(row) for row in rows],
            challenges=challenges,
        )

    async def version(self) -> int:
        """Return the newest version."""
        async with self._pool.connection() as connection:
            return await _version(connection)

    async def applied(self, gateway_id: str, version: int) -> int:
        """Note the gateway, and return the newest version."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO certificate_gateways VALUES (%s, %s, clock_timestamp())"
                " ON CONFLICT (gateway_id) DO UPDATE"
                " SET version = excluded.version, seen_at = excluded.seen_at",
                (gateway_id, version),
            )
            return await _version(connection)

    async def is_everywhere(self, version: int) -> bool:
        """Ask what the living gateways said last."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT coalesce(min(version), -1) FROM certificate_gateways"
                " WHERE seen_at > clock_timestamp() - make_interval(secs => %s)",
                (GATEWAY_GONE_SECONDS,),
            )
            row = await cursor.fetchone()
        return row is not None and int(row[0]) >= version

    async def put(self, stored: StoredCertificate, *, told: bool = False) -> None:
        """Store it, and forget an order that was under way for its name."""
        async with self._pool.connection() as connection, connection.transaction():
            await self._put(connection, stored, told=told)
            await _forget_order(connection, stored.name)

    async def remove(self, name: str, *, owner_id: str) -> None:
        """Forget all there is of the name, if it is the owner's."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(
                "DELETE FROM certificates WHERE name = %s AND owner_id = %s", (name, owner_id)
            )
            cursor = await connection.execute(
                "DELETE FROM certificate_orders WHERE name = %s AND owner_id = %s", (name, owner_id)
            )
            if cursor.rowcount:
                await _forget_order(connection, name)
            await _count_up(connection)

    async def standings(self) -> Sequence[Standing]:
        """Return every row without its key."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(
                f"SELECT name, owner_id, origin, told, {_FACTS} FROM certificates ORDER BY name"  # noqa: S608 - a constant
            )
            rows = await cursor.fetchall()
        return [
            Standing(
                name=row["name"],
                owner_id=row["owner_id"],
                origin=row["origin"],
                told=row["told"],
                certificate=_certificate(row),
            )
            for row in rows
        ]

    async def mark_told(self, name: str, *, fingerprint: str) -> None:
        """Note it, unless there is another certificate by now."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE certificates SET told = true WHERE name = %s AND fingerprint = %s",
                (name, fingerprint),
            )

    async def due(self, names: Mapping[str, str]) -> Sequence[str]:
        """Return the names without an order that somebody holds, or that has to wait."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT wanted.name FROM unnest(%s::text[], %s::text[]) AS wanted (name, owner_id)"
                " LEFT JOIN certificate_orders AS orders"
                " ON orders.name = wanted.name AND orders.owner_id = wanted.owner_id"
                " WHERE orders.name IS NULL OR (held_until < clock_timestamp()"
                "  AND next_try_at < clock_timestamp())",
                (list(names), list(names.values())),
            )
            return [row[0] for row in await cursor.fetchall()]

    async def take_order(self, name: str, *, owner_id: str, lease_seconds: float) -> Order | None:
        """Take the lease. Another owner's order for the name is none for this one."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(
                "INSERT INTO certificate_orders AS had (name, owner_id, held_until)"
                " VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s))"
                " ON CONFLICT (name) DO UPDATE SET epoch = nextval('certificate_epochs'),"
                " held_until = excluded.held_until, owner_id = excluded.owner_id,"
                " failures = CASE WHEN had.owner_id = excluded.owner_id THEN had.failures"
                "  ELSE 0 END,"
                " url = CASE WHEN had.owner_id = excluded.owner_id THEN had.url END,"
                " private_key = CASE WHEN had.owner_id = excluded.owner_id THEN had.private_key END"
                " WHERE had.held_until < clock_timestamp()"
                " AND (had.next_try_at < clock_timestamp() OR had.owner_id <> excluded.owner_id)"
                " RETURNING name, owner_id, epoch, failures, url, private_key",
                (name, owner_id, lease_seconds),
            )
            row = await cursor.fetchone()
        if row is None:
            return None
        key = (
            None if row["private_key"] is None else self._open(row["private_key"], f"order {name}")
        )
        return Order(**{**row, "private_key": key})

    async def keep_order(self, order: Order, *, lease_seconds: float) -> None:
        """Hold the lease for longer."""
        async with self._pool.connection() as connection:
            await _change_order(
                connection,
                order,
                "held_until = clock_timestamp() + make_interval(secs => %s)",
                lease_seconds,
            )

    async def save_order(self, order: Order) -> None:
        """Keep the order's key, sealed, and its place."""
        key = None
        if order.private_key is not None:
            key = self._seal(order.private_key, f"order {order.name}")
        async with self._pool.connection() as connection:
            await _change_order(connection, order, "url = %s, private_key = %s", order.url, key)

    async def publish(self, order: Order, *, token: str, answer: str) -> int:
        """Store the challenge under a new version."""
        async with self._pool.connection() as connection, connection.transaction():
            await _change_order(connection, order, "url = url")
            await connection.execute(
                "INSERT INTO certificate_challenges VALUES (%s, %s, %s)"
                " ON CONFLICT (token) DO UPDATE SET answer = excluded.answer",
                (token, order.name, answer),
            )
            return await _count_up(connection)

    async def finish_order(self, order: Order, stored: StoredCertificate) -> None:
        """Store what was ordered and forget the order."""
        async with self._pool.connection() as connection, connection.transaction():
            await _change_order(connection, order, "url = url")
            await self._put(connection, stored, told=False)
            await _forget_order(connection, order.name)

    async def fail_order(self, order: Order, *, retry_seconds: float) -> None:
        """Begin anew after the time."""
        async with self._pool.connection() as connection, connection.transaction():
            await _change_order(
                connection,
                order,
                "url = NULL, private_key = NULL, failures = failures + 1,"
                " held_until = clock_timestamp(),"
                " next_try_at = clock_timestamp() + make_interval(secs => %s)",
                retry_seconds,
            )
            await connection.execute(
                "DELETE FROM certificate_challenges WHERE name = %s", (order.name,)
            )
            await _count_up(connection)

    async def account(self, directory: str) -> Account | None:
        """Return who we are for this authority."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT private_key, url FROM acme_accounts WHERE directory = %s", (directory,)
            )
            row = await cursor.fetchone()
        if row is None:
            return None
        key = self._open(row[0], f"account {directory}")
        return Account(directory=directory, private_key=key, url=row[1])

    async def save_account(self, account: Account) -> Account:
        """Keep the first key there was; its place is added once it is known."""
        sealed = self._seal(account.private_key, f"account {account.directory}")
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO acme_accounts AS had VALUES (%s, %s, %s)"
                " ON CONFLICT (directory) DO UPDATE SET url = coalesce(excluded.url, had.url)",
                (account.directory, sealed, account.url),
            )
        return await self.account(account.directory) or account

    async def _put(self, connection: Connection, stored: StoredCertificate, *, told: bool) -> None:
        facts = stored.certificate
        await connection.execute(
            f"INSERT INTO certificates (name, owner_id, origin, chain, private_key, told, {_FACTS})"  # noqa: S608 - a constant
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (name) DO UPDATE SET owner_id = excluded.owner_id,"
            " origin = excluded.origin, chain = excluded.chain, private_key = excluded.private_key,"
            " told = excluded.told, hosts = excluded.hosts, issuer = excluded.issuer,"
            " fingerprint = excluded.fingerprint, not_before = excluded.not_before,"
            " not_after = excluded.not_after",
            (
                stored.name,
                stored.owner_id,
                stored.origin,
                stored.chain,
                self._seal(stored.private_key, f"key {stored.name}"),
                told,
                list(facts.hosts),
                facts.issuer,
                facts.fingerprint,
                facts.not_before,
                facts.not_after,
            ),
        )
        await _count_up(connection)

    def _stored(self, row: Mapping[str, Any]) -> StoredCertificate:
        return StoredCertificate(
            name=row["name"],
            owner_id=row["owner_id"],
            origin=row["origin"],
            chain=row["chain"],
            private_key=self._open(row["private_key"], f"key {row['name']}"),
            certificate=_certificate(row),
        )

    def _seal(self, text: str, what: str) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._sealing.encrypt(nonce, text.encode(), what.encode())
        return base64.b64encode(sealed).decode()

    def _open(self, sealed: str, what: str) -> str:
        content = base64.b64decode(sealed)
        try:
            return self._sealing.decrypt(
                content[:_NONCE_BYTES], content[_NONCE_BYTES:], what.encode()
            ).decode()
        except InvalidTag as error:
            raise ValueError(
                f"the {what} was changed, or not sealed with this installation's secret key"
            ) from error


def _certificate(row: Mapping[str, Any]) -> Certificate:
    facts = {name: row[name] for name in Certificate.__struct_fields__}
    return msgspec.convert({**facts, "hosts": tuple(row["hosts"])}, Certificate)


async def _version(connection: Connection) -> int:
    cursor = await connection.execute("SELECT version FROM certificate_version")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def _count_up(connection: Connection) -> int:
    cursor = await connection.execute(
        "UPDATE certificate_version SET version = version + 1 RETURNING version"
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def _change_order(
    connection: Connection, order: Order, assignments: str, *values: object
) -> None:
    cursor = await connection.execute(
        f"UPDATE certificate_orders SET {assignments} WHERE name = %s AND epoch = %s".encode(),  # noqa: S608 - constants
        (*values, order.name, order.epoch),
    )
    if cursor.rowcount == 0:
        raise LeaseLost(order.name)


async def _forget_order(connection: Connection, name: str) -> None:
    await connection.execute("DELETE FROM certificate_orders WHERE name = %s", (name,))
    await connection.execute("DELETE FROM certificate_challenges WHERE name = %s", (name,))
