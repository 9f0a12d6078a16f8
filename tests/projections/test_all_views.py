"""What holds for every view: after anything that happened, it equals its replay."""

import asyncio
import contextlib
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyotp
import pytest

from commands.alerts import ChangeAlertRule, ChooseAlertMails, RaiseAlert, ResolveAlert
from commands.api_keys import ChangeApiKey, RevokeApiKey, RotateApiKey
from commands.bus import Context
from commands.deployments import (
    DeleteDeployment,
    ReportReplicas,
    ScaleDeployment,
    StartDeployment,
    StopDeployment,
)
from commands.identity import EraseUser, SignIn
from commands.identity.second_factors import ConfirmTotp, PrepareTotp
from commands.mail import MarkMailFailed
from commands.metering import NoteKeyUse
from commands.portals import PublishDocument, ShowPortal
from commands.teams import (
    AcceptInvitation,
    ChangeMemberRole,
    InviteMember,
    RemoveMember,
    RenameTeam,
)
from commands.work import NOBODY, Actor
from domain.administration.events import AnnouncementMade, MaintenanceScheduled
from domain.administration.values import Tone
from domain.alerts.values import Rule
from domain.certificates.events import CertificateIssued
from domain.custom_domains.events import DomainAdded, DomainVerified
from domain.custom_domains.values import DomainStatus
from domain.deployments.values import ReplicaPhase, ReplicaReport
from domain.identity.events import PasskeyAdded
from domain.kernel.errors import DomainError
from domain.mail.events import MailRequested
from domain.teams.values import Role
from domain.webhooks.events import WebhookCreated
from projections.catalogue import VIEWS
from projections.view import View
from tests.projections.asking import NOON, Gateway, digest, line, rebuild, seeded
from tests.wiring import PASSWORD, Installation, Person

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROVISIONER = Context(actor=Actor(id="provisioner"))


async def test_after_a_random_history_every_view_equals_its_replay(
    installation: Installation,
) -> None:
    chance = seeded()
    people = [await installation.register(f"person{number}") for number in range(3)]
    gateways = [Gateway(installation, f"gtw-{number:010d}") for number in range(2)]
    story = Story(installation, chance, people, gateways)
    installation.start_views()
    await story.secure(people[0])
    await story.come_and_go()
    for _ in range(300):
        await story.step()
    await story.invite(people[0], people[1])
    await story.part(people[0], people[1])
    await story.name(people[0])
    await story.be_told(people[0])
    await story.alarm(people[0])
    live = {view.name: await digest(installation, view) for view in VIEWS}
    await asyncio.gather(*(rebuild(installation, view) for view in VIEWS))
    assert {view.name: await digest(installation, view) for view in VIEWS} == live
    assert await installation.query("SELECT * FROM parked_events") == []
    for view in VIEWS:
        if view.name != "key_usage":
            assert await installation.rows(view), f"{view.name} saw nothing of the story"


