"""What is trouble now, by the rules of each team: pure sums over what the views bring."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from domain.alerts.values import PLATFORM, WINDOW, Facts, Rule
from domain.deployments.values import ReplicaPhase, Status
from infrastructure.clickhouse import ClickHouse, ClickHouseAway, ClickHouseRefused
from projections.alerts import Rulebook
from projections.processes import running
from projections.reading import Reader
from projections.troubles import (
    BehindView,
    EndangeredCertificate,
    EndingKey,
    Failing,
    LostDomain,
    ParkedFor,
    Refused,
    TroubledDeployment,
    behind_views,
    endangered_certificates,
    ending_keys,
    failing_deployments,
    lost_domains,
    names_of_deployments,
    names_of_keys,
    parked_events,
    refused_keys,
    troubled_deployments,
)

UNHEALTHY_AFTER = timedelta(seconds=60)
KEY_DAYS_MAX = timedelta(days=90)
CERTIFICATE_DAYS_MAX = timedelta(days=60)
LAG_SECONDS_MIN = timedelta(seconds=10)
LATE_RENEWAL = 4
"""A certificate that renews itself does so long before the last quarter of its life."""
REASON_LENGTH_MAX = 200


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A subject that breaks a rule."""

    team_id: str
    rule: Rule
    subject: str
    deployment_id: str | None = None
    facts: Facts


class Troubles(msgspec.Struct, frozen=True, kw_only=True):
    """All the trouble there is, and what could not be found out."""

    found: Sequence[Trouble]
    unknown: frozenset[Rule] = frozenset()
    """Rules whose numbers nobody could tell: nothing of them begins or ends."""


class Lookout:
    """Asks the views and ClickHouse, and PostgreSQL for the workers that have to run."""

    def __init__(self, reader: Reader, clickhouse: ClickHouse, workers: Sequence[str] = ()) -> None:
        self._reader = reader
        self._clickhouse = clickhouse
        self._workers = workers
        self._seen_at: dict[str, datetime] = {}
        """When each worker was seen last, or first missed."""

    async def look(self, rules: Rulebook, now: datetime) -> Troubles:
        """Return what is trouble now."""
        reader = self._reader
        keys = await ending_keys(reader, now=now, until=now + KEY_DAYS_MAX)
        certificates = await endangered_certificates(reader, until=now + CERTIFICATE_DAYS_MAX)
        here = await running(reader, self._workers)
        for name in self._workers:
            if name in here or name not in self._seen_at:
                self._seen_at[name] = now
        found = [
            *missing(self._seen_at, rules, now),
            *unhealthy(await troubled_deployments(reader), rules, now),
            *expiring(keys, rules, now),
            *endangered(certificates, rules, now),
            *lost(await lost_domains(reader), rules),
            *parked(await parked_events(reader), rules),
            *behind(await behind_views(reader, before=now - LAG_SECONDS_MIN), rules, now),
        ]
        try:
            found += await self._of_requests(rules, now)
        except (ClickHouseAway, ClickHouseRefused):
            return Troubles(found=found, unknown=frozenset({Rule.ERROR_RATE, Rule.LIMIT_BREACHED}))
        return Troubles(found=found)

    async def _of_requests(self, rules: Rulebook, now: datetime) -> list[Trouble]:
        start = now - WINDOW
        failing = await failing_deployments(self._clickhouse, start, now)
        refused = await refused_keys(self._clickhouse, start, now)
        deployments = await names_of_deployments(
            self._reader, [each.deployment_id for each in failing]
        )
        keys = await names_of_keys(self._reader, [each.key_id for each in refused])
        return [
            *erroneous(failing, deployments, rules),
            *over_limit(refused, keys, rules),
        ]


def unhealthy(
    rows: Iterable[TroubledDeployment], rules: Rulebook, now: datetime
) -> Iterable[Trouble]:
    """Return the deployments that failed, crash again and again, or are not healthy."""
    for row in rows:
        restarts = rules.threshold(Rule.DEPLOYMENT_UNHEALTHY, row.team_id)
        reason = None if restarts is None else _what_ails(row, restarts, now)
        if reason is not None:
            yield Trouble(
                team_id=row.team_id,
                rule=Rule.DEPLOYMENT_UNHEALTHY,
                subject=row.id,
                deployment_id=row.id,
                facts={"name": row.app_name, "reason": reason[:REASON_LENGTH_MAX]},
            )


def _what_ails(row: TroubledDeployment, restarts: int, now: datetime) -> str | None:
    if row.status is Status.FAILED:
        return row.failure or "It failed"
    for replica in row.running:
        steady = replica.ready_at is not None and now - replica.ready_at >= WINDOW
        if replica.restarts >= restarts and not steady:
            return f"A replica was started again {replica.restarts} times"
    since = row.last_health_change
    if since is None or now - since < UNHEALTHY_AFTER:
        return None
    sick = [each for each in row.running if each.phase is ReplicaPhase.UNHEALTHY]
    if not sick:
        return None
    why = next((f": {each.reason}" for each in sick if each.reason), "")
    return f"{len(sick)} of {len(row.running)} replicas fail their health check{why}"


