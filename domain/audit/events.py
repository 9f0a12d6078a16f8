"""The facts of audit that are no change."""

from datetime import datetime

from domain.audit.values import Attempt
from domain.kernel.events import Event


class AccessDenied(Event, frozen=True, kw_only=True):
    """Within a minute somebody known was refused so often: with 403, or with 404.

    A 404 is written down for what is another team's and for what is not there at all, because to
    tell them apart would tell what another team has. Noted once a minute for each caller, each time
    in a stream of its own; who it was stands beside the event like whoever changes something.
    """

    team_id: str
    """In which it was refused; the caller's own where that is nobody else's business."""
    user_id: str | None = None
    """None for a key."""
    first_at: datetime
    last_at: datetime
    count: int
    """All of them, also those that `attempts` has no room for."""
    attempts: tuple[Attempt, ...]
