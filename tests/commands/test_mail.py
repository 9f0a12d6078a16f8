"""Asking for mails: together with their cause, and nothing to read in the log."""

from datetime import UTC, datetime

import pytest

from commands.bus import Bus, Command, Context
from commands.mail import (
    ADDRESS_PURPOSE,
    PARAMETER_PURPOSE,
    MarkMailFailed,
    MarkMailSent,
    request_mail,
)
from commands.work import NOBODY, Work
from domain.identity.user import USER
from domain.kernel.errors import DomainError, NotFound
from domain.mail.events import MailRequested
from domain.mail.mail import MAIL
from domain.mail.values import Link, LinkPurpose, Template
from infrastructure.sealing import subjects_in
from tests.wiring import SECRET, Installation, Person

MAILER = Context(actor=NOBODY)
LATER = datetime(2026, 3, 14, 12, tzinfo=UTC)


class Tell(Command, frozen=True, kw_only=True):
    """A command of which a mail is a part."""

    template: Template
    wish: dict
    refuse: bool = False


class TooBad(DomainError):
    """It cannot be."""


async def tell(command: Tell, work: Work) -> str:
    mail_id = await request_mail(work, template=command.template, **command.wish)
    if command.refuse:
        raise TooBad
    return mail_id


@pytest.fixture
def bus(installation: Installation) -> Bus:
    return Bus(
        store=installation.store,
        codec=installation.codec,
        vault=installation.vault,
        passwords=installation.passwords,
        links=installation.links,
        handlers={Tell: tell},
        claim_secret=SECRET,
    )


async def ask(bus: Bus, template: Template, *, refuse: bool = False, **wish: object) -> str:
    command = Tell(template=template, wish=wish, refuse=refuse)
    mail_id: str = (await bus.dispatch(command, MAILER)).result
    return mail_id


async def stored(installation: Installation, mail_id: str) -> tuple[MailRequested, bytes]:
    [recorded] = await installation.store.read_stream(mail_id)
    [event] = await installation.codec.decode_all([recorded])
    assert isinstance(event, MailRequested)
    return event, recorded.data


def opened(installation: Installation, event: MailRequested) -> dict[str, str]:
    """What the sender reads: the address, and each parameter."""
    vault = installation.vault
    return {
        "to": vault.open(event.address, purpose=ADDRESS_PURPOSE),
        **{n: vault.open(t, purpose=PARAMETER_PURPOSE) for n, t in event.parameters.items()},
    }


LINK = Link(
    purpose=LinkPurpose.INVITATION, subject="inv-0000000001", nonce="n" * 22, expires_at=LATER
)


async def test_a_mail_to_a_person_goes_to_their_address_and_greets_them(
    installation: Installation, bus: Bus
) -> None:
    anna = await installation.register()
    mail_id = await ask(bus, Template.PASSWORD_CHANGED, user_id=anna.user_id)
    event, data = await stored(installation, mail_id)
    assert opened(installation, event) == {"to": anna.email, "username": "anna"}
    assert subjects_in(data) == {anna.user_id}
    assert b"anna" not in data


async def test_a_mail_can_go_to_the_address_a_person_had_before(
    installation: Installation, bus: Bus
) -> None:
    anna = await installation.register()
    mail_id = await ask(
        bus, Template.EMAIL_CHANGED, user_id=anna.user_id, address="old@example.com"
    )
    event, data = await stored(installation, mail_id)
    assert opened(installation, event)["to"] == "old@example.com"
    assert subjects_in(data) == {anna.user_id}


async def test_who_invites_is_sealed_with_their_own_key_and_the_rest_with_the_mails(
    installation: Installation, bus: Bus
) -> None:
    anna: Person = await installation.register()
    mail_id = await ask(
        bus,
        Template.INVITATION,
        address="bert@example.com",
        team_id=anna.team_id,
        parameters={"team": "Weather", "role": "developer"},
        people={"inviter": anna.user_id},
        link=LINK,
    )
    event, data = await stored(installation, mail_id)
    assert opened(installation, event) == {
        "to": "bert@example.com",
        "team": "Weather",
        "role": "developer",
        "inviter": "anna",
    }
    assert f":{anna.user_id}:" in event.parameters["inviter"]
    assert f":{mail_id}:" in event.address
    assert b"Weather" not in data


async def test_a_mail_to_nobody_we_know_has_a_key_of_its_own(
    installation: Installation, bus: Bus
) -> None:
    mail_id = await ask(bus, Template.ERASED, address="gone@example.com")
    event, data = await stored(installation, mail_id)
    assert opened(installation, event) == {"to": "gone@example.com"}
    assert subjects_in(data) == {mail_id}


async def test_there_is_no_mail_without_its_cause(installation: Installation, bus: Bus) -> None:
    anna = await installation.register()
    before = await installation.store.last_position()
    with pytest.raises(TooBad):
        await ask(bus, Template.PASSWORD_CHANGED, refuse=True, user_id=anna.user_id)
    assert await installation.store.last_position() == before


async def test_what_could_never_be_sent_is_not_asked_for(
    installation: Installation, bus: Bus
) -> None:
    anna = await installation.register()
    for template, wish in (
        (Template.KEY_LEAKED, {}),
        (Template.PASSWORD_CHANGED, {"parameters": {"more": "than is wanted"}}),
        (Template.VERIFY_EMAIL, {}),
        (Template.PASSWORD_CHANGED, {"link": LINK}),
    ):
        with pytest.raises(TypeError, match="needs"):
            await ask(bus, template, user_id=anna.user_id, **wish)
    with pytest.raises(TypeError, match="a person or an address"):
        await ask(bus, Template.ERASED)
    with pytest.raises(NotFound):
        await ask(bus, Template.PASSWORD_CHANGED, user_id="usr-0000000000")


async def test_the_outcome_is_remembered_once(installation: Installation, bus: Bus) -> None:
    anna = await installation.register()
    mail_id = await ask(bus, Template.PASSWORD_CHANGED, user_id=anna.user_id)
    for command in (
        MarkMailFailed(mail_id=mail_id, reason="the server is away", retry_at=LATER),
        MarkMailSent(mail_id=mail_id),
        MarkMailSent(mail_id=mail_id),
        MarkMailFailed(mail_id=mail_id, reason="the server is away", retry_at=None),
    ):
        await installation.dispatch(command, MAILER)
    events = await installation.store.read_stream(mail_id)
    assert [event.topic for event in events[1:]] == ["mail.MailFailed@1", "mail.MailSent@1"]
    loaded = await installation.bus.load(MAIL, mail_id, fresh=True)
    assert loaded.present.attempts == 2


async def test_the_outcome_of_no_mail_is_refused(installation: Installation) -> None:
    with pytest.raises(NotFound):
        await installation.dispatch(MarkMailSent(mail_id="mai-0000000000"), MAILER)
    anna = await installation.register()
    with pytest.raises(NotFound):
        await installation.dispatch(MarkMailSent(mail_id=anna.user_id), MAILER)
    assert (await installation.bus.load(USER, anna.user_id, fresh=True)).version == 1
