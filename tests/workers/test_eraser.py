"""Once an account is gone, all that was the person's alone ends, whatever happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.headerregistry import Address
from pathlib import Path

import pytest

from commands.api_keys import RevokeApiKey
from commands.bus import Bus, Command, Context, Receipt
from commands.deployments import DeleteDeployment, ReportReplicas
from commands.identity import ConfirmKeyDestroyed, EraseUser, FinishErasure
from commands.teams import InviteMember, RevokeInvitation
from commands.work import Actor
from domain.teams.values import Role
from infrastructure.ending import end
from infrastructure.mail import Mailer, OutgoingMail
from infrastructure.mail.mailbox import FolderMailer
from infrastructure.sealing import opened
from projections.catalogue import VIEWS
from projections.erasures import ERASURES
from projections.news import ViewNews
from projections.reading import Reader
from tests.wiring import PASSWORD, Installation, Person
from workers import eraser as module
from workers.eraser import Eraser

SENDER = Address("Tallyport", addr_spec="tallyport@example.com")
PROVISIONER = Context(actor=Actor(id="provisioner"))
KEYS = "SELECT subject FROM subject_keys WHERE NOT starts_with(subject, 'mai-')"
"""All keys but those of letters, which go when they are sent: no mailer runs here."""


class Interrupted(Exception):
    """What a kill is to a process."""


class Doomed(Bus):
    """A bus whose process dies at one command: before it, or just after it took effect."""

    def __init__(self, bus: Bus, at: type[Command], *, after: bool) -> None:
        self._bus, self._at, self._after = bus, at, after

    async def dispatch(self, command: Command, context: Context) -> Receipt:
        if isinstance(command, self._at) and not self._after:
            raise Interrupted
        receipt = await self._bus.dispatch(command, context)
        if isinstance(command, self._at):
            raise Interrupted
        return receipt


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(module, "LOOK_SECONDS", 1.0)
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.2)


@asynccontextmanager
async def erasing(
    installation: Installation, bus: Bus | None = None, mailer: Mailer | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Run an eraser as a process just started would."""
    reader = Reader(installation.pool, installation.conninfo, VIEWS)
    news = ViewNews(installation.conninfo, {ERASURES.name})
    worker = Eraser(
        bus or installation.another_bus(),
        installation.another_vault(),
        reader,
        news,
        mailer or FolderMailer(Path("/nowhere"), sender=SENDER),
    )
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        await end(task)
        await news.close()


async def until_gone(installation: Installation, person: Person) -> None:
    finished = (
        "EXISTS (SELECT FROM views.erasures WHERE erased_id = %s AND finished_at IS NOT NULL)"
    )
    await installation.until(finished, person.user_id)


async def until_deleting(installation: Installation, deployment_id: str) -> None:
    deleting = "EXISTS (SELECT FROM views.deployments WHERE id = %s AND status = 'deleting')"
    await installation.until(deleting, deployment_id)
    await installation.dispatch(
        ReportReplicas(deployment_id=deployment_id, replicas=()), PROVISIONER
    )


async def test_keys_deployments_and_secrets_of_the_personal_team_end_and_nobody_elses(
    installation: Installation,
) -> None:
    installation.start_views()
    anna, bert = await installation.register("anna"), await installation.register("bert")
    keys = [(await installation.create_key(person)).key_id for person in (anna, anna, bert)]
    apps = [
        (await installation.deploy(person, app, environment={"TOKEN": "hush"})).deployment_id
        for person, app in ((anna, "one"), (bert, "two"))
    ]
    secret = installation.vault.seal("hush", subject=anna.team_id, purpose="p")
    await installation.dispatch(EraseUser(password=PASSWORD), anna.context)
    async with erasing(installation):
        await until_deleting(installation, apps[0])
        await until_gone(installation, anna)
    revoked = await installation.query("SELECT id FROM views.api_keys WHERE revoked_at IS NOT NULL")
    assert {row["id"] for row in revoked} == set(keys[:2])
    assert [row["id"] for row in await installation.query("SELECT id FROM views.deployments")] == [
        apps[1]
    ]
    left = await installation.query(KEYS)
    assert {row["subject"] for row in left} == {bert.user_id, bert.team_id}
    vault = installation.another_vault()
    await vault.load([anna.team_id])
    assert opened(vault, secret, purpose="p") is None


async def test_the_persons_key_does_not_wait_for_what_takes_long_to_end(
    installation: Installation,
) -> None:
    installation.start_views()
    anna = await installation.register("anna")
    app = (await installation.deploy(anna)).deployment_id
    await installation.dispatch(EraseUser(password=PASSWORD), anna.context)
    async with erasing(installation):
        destroyed = "EXISTS (SELECT FROM views.erasures WHERE key_destroyed_at IS NOT NULL)"
        await installation.until(destroyed)
        [row] = await installation.query("SELECT finished_at FROM views.erasures")
        assert row["finished_at"] is None
        left = await installation.query(KEYS)
        assert [row["subject"] for row in left] == [anna.team_id]
        await until_deleting(installation, app)
        await until_gone(installation, anna)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [ConfirmKeyDestroyed, RevokeApiKey, DeleteDeployment, FinishErasure])
