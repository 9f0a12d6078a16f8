"""What gateways say of the replicas they know: written by each, read by the provisioner.

A gateway's rows are replaced as it takes over a change; `seen_at` says that it lives. Nothing here
is a view of the log: it is what is so at this moment, and may be thrown away.
"""

from collections.abc import Collection, Mapping

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from bootstrap.core import Pool
from gateway.traffic import RouteTraffic
from projections.news import ViewNews
from projections.tables import KEYS_TOLD_MAX, ROWS_CHANNEL
from workers.provisioner.traffic import GatewayReport, ReplicasAtGateway, Traffic

TRAFFIC = "gateway_traffic"
SILENT_SECONDS = 30.0
"""A gateway that said nothing for so long is not waited for with what is new ..."""
FORGOTTEN_SECONDS = 600.0
"""... and after so long, not with what is to go either: until then its HAProxy may serve on."""

TRAFFIC_SCHEMA = """
CREATE TABLE IF NOT EXISTS gateways (
    gateway_id text PRIMARY KEY,
    seen_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS gateway_traffic (
    gateway_id text NOT NULL,
    deployment_id text NOT NULL,
    version bigint NOT NULL,
    serving jsonb NOT NULL,
    idle jsonb NOT NULL,
    PRIMARY KEY (gateway_id, deployment_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON gateways, gateway_traffic TO tallyport_app;
"""


class TrafficWriter:
    """Writes what one gateway says."""

    def __init__(self, pool: Pool, gateway_id: str) -> None:
        self._pool = pool
        self._id = gateway_id

    async def write(
        self, changed: Mapping[str, RouteTraffic], gone: Collection[str], *, afresh: bool
    ) -> None:
        """Note that the gateway lives, and what is new; `afresh`: these are all there are."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO gateways VALUES (%s, clock_timestamp()) ON CONFLICT (gateway_id)"
                " DO UPDATE SET seen_at = EXCLUDED.seen_at",
                (self._id,),
            )
            if not (changed or gone or afresh):
                return
            await connection.execute(
                "DELETE FROM gateway_traffic WHERE gateway_id = %s"
                " AND (%s OR deployment_id = ANY(%s))",
                (self._id, afresh, list(gone)),
            )
            rows = [
                {"deployment_id": name, **msgspec.structs.asdict(each)}
                for name, each in changed.items()
            ]
            await connection.execute(
                "INSERT INTO gateway_traffic SELECT %s, r.* FROM jsonb_to_recordset(%s) AS"
                " r (deployment_id text, version bigint, serving jsonb, idle jsonb)"
                " ON CONFLICT (gateway_id, deployment_id) DO UPDATE SET"
                " version = EXCLUDED.version, serving = EXCLUDED.serving, idle = EXCLUDED.idle",
                (self._id, Jsonb(rows)),
            )
            await connection.execute(
                "SELECT pg_notify(%s, %s)", (ROWS_CHANNEL, _news(changed, gone, afresh=afresh))
            )


def _news(changed: Collection[str], gone: Collection[str], *, afresh: bool) -> str:
    """Return what is told: which deployments' rows changed, where these are few."""
    many = len(changed) + len(gone) > KEYS_TOLD_MAX
    return TRAFFIC if afresh or many else " ".join([TRAFFIC, *changed, *gone])


class TrafficReader:
    """Reads what all gateways say; only rows that changed are read again."""

    def __init__(self, pool: Pool, news: ViewNews) -> None:
        self._pool = pool
        self._news = news
        self._held: dict[str, dict[str, ReplicasAtGateway]] = {}

    async def read(self) -> Traffic:
        """Return what is said now; raises when it cannot be read."""
        asked = self._news.take(TRAFFIC)
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(
                    "SELECT gateway_id, seen_at > clock_timestamp() - %s * interval '1 second'"
                    " FROM gateways WHERE seen_at > clock_timestamp() - %s * interval '1 second'",
                    (SILENT_SECONDS, FORGOTTEN_SECONDS),
                )
                gateways: dict[str, bool] = dict(await cursor.fetchall())
                if asked is None or asked:
                    await self._read_rows(connection, asked)
        except psycopg.Error as error:
            self._news.forget()
            raise OSError(f"the gateways cannot be asked: {error}") from error
        return Traffic(
            gateways=tuple(
                GatewayReport(is_alive=is_alive, deployments=self._held.get(gateway_id, {}))
                for gateway_id, is_alive in gateways.items()
            )
        )

    async def _read_rows(self, connection: psycopg.AsyncConnection, asked: set[str] | None) -> None:
        cursor = await connection.execute(
            "SELECT gateway_id, deployment_id, version, serving, idle FROM gateway_traffic"
            " WHERE %s OR deployment_id = ANY(%s)",
            (asked is None, sorted(asked or ())),
        )
        if asked is None:
            self._held.clear()
        for held in self._held.values():
            for name in asked or ():
                held.pop(name, None)
        for gateway_id, name, version, serving, idle in await cursor.fetchall():
            self._held.setdefault(gateway_id, {})[name] = ReplicasAtGateway(
                version=version, serving=serving, idle=frozenset(idle)
            )
