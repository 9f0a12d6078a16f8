"""`tallyport migrate`: makes the tables, the roles and what each role may do. Repeatable."""

import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from bootstrap.settings import Settings
from bootstrap.traffic import TRAFFIC_SCHEMA
from infrastructure.certificates.postgres import CERTIFICATES_SCHEMA
from infrastructure.event_store.postgres import EVENT_STORE_SCHEMA
from infrastructure.sealing.postgres import SEALING_SCHEMA
from infrastructure.webhooks.postgres import WEBHOOKS_SCHEMA
from projections.health_looks import LOOKS_SCHEMA
from projections.processes import REPORTS_SCHEMA
from projections.tables import VIEWS_SCHEMA
from workers.relay import RELAY_SCHEMA

APP_ROLE = "tallyport_app"

_INSTALLATION_SCHEMA = """
CREATE TABLE IF NOT EXISTS installation (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    id text NOT NULL DEFAULT substr(replace(gen_random_uuid()::text, '-', ''), 1, 10),
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO installation DEFAULT VALUES ON CONFLICT DO NOTHING;
GRANT SELECT ON installation TO tallyport_app;
"""

_RELAY_GRANTS = "GRANT SELECT, INSERT, UPDATE, DELETE ON relay_positions TO tallyport_app;"

SCHEMAS = (
    EVENT_STORE_SCHEMA,
    SEALING_SCHEMA,
    VIEWS_SCHEMA,
    RELAY_SCHEMA + _RELAY_GRANTS,
    CERTIFICATES_SCHEMA,
    WEBHOOKS_SCHEMA,
    TRAFFIC_SCHEMA,
    REPORTS_SCHEMA,
    LOOKS_SCHEMA,
    _INSTALLATION_SCHEMA,
)

Connection = psycopg.AsyncConnection[TupleRow]


async def migrate(settings: Settings) -> None:
    """Bring the database to this version's shape. Raises `psycopg.Error` when it cannot."""
    parts = settings.parts
    await migrate_database(parts.database_owner_url or parts.database_url, parts.database_url)
    if parts.clickhouse_url:
        await _migrate_clickhouse(settings)


async def migrate_database(owner_url: str, app_url: str) -> None:
    """Make database, role and tables; `app_url` says how the application signs in."""
    app = conninfo_to_dict(app_url)
    await _ensure_database(owner_url)
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:
        await connection.execute("SELECT pg_advisory_lock(7405600)")
        await _ensure_role(connection, password=str(app.get("password") or ""))
        for schema in SCHEMAS:
            await connection.execute(schema.encode())
    structlog.get_logger().info("database migrated")


async def prepare_database(owner_url: str, *, app_password: str) -> None:
    """Make an empty database and the application's role, for tables that come from elsewhere."""
    await _ensure_database(owner_url)
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:
        await _ensure_role(connection, password=app_password)


async def _ensure_database(owner_url: str) -> None:
    wanted = str(conninfo_to_dict(owner_url)["dbname"])
    try:
        async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True):
            return
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise
    maintenance = psycopg.conninfo.make_conninfo(owner_url, dbname="postgres")
    async with await psycopg.AsyncConnection.connect(maintenance, autocommit=True) as connection:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(wanted)))


async def _ensure_role(connection: Connection, *, password: str) -> None:
    role = sql.Identifier(APP_ROLE)
    cursor = await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (APP_ROLE,))
    if await cursor.fetchone() is None:
        await connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    if password:
        await connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(password))
        )


async def _migrate_clickhouse(settings: Settings) -> None:
    from infrastructure.clickhouse.client import (  # noqa: PLC0415 - only this needs its library
        ClickHouseClient,
        ClickHouseOptions,
    )
    from projections.analytics.schema import create_tables  # noqa: PLC0415 - the same

    client = ClickHouseClient(ClickHouseOptions(url=settings.parts.clickhouse_url))
    try:
        await create_tables(
            client,
            log_retention_days=settings.logs.retention_days,
            sample_retention_days=settings.usage.retention_days,
        )
    finally:
        await client.close()