def erroneous(rows: Iterable[Failing], names: dict[str, str], rules: Rulebook) -> Iterable[Trouble]:
    """Return the deployments with too large a share of errors. What is gone has no name."""
    for row in rows:
        percent = rules.threshold(Rule.ERROR_RATE, row.team_id)
        name = names.get(row.deployment_id)
        if percent is None or name is None or row.errors * 100 < percent * row.requests:
            continue
        yield Trouble(
            team_id=row.team_id,
            rule=Rule.ERROR_RATE,
            subject=row.deployment_id,
            deployment_id=row.deployment_id,
            facts={"name": name, "errors": row.errors, "requests": row.requests},
        )


def over_limit(
    rows: Iterable[Refused], names: dict[str, str], rules: Rulebook
) -> Iterable[Trouble]:
    """Return the keys that were refused too often."""
    for row in rows:
        most = rules.threshold(Rule.LIMIT_BREACHED, row.team_id)
        name = names.get(row.key_id)
        if most is None or name is None or row.refused < most:
            continue
        yield Trouble(
            team_id=row.team_id,
            rule=Rule.LIMIT_BREACHED,
            subject=row.key_id,
            facts={"name": name, "refused": row.refused},
        )


def expiring(rows: Iterable[EndingKey], rules: Rulebook, now: datetime) -> Iterable[Trouble]:
    """Return the keys that expire soon. Who set it to so soon a day knows."""
    for row in rows:
        days = rules.threshold(Rule.KEY_EXPIRING, row.team_id)
        if days is None:
            continue
        begins = row.expires_at - timedelta(days=days)
        if begins <= now and row.expiry_set_at <= begins:
            at = f"{row.expires_at:%Y-%m-%d %H:%M} UTC"
            yield Trouble(
                team_id=row.team_id,
                rule=Rule.KEY_EXPIRING,
                subject=row.id,
                facts={"name": row.name, "at": at},
            )


def endangered(
    rows: Iterable[EndangeredCertificate], rules: Rulebook, now: datetime
) -> Iterable[Trouble]:
    """Return the domains whose certificate ends soon or could not be had."""
    for row in rows:
        days = rules.threshold(Rule.CERTIFICATE_EXPIRING, row.team_id)
        reason = None if days is None else _what_is_wrong(row, timedelta(days=days), now)
        if reason is not None:
            yield Trouble(
                team_id=row.team_id,
                rule=Rule.CERTIFICATE_EXPIRING,
                subject=row.domain_id,
                deployment_id=row.deployment_id,
                facts={"name": row.name, "reason": reason[:REASON_LENGTH_MAX]},
            )


def _what_is_wrong(row: EndangeredCertificate, soon: timedelta, now: datetime) -> str | None:
    if row.failure is not None:
        return f"None could be had: {row.failure}"
    if row.not_after is None or row.not_before is None:
        return None
    soon = min(soon, (row.not_after - row.not_before) / LATE_RENEWAL)
    if row.not_after - now > soon:
        return None
    return f"It ends at {row.not_after:%Y-%m-%d %H:%M} UTC"


def lost(rows: Iterable[LostDomain], rules: Rulebook) -> Iterable[Trouble]:
    """Return the domains whose records do not lead here."""
    for row in rows:
        if rules.threshold(Rule.DOMAIN_FAILING, row.team_id) is None:
            continue
        reason = "Its records do not lead here"
        if row.displaced:
            reason = "Its name belongs to another deployment now"
        elif row.routed_until is not None:
            reason += f"; it is served until {row.routed_until:%Y-%m-%d %H:%M} UTC"
        yield Trouble(
            team_id=row.team_id,
            rule=Rule.DOMAIN_FAILING,
            subject=row.id,
            deployment_id=row.deployment_id,
            facts={"name": row.name, "reason": reason},
        )


def missing(seen_at: Mapping[str, datetime], rules: Rulebook, now: datetime) -> Iterable[Trouble]:
    """Return the workers that have not run for too long."""
    seconds = rules.threshold(Rule.WORKER_LAGGING, PLATFORM)
    for name, at in seen_at.items():
        gone = int((now - at).total_seconds())
        if seconds is not None and gone >= seconds:
            yield Trouble(
                team_id=PLATFORM,
                rule=Rule.WORKER_LAGGING,
                subject=f"worker {name}",
                facts={"name": f"Worker {name}", "reason": f"It has not run for {gone} s"},
            )


def parked(rows: Iterable[ParkedFor], rules: Rulebook) -> Iterable[Trouble]:
    """Return the views that could not apply too many events."""
    most = rules.threshold(Rule.EVENTS_PARKED, PLATFORM)
    for row in rows:
        if most is not None and row.parked >= most:
            yield Trouble(
                team_id=PLATFORM,
                rule=Rule.EVENTS_PARKED,
                subject=row.view,
                facts={"name": row.view, "parked": row.parked},
            )


def behind(rows: Iterable[BehindView], rules: Rulebook, now: datetime) -> Iterable[Trouble]:
    """Return the views that are behind the log for too long."""
    seconds = rules.threshold(Rule.WORKER_LAGGING, PLATFORM)
    for row in rows:
        late = int((now - row.waiting_since).total_seconds())
        if seconds is not None and late >= seconds:
            yield Trouble(
                team_id=PLATFORM,
                rule=Rule.WORKER_LAGGING,
                subject=row.view,
                facts={"name": row.view, "reason": f"It has not seen {late} s of the log"},
            )
