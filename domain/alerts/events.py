"""The facts about trouble: it began, it ended, and what counts as any was changed."""

from datetime import datetime

from domain.alerts.values import Rule
from domain.kernel.events import Event


class AlertRaised(Event, frozen=True, kw_only=True):
    """A subject breaks a rule. It stays so until the alert is resolved."""

    alert_id: str
    team_id: str | None = None
    """None: it is about the platform itself."""
    rule: Rule
    subject: str
    """Id of the deployment, key or domain; name of the view or worker."""
    deployment_id: str | None = None
    facts: dict[str, str | int] = {}
    """What was seen, `name` being what people call the subject."""
    threshold: int | None = None
    """What the rule said then."""
    raised_at: datetime
    mailed: bool = False
    """Whether people are told by mail."""


class AlertResolved(Event, frozen=True, kw_only=True):
    """The subject does not break the rule any more, or the rule was turned off."""

    alert_id: str
    team_id: str | None = None
    rule: Rule
    subject: str
    reason: str
    resolved_at: datetime


class AlertRuleChanged(Event, frozen=True, kw_only=True):
    """A team, or the platform, has another opinion of what counts as trouble."""

    team_id: str | None = None
    rule: Rule
    enabled: bool
    threshold: int | None = None
    mail: bool


class AlertMailsChosen(Event, frozen=True, kw_only=True):
    """A member has said whether mails about the team's alerts come to them."""

    team_id: str
    user_id: str
    wanted: bool
