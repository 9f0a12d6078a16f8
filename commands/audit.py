"""Note what somebody was denied."""

from datetime import datetime

from commands.bus import Command, Handlers
from commands.work import Work
from domain.audit.denial import DENIAL
from domain.audit.events import AccessDenied
from domain.audit.values import ATTEMPTS_MAX, Attempt


class NoteDenials(Command, frozen=True, kw_only=True):
    """Say what the actor was denied. Comes from an API process, once a minute."""

    team_id: str
    first_at: datetime
    last_at: datetime
    count: int
    attempts: tuple[Attempt, ...]


async def note_denials(command: NoteDenials, work: Work) -> None:
    """Note it, for the team it was refused in."""
    denied = AccessDenied(
        team_id=command.team_id,
        user_id=work.actor.user_id,
        first_at=command.first_at,
        last_at=command.last_at,
        count=command.count,
        attempts=command.attempts[:ATTEMPTS_MAX],
    )
    work.record(work.create(DENIAL, work.new_id("den")), [denied])


HANDLERS: Handlers = {NoteDenials: note_denials}