async def test_killed_at_any_step_the_next_one_goes_on(
    installation: Installation, at: type[Command], *, after: bool
) -> None:
    installation.start_views()
    anna = await installation.register("anna")
    await installation.create_key(anna)
    app = (await installation.deploy(anna)).deployment_id
    await installation.dispatch(EraseUser(password=PASSWORD), anna.context)
    async with erasing(installation, Doomed(installation.another_bus(), at, after=after)) as first:
        if at is FinishErasure:
            await until_deleting(installation, app)
        async with asyncio.timeout(30):
            await asyncio.wait([first])
        assert isinstance(first.exception(), Interrupted)
    async with erasing(installation), erasing(installation):  # and two at once do no harm
        if at is not FinishErasure:
            await until_deleting(installation, app)
        await until_gone(installation, anna)
    topics = [event.topic for event in await installation.store.read_stream(anna.user_id)]
    assert len(topics) == len(set(topics)) == 4
    assert await installation.query(KEYS) == []


async def test_a_key_that_a_backup_brought_back_is_destroyed_again(
    installation: Installation,
) -> None:
    installation.start_views()
    anna, bert = await installation.register("anna"), await installation.register("bert")
    backup = await installation.query("SELECT subject, wrapped FROM subject_keys")
    await installation.dispatch(EraseUser(password=PASSWORD), anna.context)
    async with erasing(installation):
        await until_gone(installation, anna)
    for row in backup:
        await installation.as_admin(
            "INSERT INTO subject_keys (subject, wrapped) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            row["subject"],
            row["wrapped"],
        )
    async with erasing(installation):
        await installation.until(f"(SELECT count(*) FROM ({KEYS}) AS k) = 2")
    left = await installation.query(KEYS)
    assert {row["subject"] for row in left} == {bert.user_id, bert.team_id}


async def test_the_address_of_an_invitation_that_is_over_cannot_be_read_any_more(
    installation: Installation,
) -> None:
    installation.start_views()
    anna = await installation.register("anna")
    team_id = await installation.found_team(anna)
    invited = [
        (
            await installation.dispatch(
                InviteMember(team_id=team_id, address=f"{name}@example.com", role=Role.VIEWER),
                anna.context,
            )
        ).result.invitation_id
        for name in ("over", "open")
    ]
    await installation.dispatch(
        RevokeInvitation(team_id=team_id, invitation_id=invited[0]), anna.context
    )
    await installation.caught_up()
    await installation.as_admin("UPDATE subject_keys SET created_at = now() - interval '1 hour'")
    async with erasing(installation):
        gone = "NOT EXISTS (SELECT FROM subject_keys WHERE subject = %s)"
        await installation.until(gone, invited[0])
    left = await installation.query("SELECT subject FROM subject_keys WHERE subject ~ '^inv'")
    assert [row["subject"] for row in left] == [invited[1]]
    again = InviteMember(team_id=team_id, address="over@example.com", role=Role.VIEWER)
    await installation.another_bus().dispatch(again, anna.context)


async def test_letters_to_the_person_and_in_their_name_are_deleted_from_the_mailbox(
    installation: Installation, tmp_path: Path
) -> None:
    installation.start_views()
    anna, bert = await installation.register("anna"), await installation.register("bert")
    team_id = await installation.found_team(bert)
    await installation.add_member(team_id, anna, Role.ADMIN)
    for person in (anna, bert):
        command = InviteMember(
            team_id=team_id, address=f"friend-of-{person.username}@example.com", role=Role.VIEWER
        )
        await installation.dispatch(command, person.context)
    await installation.caught_up()
    mailer = FolderMailer(tmp_path, sender=SENDER)
    for mail in await installation.query("SELECT id FROM views.mails"):
        await mailer.send(
            OutgoingMail(
                mail_id=mail["id"],
                recipient="friend@example.com",
                subject="s",
                text="t",
                html="h",
                requested_at=datetime.now(UTC),
            )
        )
    await installation.dispatch(EraseUser(password=PASSWORD, team_ids=(team_id,)), anna.context)
    async with erasing(installation, mailer=mailer):
        await until_gone(installation, anna)
    [left] = await installation.query(
        "SELECT stream_id FROM views.audit WHERE type = 'mail.MailRequested' AND actor = %s",
        bert.user_id,
    )
    assert _is_only_letter(tmp_path, left["stream_id"])


def _is_only_letter(folder: Path, mail_id: str) -> bool:
    [letter] = folder.iterdir()
    return mail_id in letter.name
