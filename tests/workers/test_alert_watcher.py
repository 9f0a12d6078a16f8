"""Trouble is raised once while it lasts, however often it is looked at and by whom."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commands.alerts import ChangeAlertRule, ChooseAlertMails
from commands.api_keys import ChangeApiKey
from commands.bus import Context
from commands.deployments import ReportReplicas
from commands.identity import FollowAdminLink, IssueAdminLink
from commands.work import NOBODY, Actor
from domain.alerts.values import PLATFORM, Rule
from domain.certificates.events import CertificateOrderFailed
from domain.custom_domains.events import DomainAdded, DomainFailed, DomainVerified
from domain.custom_domains.values import DomainStatus
from domain.deployments.values import ReplicaPhase, ReplicaReport
from domain.teams.values import Role
from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from projections.alerts import ALERT_RULES, ALERTS
from projections.analytics.schema import REQUESTS, RequestRow, create_tables
from projections.api_keys import API_KEYS
from projections.catalogue import VIEWS
from projections.certificates import CERTIFICATES
from projections.custom_domains import CUSTOM_DOMAINS
from projections.deployments import DEPLOYMENTS
from projections.news import ViewNews
from projections.processes import LOCK_CLASS, lock_key
from projections.reading import Reader
from projections.view import View
from tests.infrastructure.clickhouse.process import ClickHouseProcess
from tests.wiring import Clock, Installation, Person
from workers.alert_watcher import AlertWatcher
from workers.alert_watcher.troubles import Lookout

SEEN: list[View[Any]] = [ALERTS, ALERT_RULES, DEPLOYMENTS, API_KEYS, CUSTOM_DOMAINS, CERTIFICATES]
PROVISIONER = Context(actor=Actor(id="provisioner"))
DAY = timedelta(days=1)


class Watch:
    """Somebody who looks when told to."""

    def __init__(self, installation: Installation, clickhouse: ClickHouseClient) -> None:
        self.installation = installation
        self.clickhouse = clickhouse
        self.clock = Clock()
        self.clock.now = datetime.now(UTC) + timedelta(minutes=1)
        self._watcher = self.another()
        self._frames = 0

    def another(self, lookout: Lookout | None = None) -> AlertWatcher:
        """Return one that knows nothing, as a process just started."""
        installation = self.installation
        reader = Reader(installation.pool, installation.conninfo, VIEWS)
        lookout = lookout or Lookout(reader, self.clickhouse)
        return AlertWatcher(
            installation.another_bus(self.clock),
            reader,
            ViewNews(installation.conninfo, ()),
            lookout.look,
            clock=self.clock,
        )

    async def look(self, watcher: AlertWatcher | None = None) -> None:
        await self.installation.caught_up(SEEN)
        await (watcher or self._watcher).look()
        await self.installation.caught_up(SEEN)

    async def alerts(self) -> list[tuple[str, str]]:
        """Rule and subject of what is open."""
        rows = await self.installation.rows(ALERTS)
        return sorted((row["rule"], row["subject"]) for row in rows if row["resolved_at"] is None)

    async def ever(self) -> int:
        return len(await self.installation.rows(ALERTS))

    async def serve(
        self, person: Person, *statuses: int, deployment: str, key: str = "", refused: str = ""
    ) -> None:
        """Let requests have been served half a minute ago."""
        at = self.clock.now - timedelta(seconds=30)
        self._frames += 1
        rows = [
            RequestRow(
                time=f"{at:%Y-%m-%d %H:%M:%S}.000",
                team_id=person.team_id,
                deployment_id=deployment,
                key_id=key,
                request_id=f"req-{number}",
                method="GET",
                path="/",
                status=status,
                billable=status != 429,
                refused=refused,
                ended="--",
                bytes_in=1,
                bytes_out=1,
                total_ms=1,
                connect_ms=1,
                upstream_ms=1,
                address="192.0.2.7",
                worker_pid=1,
                worker_started=1,
                worker_line=number,
                stream_id="requests-gw-1",
                frame=self._frames,
                line=number,
                position=self._frames,
                log_partition=0,
            )
            for number, status in enumerate(statuses, start=1)
        ]
        await self.clickhouse.insert(REQUESTS, rows, writer="test")


@pytest.fixture
async def watch(
    installation: Installation, clickhouse_server: ClickHouseProcess
) -> AsyncIterator[Watch]:
    clickhouse = ClickHouseClient(ClickHouseOptions(url=clickhouse_server.url, retries_max=0))
    await create_tables(clickhouse)
    installation.start_views(SEEN)
    yield Watch(installation, clickhouse)
    await clickhouse.close()


async def report(
    installation: Installation, deployment_id: str, phase: ReplicaPhase, restarts: int = 0
) -> None:
    replica = ReplicaReport(
        replica_id=f"{deployment_id}-1-1",
        revision=1,
        phase=phase,
        address="127.0.0.1",
        port=9000,
        restarts=restarts,
    )
    command = ReportReplicas(deployment_id=deployment_id, replicas=(replica,))
    await installation.dispatch(command, PROVISIONER)


async def mails(installation: Installation) -> list[str]:
    rows = await installation.query(
        "SELECT convert_from(state, 'UTF8')::json ->> 'template' AS name FROM events"
        " WHERE topic ~ 'MailRequested' ORDER BY notification_id"
    )
    return [row["name"] for row in rows if row["name"].startswith("alert_")]


async def told_by_mail(installation: Installation) -> list[str]:
    """Ids of those whom the first alert was told by mail."""
    rows = await installation.query(
        "SELECT convert_from(state, 'UTF8')::json ->> 'user_id' AS id FROM events"
        " WHERE topic ~ 'MailRequested'"
        " AND convert_from(state, 'UTF8')::json ->> 'template' = 'alert_raised'"
    )
    return sorted(row["id"] for row in rows)


async def test_a_deployment_that_crashes_again_and_again_is_raised_once_and_resolved_once(
    installation: Installation, watch: Watch
) -> None:
    anna = await installation.register()
    sick = (await installation.deploy(anna, "sick")).deployment_id
    well = (await installation.deploy(anna, "well")).deployment_id
    await report(installation, well, ReplicaPhase.READY)
    await watch.look()
    assert await watch.alerts() == []

    await report(installation, sick, ReplicaPhase.STARTING, restarts=4)
    for _ in range(2):
        await watch.look()
    await watch.look(watch.another())  # as after a restart
    assert await watch.alerts() == [("deployment_unhealthy", sick)]
    [row] = await installation.rows(ALERTS)
    assert row["facts"] == {"name": "sick", "reason": "A replica was started again 4 times"}

    await report(installation, sick, ReplicaPhase.READY, restarts=4)
    watch.clock.pass_by(minutes=4)
    await watch.look()
    assert await watch.alerts() == [("deployment_unhealthy", sick)]
    watch.clock.pass_by(minutes=3)
    await watch.look()
    assert await watch.alerts() == [("deployment_unhealthy", sick)], "it has to stay well first"
    watch.clock.pass_by(minutes=2)
    for _ in range(2):
        await watch.look()
    assert await watch.alerts() == []
    assert await watch.ever() == 1
    assert await mails(installation) == ["alert_raised", "alert_resolved"]


async def test_two_watchers_at_once_raise_an_alert_once(
    installation: Installation, watch: Watch
) -> None:
    anna = await installation.register()
    sick = (await installation.deploy(anna)).deployment_id
    await report(installation, sick, ReplicaPhase.STARTING, restarts=9)
    await installation.caught_up(SEEN)
    one, other = watch.another(), watch.another()
    await one.look()
    await other.look()  # its view may not have the alert yet
    await installation.caught_up(SEEN)
    assert await watch.ever() == 1


async def test_a_replica_that_fails_its_check_for_a_minute_is_trouble(
    installation: Installation, watch: Watch
) -> None:
    anna = await installation.register()
    sick = (await installation.deploy(anna)).deployment_id
    await report(installation, sick, ReplicaPhase.READY)
    await report(installation, sick, ReplicaPhase.UNHEALTHY)
    watch.clock.now = datetime.now(UTC)
    await watch.look()
    assert await watch.alerts() == []
    watch.clock.pass_by(seconds=61)
    await watch.look()
    assert await watch.alerts() == [("deployment_unhealthy", sick)]


async def test_errors_over_the_threshold_are_told_to_those_who_manage_the_team(
    installation: Installation, watch: Watch
) -> None:
    anna, bert, carl = [await installation.register(name) for name in ("anna", "bert", "carl")]
    team_id = await installation.found_team(anna)
    await installation.add_member(team_id, bert, Role.ADMIN)
    await installation.add_member(team_id, carl, Role.DEVELOPER)
    anna.team_id = team_id
    bad = (await installation.deploy(anna, "bad")).deployment_id
    few = (await installation.deploy(anna, "few")).deployment_id
    good = (await installation.deploy(anna, "good")).deployment_id
    await watch.serve(anna, *[200] * 18, 500, 503, deployment=bad)
    await watch.serve(anna, 500, 500, deployment=few)
    await watch.serve(anna, *[200] * 60, 500, deployment=good)
    await watch.serve(anna, *[503] * 40, deployment=good, refused="no_healthy_replica")
    dora = await installation.register("dora")
    await installation.add_member(team_id, dora, Role.OWNER)
    for person, wanted in ((carl, True), (dora, False)):
        choice = ChooseAlertMails(team_id=team_id, wanted=wanted)
        await installation.dispatch(choice, person.context)
    for _ in range(2):
        await watch.look()
    assert await watch.alerts() == [("error_rate", bad)]
    told = sorted([anna.user_id, bert.user_id, carl.user_id])
    assert await told_by_mail(installation) == told, "not dora, who wants none"
    watch.clock.pass_by(minutes=6)
    await watch.look()
    assert await watch.alerts() == []
    assert await mails(installation) == [*["alert_raised"] * 3, *["alert_resolved"] * 3]


async def test_a_rule_is_as_its_team_has_set_it(installation: Installation, watch: Watch) -> None:
    anna, berta = await installation.register("anna"), await installation.register("berta")
    ours = (await installation.deploy(anna, "ours")).deployment_id
    theirs = (await installation.deploy(berta, "theirs")).deployment_id
    for person, deployment in ((anna, ours), (berta, theirs)):
        await watch.serve(person, *[200] * 18, 500, 503, deployment=deployment)
    higher = ChangeAlertRule(team_id=anna.team_id, rule=Rule.ERROR_RATE, threshold=11)
    await installation.dispatch(higher, anna.context)
    await watch.look()
    assert await watch.alerts() == [("error_rate", theirs)]
    off = ChangeAlertRule(team_id=berta.team_id, rule=Rule.ERROR_RATE, enabled=False)
    await installation.dispatch(off, berta.context)
    await watch.look()
    assert await watch.alerts() == []
    assert await watch.ever() == 1


async def test_a_key_that_is_refused_again_and_again_is_trouble(
    installation: Installation, watch: Watch
) -> None:
    anna = await installation.register()
    busy = await installation.create_key(anna, name="busy")
    calm = await installation.create_key(anna, name="calm")
    await watch.serve(anna, *[429] * 20, deployment="dpl-1", key=busy.key_id)
    await watch.serve(anna, *[429] * 19, 200, deployment="dpl-1", key=calm.key_id)
    await watch.look()
    assert await watch.alerts() == [("limit_breached", busy.key_id)]


async def test_while_clickhouse_is_away_nothing_of_requests_begins_or_ends(
    installation: Installation, watch: Watch
) -> None:
    anna = await installation.register()
    bad = (await installation.deploy(anna, "bad")).deployment_id
    await watch.serve(anna, *[500] * 20, deployment=bad)
    await watch.look()
    assert await watch.alerts() == [("error_rate", bad)]
    there = watch.clickhouse
    watch.clickhouse = ClickHouseClient(
        ClickHouseOptions(url="http://127.0.0.1:9/nowhere", retries_max=0)
    )
    watch.clock.pass_by(minutes=10)
    await report(installation, bad, ReplicaPhase.STARTING, restarts=9)
    await watch.look(watch.another())
    assert await watch.alerts() == [("deployment_unhealthy", bad), ("error_rate", bad)]
    await watch.clickhouse.close()
    watch.clickhouse = there
    await watch.look(watch.another())
    assert await watch.alerts() == [("deployment_unhealthy", bad)]


async def test_a_key_that_expires_is_told_until_it_has_a_later_expiry(
    installation: Installation, watch: Watch
) -> None:
    anna = await installation.register()
    now = datetime.now(UTC)
    key = await installation.create_key(anna, expires_at=now + 20 * DAY)
    await installation.create_key(anna, expires_at=now + 2 * DAY)  # who sets it so knows
    await watch.look()
    assert await watch.alerts() == []
    watch.clock.now = now + 7 * DAY
    await watch.look()
    assert await watch.alerts() == [("key_expiring", key.key_id)]
    later = ChangeApiKey(key_id=key.key_id, expires_at=now + 60 * DAY)
    await installation.dispatch(later, anna.context)
    await watch.look()
    assert await watch.alerts() == []
    assert await mails(installation) == []


async def test_a_lost_domain_and_a_certificate_that_cannot_be_had_are_trouble(
    installation: Installation, watch: Watch
) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    now = datetime.now(UTC)
    for domain_id, name in (("dom-1", "a.example.com"), ("dom-2", "b.example.com")):
        added = DomainAdded(
            domain_id=domain_id,
            deployment_id=deployment_id,
            team_id=anna.team_id,
            name=name,
            token="t",
            added_by=anna.user_id,
            added_at=now,
        )
        verified = DomainVerified(
            name=name,
            deployment_id=deployment_id,
            previously=DomainStatus.PENDING,
            verified_at=now,
            next_check_at=now + DAY,
        )
        await installation.append(domain_id, added, verified)
    failed = DomainFailed(
        name="a.example.com",
        deployment_id=deployment_id,
        previously=DomainStatus.ACTIVE,
        problems=(),
        failed_at=now,
    )
    await installation.append("dom-1", failed, after=2)
    refused = CertificateOrderFailed(
        domain_id="dom-2",
        team_id=anna.team_id,
        name="b.example.com",
        reason="rate limited",
        failures=1,
        retry_at=now + DAY,
    )
    await installation.append("certificate-dom-2", refused)
    await watch.look()
    assert await watch.alerts() == [("certificate_expiring", "dom-2"), ("domain_failing", "dom-1")]


async def test_a_parked_event_and_a_view_that_is_behind_are_the_platforms_own_trouble(
    installation: Installation, watch: Watch
) -> None:
    anna = await installation.register()
    await installation.append_raw("dpl-broken", 1, "deployments.DeploymentRequested@1", b"{}")
    await watch.look()
    assert ("events_parked", DEPLOYMENTS.name) in await watch.alerts()
    assert {row["team_id"] for row in await installation.rows(ALERTS)} == {PLATFORM}

    for table, columns in (
        ("view_generations", "(view, generation, fingerprint, live) VALUES ('late', 1, '', true)"),
        ("view_positions", "(view, generation, partition, position) VALUES ('late', 1, 0, 0)"),
    ):
        await installation.as_admin(f"INSERT INTO {table} {columns}")
    await installation.create_key(anna)
    watch.clock.now = datetime.now(UTC) + timedelta(minutes=2)
    await watch.look()
    behind = [subject for rule, subject in await watch.alerts() if rule == "worker_lagging"]
    assert behind == ["late"]


async def test_a_worker_that_does_not_run_for_a_minute_is_trouble_until_it_runs(
    installation: Installation, watch: Watch
) -> None:
    await installation.register()
    reader = Reader(installation.pool, installation.conninfo, VIEWS)
    lookout = Lookout(reader, watch.clickhouse, ("mailer", "provisioner"))
    watcher = watch.another(lookout)
    async with installation.pool.connection() as connection:
        lock = "SELECT pg_advisory_lock(%s, %s)"
        await connection.execute(lock, (LOCK_CLASS, lock_key("provisioner")))
        for seconds, missed in ((0, []), (59, []), (2, [("worker_lagging", "worker mailer")])):
            watch.clock.pass_by(seconds=seconds)
            await watch.look(watcher)
            assert await watch.alerts() == missed
        await connection.execute(lock, (LOCK_CLASS, lock_key("mailer")))
        for _ in range(2):
            watch.clock.pass_by(seconds=61)
            await watch.look(watcher)
        assert await watch.alerts() == []
        await connection.execute("SELECT pg_advisory_unlock_all()")


async def test_who_looks_after_the_platform_hears_of_its_trouble(
    installation: Installation, watch: Watch
) -> None:
    anna = await installation.register("anna")
    await installation.register("berta")
    link = await installation.dispatch(IssueAdminLink(), Context(actor=NOBODY))
    await installation.dispatch(FollowAdminLink(token=link.result), anna.context)
    await installation.append_raw("dpl-broken", 1, "deployments.DeploymentRequested@1", b"{}")
    await watch.look()
    assert set(await mails(installation)) == {"alert_raised"}
    told = await installation.query(
        "SELECT DISTINCT convert_from(state, 'UTF8')::json ->> 'user_id' AS who FROM events"
        " WHERE topic ~ 'MailRequested' AND convert_from(state, 'UTF8') ~ 'alert_raised'"
    )
    assert [row["who"] for row in told] == [anna.user_id]
