"""Whoever knows the password may have the account gone, at once and for good."""

import asyncio
import contextlib

import pyotp
import pytest

from commands.bus import Context
from commands.identity import (
    ConfirmKeyDestroyed,
    EraseUser,
    FinishErasure,
    RefreshSession,
    SignIn,
    WrongCredentials,
)
from commands.identity.erasure import OnlyOwner
from commands.identity.second_factors import ConfirmTotp, PrepareTotp
from commands.mail import ADDRESS_PURPOSE
from commands.work import NOBODY, Actor
from domain.identity.second_factors import OtpRequired, OtpWrong
from domain.kernel.errors import DomainError, NotAllowed, NotFound
from domain.mail.events import MailRequested
from domain.mail.values import Template
from domain.teams.team import TEAM
from domain.teams.values import Role
from infrastructure.sealing import KeyDestroyed, opened
from tests.wiring import PASSWORD, Installation

ERASER = Context(actor=Actor(id="eraser"))


async def test_username_and_address_are_free_again_and_nobody_signs_in(
    installation: Installation,
) -> None:
    anna = await installation.register("anna")
    sign_in = SignIn(email=anna.email, password=PASSWORD)
    elsewhere = installation.another_bus()
    session = (await elsewhere.dispatch(sign_in, Context(actor=NOBODY))).result
    await installation.dispatch(EraseUser(password=PASSWORD), anna.context)
    for bus in (installation.bus, elsewhere):
        with pytest.raises(WrongCredentials):
            await bus.dispatch(sign_in, Context(actor=NOBODY))
        with pytest.raises(DomainError):
            await bus.dispatch(
                RefreshSession(refresh_token=session.refresh_token), Context(actor=NOBODY)
            )
    again = await installation.register("anna")
    assert again.user_id != anna.user_id


async def test_the_last_letter_can_be_sent_when_the_persons_key_is_destroyed(
    installation: Installation,
) -> None:
    anna = await installation.register("anna")
    await installation.dispatch(EraseUser(password=PASSWORD), anna.context)
    await installation.vault.destroy([anna.user_id])
    rows = await installation.query(
        "SELECT originator_id FROM events WHERE topic LIKE 'mail.MailRequested@%%'"
    )
    [mail_id] = [str(row["originator_id"]) for row in rows]
    stored = await installation.store.read_stream(mail_id)
    [asked] = await installation.fresh_codec().decode_all(stored)
    assert isinstance(asked, MailRequested)
    assert (asked.template, asked.user_id, dict(asked.parameters)) == (Template.ERASED, None, {})
    vault = installation.another_vault()
    await vault.load([mail_id])
    assert opened(vault, asked.address, purpose=ADDRESS_PURPOSE) == "anna@example.com"
    assert anna.user_id.encode() not in stored[0].data


async def test_a_wrong_password_changes_nothing(installation: Installation) -> None:
    anna = await installation.register("anna")
    position = await installation.store.last_position()
    with pytest.raises(WrongCredentials):
        await installation.dispatch(EraseUser(password="a guess"), anna.context)
    assert await installation.store.last_position() == position


async def test_a_key_cannot_erase_anybody(installation: Installation) -> None:
    anna = await installation.register("anna")
    robot = Actor(id="key-0000000001", grants=anna.context.actor.grants)
    with pytest.raises(NotAllowed):
        await installation.dispatch(EraseUser(password=PASSWORD), Context(actor=robot))


async def test_once_erased_there_is_nobody_to_erase(installation: Installation) -> None:
    anna = await installation.register("anna")
    for bus in (installation.bus, installation.another_bus()):
        if bus is installation.bus:
            await bus.dispatch(EraseUser(password=PASSWORD), anna.context)
        with pytest.raises(NotFound):
            await bus.dispatch(EraseUser(password=PASSWORD), anna.context)


async def test_how_far_it_got_is_remembered_once_however_often_it_is_said(
    installation: Installation,
) -> None:
    anna = await installation.register("anna")
    with pytest.raises(NotFound):
        await installation.dispatch(ConfirmKeyDestroyed(user_id=anna.user_id), ERASER)
    await installation.dispatch(EraseUser(password=PASSWORD), anna.context)
    await installation.vault.destroy([anna.user_id])
    for bus in (installation.bus, installation.another_bus()):
        await bus.dispatch(ConfirmKeyDestroyed(user_id=anna.user_id), ERASER)
        await bus.dispatch(FinishErasure(user_id=anna.user_id), ERASER)
    stored = await installation.store.read_stream(anna.user_id)
    assert [event.topic.partition("@")[0].partition(".")[2] for event in stored] == [
        "UserRegistered",
        "UserErased",
        "UserKeyDestroyed",
        "ErasureFinished",
    ]
    with pytest.raises(KeyDestroyed):
        installation.vault.seal("x", subject=anna.user_id, purpose="p")


async def test_the_only_owner_of_a_team_is_told_which_one_and_nothing_happens(
    installation: Installation,
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    alone = await installation.found_team(anna, "Alone")
    together = await installation.found_team(anna, "Together")
    await installation.add_member(together, bert, Role.OWNER)
    position = await installation.store.last_position()
    command = EraseUser(password=PASSWORD, team_ids=(alone, together))
    with pytest.raises(OnlyOwner) as refused:
        await installation.dispatch(command, anna.context)
    assert refused.value.details == {alone: "Alone"}
    assert await installation.store.last_position() == position


async def test_whoever_is_erased_leaves_the_teams_they_share(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    team_id = await installation.found_team(bert, "Acme")
    await installation.add_member(team_id, anna, Role.OWNER)
    other = await installation.found_team(bert, "Other")  # named, but she is not in it
    command = EraseUser(password=PASSWORD, team_ids=(team_id, other))
    await installation.dispatch(command, anna.context)
    team = await installation.bus.load(TEAM, team_id, fresh=True)
    assert team.present.members == {bert.user_id: Role.OWNER}


async def test_two_owners_erased_at_once_leave_one(installation: Installation) -> None:
    for number in range(5):
        people = [await installation.register(f"{name}{number}") for name in ("anna", "bert")]
        team_id = await installation.found_team(people[0], f"Acme {number}")
        await installation.add_member(team_id, people[1], Role.OWNER)
        command = EraseUser(password=PASSWORD, team_ids=(team_id,))
        outcomes = await asyncio.gather(
            *(installation.another_bus().dispatch(command, person.context) for person in people),
            return_exceptions=True,
        )
        assert sorted(isinstance(outcome, OnlyOwner) for outcome in outcomes) == [False, True]


async def test_with_a_second_factor_the_password_alone_erases_nobody(
    installation: Installation,
) -> None:
    anna = await installation.register("anna")
    prepare = PrepareTotp(password=PASSWORD, issuer="t")
    prepared = (await installation.dispatch(prepare, anna.context)).result
    confirm = ConfirmTotp(otp=pyotp.TOTP(prepared.secret).now())
    codes = (await installation.dispatch(confirm, anna.context)).result.codes
    with pytest.raises(OtpRequired):
        await installation.dispatch(EraseUser(password=PASSWORD), anna.context)
    guess = EraseUser(password=PASSWORD, otp="A" * 24)
    with contextlib.suppress(OtpWrong):
        refused = await installation.dispatch(guess, anna.context)
        assert isinstance(refused.result, OtpWrong)
    await installation.dispatch(EraseUser(password=PASSWORD, otp=codes[0]), anna.context)
    with pytest.raises(NotFound):
        await installation.dispatch(EraseUser(password=PASSWORD, otp=codes[1]), anna.context)
