"""What may be trouble now: the few rows of views, and sums of requests, that alerts are about.

Each question is about all teams at once and brings only what is out of the ordinary; whether that
is trouble depends on how a team has set its rules, and is decided by who asks.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from domain.alerts.values import REQUESTS_MIN
from domain.deployments.values import Status
from infrastructure.clickhouse import ClickHouse
from projections.deployments import ReplicaRow
from projections.reading import Reader

ROWS_MAX = 10_000

_RECENT = """
    FROM requests AS row FINAL
    WHERE time >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
      AND time < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
"""
_SETTINGS = f" LIMIT {ROWS_MAX} SETTINGS do_not_merge_across_partitions_select_final = 1"


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment with requests that ended with 5xx."""

    team_id: str
    deployment_id: str
    requests: int
    errors: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A key with requests that were refused because of a limit."""

    team_id: str
    key_id: str
    refused: int


class TroubledDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment that failed, or with a replica that was started again or is unhealthy."""

    id: str
    team_id: str
    app_name: str
    status: Status
    failure: str | None
    running: tuple[ReplicaRow, ...]
    last_health_change: datetime | None


class EndingKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that expires before long."""

    id: str
    team_id: str
    name: str
    expires_at: datetime
    expiry_set_at: datetime


class EndangeredCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate that ends before long, or whose order failed."""

    domain_id: str
    deployment_id: str
    team_id: str
    name: str
    not_before: datetime | None
    not_after: datetime | None
    failure: str | None


class LostDomain(msgspec.Struct, frozen=True, kw_only=True):
    """A domain that worked once, and whose records do not lead here."""

    id: str
    deployment_id: str
    team_id: str
    name: str
    routed_until: datetime | None
    displaced: bool


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What people call a thing."""

    id: str
    name: str


class ParkedFor(msgspec.Struct, frozen=True, kw_only=True):
    """A view that could not apply some events."""

    view: str
    parked: int


class BehindView(msgspec.Struct, frozen=True, kw_only=True):
    """A view that has not seen all of the log."""

    view: str
    waiting_since: datetime
    """When the oldest event was recorded that it has not seen."""


async def failing_deployments(
    clickhouse: ClickHouse, start: datetime, end: datetime
) -> list[Failing]:
    """Return the deployments with errors in a span of time, of enough requests to say so.

    What the gateway itself refused says nothing of the app: it is being started, stopped or looked
    after, or the caller is wrong.
    """
    return await clickhouse.query(
        Failing,
        "SELECT team_id, deployment_id, count() AS requests,"
        f" countIf(row.status >= 500) AS errors {_RECENT}"
        f" AND deployment_id != '' AND row.refused = ''"
        f" GROUP BY team_id, deployment_id HAVING errors > 0 AND requests >= {REQUESTS_MIN}"
        f" ORDER BY errors DESC {_SETTINGS}",
        _span(start, end),
    )


async def refused_keys(clickhouse: ClickHouse, start: datetime, end: datetime) -> list[Refused]:
    """Return the keys with requests that were over a limit in a span of time."""
    return await clickhouse.query(
        Refused,
        f"SELECT team_id, key_id, count() AS refused {_RECENT} AND key_id != ''"
        f" AND row.status = 429 AND NOT row.billable"
        f" GROUP BY team_id, key_id ORDER BY refused DESC {_SETTINGS}",
        _span(start, end),
    )


async def troubled_deployments(reader: Reader) -> Sequence[TroubledDeployment]:
    """Return the deployments that are not simply well."""
    return await reader.rows(
        TroubledDeployment,
        "SELECT id, team_id, app_name, status, failure, running, last_health_change"
        " FROM views.deployments WHERE status = 'failed' OR (status IN"
        " ('pending', 'running', 'updating', 'scaling', 'starting') AND jsonb_path_exists("
        " running, '$[*] ? (@.phase == \"unhealthy\" || @.restarts > 0)'))"
        " ORDER BY id LIMIT %s",
        ROWS_MAX,
    )


async def ending_keys(reader: Reader, *, now: datetime, until: datetime) -> Sequence[EndingKey]:
    """Return the keys that expire between now and then."""
    return await reader.rows(
        EndingKey,
        "SELECT id, team_id, name, expires_at, expiry_set_at FROM views.api_keys"
        " WHERE revoked_at IS NULL AND expires_at > %s AND expires_at <= %s"
        " ORDER BY expires_at LIMIT %s",
        now,
        until,
        ROWS_MAX,
    )


async def endangered_certificates(
    reader: Reader, *, until: datetime
) -> Sequence[EndangeredCertificate]:
    """Return the certificates that end before then, or could not be had."""
    return await reader.rows(
        EndangeredCertificate,
        "SELECT c.domain_id, d.deployment_id, d.team_id, d.name, c.not_before, c.not_after,"
        " c.failure FROM views.certificates AS c"
        " JOIN views.custom_domains AS d ON d.id = c.domain_id"
        " WHERE d.status = 'active' AND (c.failure IS NOT NULL OR c.not_after <= %s)"
        " ORDER BY c.domain_id LIMIT %s",
        until,
        ROWS_MAX,
    )


async def lost_domains(reader: Reader) -> Sequence[LostDomain]:
    """Return the domains that are served no longer, or are about to be."""
    return await reader.rows(
        LostDomain,
        "SELECT id, deployment_id, team_id, name, routed_until, displaced"
        " FROM views.custom_domains WHERE status = 'failed' OR routed_until IS NOT NULL"
        " ORDER BY id LIMIT %s",
        ROWS_MAX,
    )


async def names_of_deployments(reader: Reader, ids: Sequence[str]) -> dict[str, str]:
    """Return what these deployments are called."""
    rows = await reader.rows(
        Named, "SELECT id, app_name AS name FROM views.deployments WHERE id = ANY(%s)", list(ids)
    )
    return {row.id: row.name for row in rows}


async def names_of_keys(reader: Reader, ids: Sequence[str]) -> dict[str, str]:
    """Return what these keys are called, as far as they were not revoked."""
    rows = await reader.rows(
        Named,
        "SELECT id, name FROM views.api_keys WHERE id = ANY(%s) AND revoked_at IS NULL",
        list(ids),
    )
    return {row.id: row.name for row in rows}


async def parked_events(reader: Reader) -> Sequence[ParkedFor]:
    """Return the views that could not apply some events."""
    return await reader.rows(
        ParkedFor,
        "SELECT p.view, count(*) AS parked FROM parked_events AS p"
        " LEFT JOIN view_generations AS g USING (view, generation)"
        " WHERE g.live OR g.view IS NULL GROUP BY p.view ORDER BY p.view",
    )


async def behind_views(reader: Reader, *, before: datetime) -> Sequence[BehindView]:
    """Return the views that have not seen an event which was recorded before then."""
    return await reader.rows(
        BehindView,
        "SELECT s.view, e.recorded_at AS waiting_since FROM (SELECT view, min(position) AS position"
        " FROM view_positions JOIN view_generations USING (view, generation)"
        " WHERE live GROUP BY view) AS s CROSS JOIN LATERAL (SELECT recorded_at FROM events"
        " WHERE notification_id > s.position ORDER BY notification_id LIMIT 1) AS e"
        " WHERE e.recorded_at < %s ORDER BY s.view",
        before,
    )


def _span(start: datetime, end: datetime) -> dict[str, object]:
    epoch = datetime.fromtimestamp(0, UTC)
    millisecond = timedelta(milliseconds=1)
    return {"start": (start - epoch) // millisecond, "end": (end - epoch) // millisecond}
