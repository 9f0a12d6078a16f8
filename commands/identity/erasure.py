"""Make a person unknown; say how far that got."""

from collections.abc import Sequence

from commands.bus import Command, Handlers
from commands.identity.proofs import check_password, check_second_factor
from commands.mail import request_mail
from commands.work import Work
from domain.identity.erasure import ERASURE
from domain.identity.second_factors import OtpWrong
from domain.identity.user import USER
from domain.identity.values import email_identity, username_claims
from domain.kernel.errors import NotFound, RuleViolated
from domain.mail.values import Template
from domain.teams.team import TEAM, LastOwner


class OnlyOwner(RuleViolated):
    """Teams would be left without an owner; make somebody else an owner, or delete them, first."""


class EraseUser(Command, frozen=True, kw_only=True):
    """Make whoever asks unknown. The password shows that it is really they."""

    password: str
    otp: str | None = None
    team_ids: tuple[str, ...] = ()
    """The teams they share with others."""


class ConfirmKeyDestroyed(Command, frozen=True, kw_only=True):
    """Say that an erased person's key is destroyed. Comes from the eraser, at least once."""

    user_id: str


class FinishErasure(Command, frozen=True, kw_only=True):
    """Say that nothing of an erased person's team is left. Comes from the eraser."""

    user_id: str


async def erase_user(command: EraseUser, work: Work) -> OtpWrong | None:
    """Give up what was theirs alone, all at once; `workers/eraser.py` does what follows."""
    person = await check_password(work, command.password)
    proved = await check_second_factor(work, person.user_id, command.otp)
    if isinstance(proved, OtpWrong):
        return proved
    user = await work.load(USER, person.user_id)
    await _leave(command.team_ids, work)
    for claimed in username_claims(person.username):
        await work.release("username", claimed, owner_id=person.user_id)
    await work.release("email", email_identity(person.email), owner_id=person.user_id)
    work.record(user, person.erase())
    # Not as mail to the person, whose key is about to go: the address gets a key of this letter's
    # own, which is destroyed once it is sent or, after a day, given up.
    await request_mail(work, template=Template.ERASED, address=person.email)
    return None


async def _leave(team_ids: Sequence[str], work: Work) -> None:
    """Leave the teams in the same append: each decides for itself that an owner stays."""
    stuck = {}
    for team_id in team_ids:
        team = await work.load(TEAM, team_id)
        try:
            work.record(team, team.present.leave(work.actor.id))
        except LastOwner:
            stuck[team_id] = team.present.name
        except NotFound:  # left, or put out, a moment ago
            continue
    if stuck:
        raise OnlyOwner(None, **stuck)


async def confirm_key_destroyed(command: ConfirmKeyDestroyed, work: Work) -> None:
    """Remember that nothing personal can be read any more."""
    erasure = await work.load(ERASURE, command.user_id)
    work.record(erasure, erasure.present.key_is_destroyed())


async def finish_erasure(command: FinishErasure, work: Work) -> None:
    """Remember that it is done."""
    erasure = await work.load(ERASURE, command.user_id)
    work.record(erasure, erasure.present.finish())


HANDLERS: Handlers = {
    EraseUser: erase_user,
    ConfirmKeyDestroyed: confirm_key_destroyed,
    FinishErasure: finish_erasure,
}
