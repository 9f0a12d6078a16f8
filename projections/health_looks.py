"""When the health of each deployment was last looked at.

No view: a look that finds what the one before it found is no event. The provisioner notes all looks
at once, now and then; a database that crashed has forgotten them, and hears of them again.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec
import psycopg

from projections.reading import Reader

LOOKS_SCHEMA = """
CREATE UNLOGGED TABLE IF NOT EXISTS health_looks (
    deployment_id text PRIMARY KEY,
    looked_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON health_looks TO tallyport_app;
"""


class _Look(msgspec.Struct, frozen=True):
    looked_at: datetime


async def health_looked_at(reader: Reader, deployment_id: str) -> datetime | None:
    """Return when a deployment's health was last looked at, as far as that was noted."""
    look = await reader.row(
        _Look, "SELECT looked_at FROM health_looks WHERE deployment_id = %s", deployment_id
    )
    return look.looked_at if look is not None else None


async def note_health_looks(
    connection: psycopg.AsyncConnection[Any],
    looks: Mapping[str, datetime],
    *,
    deployment_ids: Collection[str],
) -> None:
    """Note the newest looks, and forget what is none of these deployments any more."""
    noted = sorted(looks.keys() & set(deployment_ids))
    await connection.execute(
        "WITH gone AS (DELETE FROM health_looks WHERE deployment_id <> ALL(%s))"
        " INSERT INTO health_looks SELECT * FROM unnest(%s::text[], %s::timestamptz[])"
        " ON CONFLICT (deployment_id) DO UPDATE"
        " SET looked_at = greatest(health_looks.looked_at, EXCLUDED.looked_at)",
        (list(deployment_ids), noted, [looks[name] for name in noted]),
    )
