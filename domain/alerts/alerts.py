"""Which alerts of one team are open: one aggregate per team, so none is raised twice."""

from datetime import datetime, timedelta

import msgspec

from domain.alerts.events import (
    AlertMailsChosen,
    AlertRaised,
    AlertResolved,
    AlertRuleChanged,
)
from domain.alerts.values import KINDS, MAILS_PER_HOUR_MAX, PLATFORM, Facts, Rule, RuleSettings
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import RuleViolated
from domain.kernel.events import Event

RECOVERED = "recovered"
TURNED_OFF = "the rule was turned off"


class ThresholdOutOfRange(RuleViolated):
    """This rule cannot have that threshold."""


class OpenAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that was raised and not resolved."""

    alert_id: str
    rule: Rule
    subject: str
    facts: dict[str, str | int]
    mailed: bool


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    """The rules and open alerts of one team, or of the platform."""

    team_id: str
    """`PLATFORM` for the installation itself."""
    own: dict[str, RuleSettings] = {}
    """How rules are set that are not as they were at first."""
    opened: dict[str, OpenAlert] = {}
    mailed_at: tuple[datetime, ...] = ()
    """When the last alerts were raised that were told by mail."""
    chosen: dict[str, bool] = {}
    """Who has said whether mails come to them."""

    def settings_of(self, rule: Rule) -> RuleSettings:
        """Return how a rule is set."""
        return self.own.get(rule, KINDS[rule].settings)

    def find(self, rule: Rule, subject: str) -> OpenAlert | None:
        """Return the open alert for a rule and a subject."""
        return self.opened.get(_key(rule, subject))

    def raise_(
        self,
        *,
        alert_id: str,
        rule: Rule,
        subject: str,
        deployment_id: str | None,
        facts: Facts,
        now: datetime,
    ) -> list[Event]:
        """Say that a subject breaks a rule. While that is known, and for a rule off, nothing."""
        settings = self.settings_of(rule)
        if not settings.enabled or self.find(rule, subject) is not None:
            return []
        return [
            AlertRaised(
                alert_id=alert_id,
                team_id=self._team_id,
                rule=rule,
                subject=subject,
                deployment_id=deployment_id,
                facts=dict(facts),
                threshold=settings.threshold,
                raised_at=now,
                mailed=settings.mail and not self._mailed_enough(now),
            )
        ]

    def resolve(self, rule: Rule, subject: str, *, reason: str, now: datetime) -> list[Event]:
        """Say that a subject breaks the rule no longer. Twice changes nothing."""
        found = self.find(rule, subject)
        if found is None:
            return []
        return [
            AlertResolved(
                alert_id=found.alert_id,
                team_id=self._team_id,
                rule=rule,
                subject=subject,
                reason=reason,
                resolved_at=now,
            )
        ]

    def change(self, rule: Rule, settings: RuleSettings, *, now: datetime) -> list[Event]:
        """Set a rule; what it had found is over when it is turned off."""
        if settings == self.settings_of(rule):
            return []
        kind = KINDS[rule]
        if kind.unit:
            if settings.threshold is None or not kind.least <= settings.threshold <= kind.most:
                raise ThresholdOutOfRange(threshold=f"{kind.least} to {kind.most} {kind.unit}")
        elif settings.threshold is not None:
            raise ThresholdOutOfRange("This rule has no threshold.", threshold="not for this rule")
        events: list[Event] = [
            AlertRuleChanged(
                team_id=self._team_id,
                rule=rule,
                enabled=settings.enabled,
                threshold=settings.threshold,
                mail=settings.mail,
            )
        ]
        if not settings.enabled:
            for found in self.opened.values():
                if found.rule is rule:
                    events += self.resolve(rule, found.subject, reason=TURNED_OFF, now=now)
        return events

    def choose_mails(self, user_id: str, *, wanted: bool) -> list[Event]:
        """Let mails about alerts come to a member, or not. The same again changes nothing."""
        if self.chosen.get(user_id) is wanted:
            return []
        return [AlertMailsChosen(team_id=self.team_id, user_id=user_id, wanted=wanted)]

    def wants_mails(self, user_id: str, *, manages: bool) -> bool:
        """Tell whether a member is told by mail; until they choose, who manages the team is."""
        return self.chosen.get(user_id, manages)

    @property
    def _team_id(self) -> str | None:
        return None if self.team_id == PLATFORM else self.team_id

    def _mailed_enough(self, now: datetime) -> bool:
        lately = [at for at in self.mailed_at if now - at < timedelta(hours=1)]
        return len(lately) >= MAILS_PER_HOUR_MAX


def evolve(state: Alerts | None, event: Event) -> Alerts | None:
    """Remember what is open and how the rules are set."""
    if not isinstance(event, AlertRaised | AlertResolved | AlertRuleChanged | AlertMailsChosen):
        return state
    state = state or Alerts(team_id=event.team_id or PLATFORM)
    change = msgspec.structs.replace
    match event:
        case AlertRaised():
            key = _key(event.rule, event.subject)
            found = OpenAlert(
                alert_id=event.alert_id,
                rule=event.rule,
                subject=event.subject,
                facts=event.facts,
                mailed=event.mailed,
            )
            mailed = (*state.mailed_at, event.raised_at) if event.mailed else state.mailed_at
            return change(
                state, opened={**state.opened, key: found}, mailed_at=mailed[-MAILS_PER_HOUR_MAX:]
            )
        case AlertResolved():
            key = _key(event.rule, event.subject)
            return change(state, opened={k: each for k, each in state.opened.items() if k != key})
        case AlertRuleChanged():
            settings = RuleSettings(
                enabled=event.enabled, threshold=event.threshold, mail=event.mail
            )
            return change(state, own={**state.own, event.rule: settings})
        case AlertMailsChosen():
            return change(state, chosen={**state.chosen, event.user_id: event.wanted})
    return state


def _key(rule: Rule, subject: str) -> str:
    return f"{rule} {subject}"


ALERTS = Aggregate(name="alerts", state=Alerts, evolve=evolve, snapshot_every=100)