class Story:
    """Does one thing after the other by chance."""

    def __init__(
        self,
        installation: Installation,
        chance: random.Random,
        people: list[Person],
        gateways: list[Gateway],
    ) -> None:
        self._installation = installation
        self._chance = chance
        self._people = people
        self._gateways = gateways
        self._keys: list[tuple[Person, str]] = []
        self._deployments: list[tuple[Person, str]] = []
        self._teams: list[str] = []
        self._recovery_codes: list[str] = []
        self._mails: list[str] = []

    async def secure(self, person: Person) -> None:
        """Let a person have a second factor."""
        prepare = PrepareTotp(password=PASSWORD, issuer="Tallyport")
        prepared = (await self._installation.dispatch(prepare, person.context)).result
        confirm = ConfirmTotp(otp=pyotp.TOTP(prepared.secret).now())
        made = (await self._installation.dispatch(confirm, person.context)).result
        self._recovery_codes += made.codes
        added = PasskeyAdded(
            user_id=person.user_id,
            passkey_id="psk-0000000001",
            name="phone",
            credential_id="AQID",
            public_key="AQID",
            sign_count=0,
            synced=True,
        )
        stream_id = f"mfa-{person.user_id.removeprefix('usr-')}"
        await self._installation.append(stream_id, added, after=2)

    async def alarm(self, person: Person) -> None:
        """Raise two alerts, resolve one, set a rule, and want no mails."""
        for subject in ("dpl-1", "dpl-2"):
            wrong = RaiseAlert(team_id=person.team_id, rule=Rule.ERROR_RATE, subject=subject)
            await self._installation.dispatch(wrong, person.context)
        over = ResolveAlert(team_id=person.team_id, rule=Rule.ERROR_RATE, subject="dpl-1")
        await self._installation.dispatch(over, person.context)
        quiet = ChangeAlertRule(team_id=person.team_id, rule=Rule.ERROR_RATE, mail=False)
        await self._installation.dispatch(quiet, person.context)
        unread = ChooseAlertMails(team_id=person.team_id, wanted=False)
        await self._installation.dispatch(unread, person.context)
        told = AnnouncementMade(
            announcement_id="ann-1", text="New prices", tone=Tone.INFO, starts_at=NOW
        )
        planned = MaintenanceScheduled(
            maintenance_id="mnt-1",
            text="New disks",
            starts_at=NOW,
            ends_at=NOW + timedelta(hours=1),
        )
        await self._installation.append("ann-1", told)
        await self._installation.append("mnt-1", planned)

    async def invite(self, person: Person, other: Person) -> None:
        """Leave an invitation open."""
        team_id = await self._installation.found_team(person, "The last team")
        command = InviteMember(team_id=team_id, address=other.email, role=Role.VIEWER)
        await self._installation.dispatch(command, person.context)

    async def part(self, one: Person, other: Person) -> None:
        """Let somebody be put out of a team, whatever else happened."""
        team_id = await self._installation.found_team(one, "At last")
        await self._installation.add_member(team_id, other, Role.VIEWER)
        command = RemoveMember(team_id=team_id, user_id=other.user_id)
        await self._installation.dispatch(command, one.context)

    async def name(self, person: Person) -> None:
        """Let a deployment have a portal, and a domain of its own with a certificate."""
        deployment_id = (await self._installation.deploy(person, "named")).deployment_id
        for version in ("1", "2"):
            document = {
                "openapi": "3.1.0",
                "info": {"title": "A", "version": version},
                "paths": {"/a": {"get": {"responses": {"200": {"description": "A"}}}}},
            }
            publish = PublishDocument(
                deployment_id=deployment_id, text=msgspec.json.encode(document)
            )
            await self._installation.dispatch(publish, person.context)
        show = ShowPortal(deployment_id=deployment_id, visibility="public")
        await self._installation.dispatch(show, person.context)
        domain_id, name, now = "dom-0000000001", "www.example.com", datetime.now(UTC)
        added = DomainAdded(
            domain_id=domain_id,
            deployment_id=deployment_id,
            team_id=person.team_id,
            name=name,
            token="token",
            added_by=person.user_id,
            added_at=now,
        )
        verified = DomainVerified(
            name=name,
            deployment_id=deployment_id,
            previously=DomainStatus.PENDING,
            verified_at=now,
            next_check_at=now,
        )
        await self._installation.append(domain_id, added, verified)
        issued = CertificateIssued(
            domain_id=domain_id,
            team_id=person.team_id,
            name=name,
            issuer="R11",
            fingerprint="ab" * 32,
            not_before=now,
            not_after=now,
        )
        await self._installation.append("crt-0000000001", issued)

    async def be_told(self, person: Person) -> None:
        made = WebhookCreated(
            webhook_id="whk-0000000001",
            team_id=person.team_id,
            url="sealed",
            event_types=("*",),
            secret="sealed",
            created_by=person.user_id,
        )
        await self._installation.append("whk-0000000001", made)

    async def step(self) -> None:
        steps = [self._make, self._make, self._change, self._change, self._observe, self._serve]
        steps += [self._write, self._team_up]
        with contextlib.suppress(DomainError):  # a refusal is part of the story
            await self._chance.choice(steps)()

    async def _write(self) -> None:
        mail_id = f"mai-{len(self._mails):010d}"
        requested = MailRequested(
            mail_id=mail_id, template="erased", address="sealed", requested_at=datetime.now(UTC)
        )
        await self._installation.append(mail_id, requested)
        self._mails.append(mail_id)
        retry_at = self._chance.choice([None, datetime.now(UTC)])
        failed = MarkMailFailed(
            mail_id=self._chance.choice(self._mails), reason="away", retry_at=retry_at
        )
        await self._installation.dispatch(failed, Context(actor=NOBODY))

    async def _make(self) -> None:
        person = self._chance.choice(self._people)
        number = self._chance.randrange(13)
        if number == 12:
            await self.come_and_go()
        elif number < 5:
            created = await self._installation.create_key(person, name=f"key {number}")
            self._keys.append((person, created.key_id))
        elif number < 10:
            deployment = await self._installation.deploy(
                person, f"app-{number}", replicas=self._chance.randrange(3)
            )
            self._deployments.append((person, deployment.deployment_id))
        else:
            otp = self._recovery_codes.pop() if self._recovery_codes else None
            command = SignIn(email=person.email, password=PASSWORD, otp=otp)
            await self._installation.dispatch(command, Context(actor=NOBODY))

    async def come_and_go(self) -> None:
        """Let somebody join, sign in and be erased."""
        guest = await self._installation.register(f"guest{self._chance.randrange(10**6)}")
        command = SignIn(email=guest.email, password=PASSWORD)
        await self._installation.dispatch(command, Context(actor=NOBODY))
        await self._installation.dispatch(EraseUser(password=PASSWORD), guest.context)

    async def _change(self) -> None:
        if self._keys and self._chance.random() < 0.3:
            person, key_id = self._chance.choice(self._keys)
            changes = [
                RevokeApiKey(key_id=key_id),
                RotateApiKey(key_id=key_id, grace=timedelta(hours=self._chance.randrange(3))),
                ChangeApiKey(key_id=key_id, name=f"key {self._chance.randrange(12)}"),
            ]
            await self._installation.dispatch(self._chance.choice(changes), person.context)
        if self._deployments:
            person, deployment_id = self._chance.choice(self._deployments)
            scale = ScaleDeployment(deployment_id=deployment_id, replicas=self._chance.randrange(4))
            kinds = [StopDeployment, StartDeployment, DeleteDeployment]
            commands = [scale, scale, *(kind(deployment_id=deployment_id) for kind in kinds)]
            await self._installation.dispatch(self._chance.choice(commands), person.context)

    async def _team_up(self) -> None:
        person, other = self._chance.sample(self._people, 2)
        if not self._teams or self._chance.random() < 0.1:
            self._teams.append(
                await self._installation.found_team(person, f"Team {len(self._teams)}")
            )
        team_id, role = self._chance.choice(self._teams), self._chance.choice(list(Role))
        commands = [
            InviteMember(team_id=team_id, address=other.email, role=role),
            RenameTeam(team_id=team_id, name=f"{role} {len(self._teams)}"),
            ChangeMemberRole(team_id=team_id, user_id=other.user_id, role=role),
            RemoveMember(team_id=team_id, user_id=other.user_id),
        ]
        await self._installation.dispatch(self._chance.choice(commands), person.context)
        if self._chance.random() < 0.5:
            token = await self._installation.link_of(team_id)
            await self._installation.dispatch(AcceptInvitation(token=token), other.context)

    async def _observe(self) -> None:
        if not self._deployments:
            return
        _, deployment_id = self._chance.choice(self._deployments)
        replicas = tuple(
            ReplicaReport(
                replica_id=f"{deployment_id}-{number}",
                revision=1,
                phase=self._chance.choice(list(ReplicaPhase)),
                address="127.0.0.1",
                port=9000 + number,
                reason=self._chance.choice([None, "crash"]),
            )
            for number in range(self._chance.randrange(4))
        )
        await self._installation.dispatch(
            ReportReplicas(deployment_id=deployment_id, replicas=replicas), PROVISIONER
        )

    async def _serve(self) -> None:
        keys = [key_id for _, key_id in self._keys]
        note = NoteKeyUse(at=NOON - timedelta(minutes=len(keys)), key_ids=tuple(keys))
        await self._installation.dispatch(note, PROVISIONER)
        lines = [
            line(number, key_id=self._chance.choice(["", *keys]), status=200 + number)
            for number in range(self._chance.randrange(5))
        ]
        await self._chance.choice(self._gateways).serve(*lines)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_views_key_names_columns_and_its_rows_can_be_told_apart(view: View[Any]) -> None:
    assert set(view.key) <= set(view.columns)
    assert len({other.name for other in VIEWS}) == len(VIEWS)
    assert msgspec.json.schema(view.row)
