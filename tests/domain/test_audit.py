"""What somebody was denied belongs to the team it was refused in."""

from datetime import UTC, datetime

from domain.audit.denial import DENIAL
from domain.audit.events import AccessDenied
from domain.audit.values import Attempt

AT = datetime(2026, 3, 14, 12, 7, tzinfo=UTC)


def test_a_denial_is_noted_for_the_team_it_was_refused_in() -> None:
    attempt = Attempt(method="GET", route="/v1/teams/{team_id}", status=403, count=2)
    denied = AccessDenied(team_id="org-1", first_at=AT, last_at=AT, count=2, attempts=(attempt,))
    noted = DENIAL.replay([denied])
    assert noted is not None
    assert noted.team_id == "org-1"
