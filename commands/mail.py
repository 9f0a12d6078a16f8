"""Ask for a mail; say what became of it."""

from collections.abc import Mapping
from datetime import datetime

from commands.bus import Command, Handlers
from commands.work import Work
from domain.identity.user import USER
from domain.mail.events import MailRequested
from domain.mail.mail import MAIL
from domain.mail.values import LINKS, PARAMETERS, Link, Template

ADDRESS_PURPOSE = "mail address"
PARAMETER_PURPOSE = "mail parameter"
USERNAME = "username"


class MarkMailSent(Command, frozen=True, kw_only=True):
    """Say that the mail server took a mail over."""

    mail_id: str


class MarkMailFailed(Command, frozen=True, kw_only=True):
    """Say that an attempt to send a mail came to nothing."""

    mail_id: str
    reason: str
    retry_at: datetime | None
    """None: it is given up."""


async def request_mail(
    work: Work,
    *,
    template: Template,
    user_id: str | None = None,
    address: str | None = None,
    team_id: str | None = None,
    parameters: Mapping[str, str] = {},
    people: Mapping[str, str] = {},
    link: Link | None = None,
) -> str:
    """Let a mail be sent, as a part of the caller's own command; return its id.

    The wish stands in the same append as its cause, so there is never one without the other, and
    nothing waits for a mail server. `address` is needed where the mail does not go to the present
    address of the person `user_id`. `people` are parameters that are usernames: whose, by id.
    """
    _must_fit(template, {*parameters, *people}, link)
    mail_id = work.new_id("mai")
    if user_id is None:
        await work.vault.create(mail_id)
    subject = user_id or mail_id
    if user_id is not None:
        people = {**people, USERNAME: user_id}
        address = address or (await work.load(USER, user_id)).present.email
    if address is None:
        raise TypeError("a mail needs a person or an address")
    names = {
        name: (of, (await work.load(USER, of)).present.username) for name, of in people.items()
    }
    texts = {name: (subject, text) for name, text in parameters.items()} | names
    await work.vault.load({subject, *(of for of, _ in texts.values())})
    seal = work.vault.seal
    work.record(
        work.create(MAIL, mail_id),
        [
            MailRequested(
                mail_id=mail_id,
                template=template,
                user_id=user_id,
                team_id=team_id,
                address=seal(address, subject=subject, purpose=ADDRESS_PURPOSE),
                parameters={
                    name: seal(text, subject=of, purpose=PARAMETER_PURPOSE)
                    for name, (of, text) in texts.items()
                },
                link=link,
                requested_at=work.now,
            )
        ],
    )
    return mail_id


async def mark_mail_sent(command: MarkMailSent, work: Work) -> None:
    """Remember that it is done."""
    mail = await work.load(MAIL, command.mail_id)
    work.record(mail, mail.present.sent())


async def mark_mail_failed(command: MarkMailFailed, work: Work) -> None:
    """Remember the attempt, and when the next one is due."""
    mail = await work.load(MAIL, command.mail_id)
    work.record(mail, mail.present.failed(reason=command.reason, retry_at=command.retry_at))


HANDLERS: Handlers = {MarkMailSent: mark_mail_sent, MarkMailFailed: mark_mail_failed}


def _must_fit(template: Template, told: set[str], link: Link | None) -> None:
    """Refuse what the sender could never make a mail of: a mistake of ours, found by a test."""
    if told != PARAMETERS[template]:
        raise TypeError(f"{template} needs {sorted(PARAMETERS[template])}, not {sorted(told)}")
    if LINKS.get(template) != (link.purpose if link is not None else None):
        raise TypeError(f"{template} needs the link {LINKS.get(template)}")
