"""The alerts there are and were, and how each team has set its rules."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.alerts.events import (
    AlertMailsChosen,
    AlertRaised,
    AlertResolved,
    AlertRuleChanged,
)
from domain.alerts.values import KINDS, PLATFORM, Rule, RuleSettings
from domain.kernel.events import Event
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Listing, Page, Reader, Window
from projections.view import Change, View


class AlertRow(msgspec.Struct, frozen=True, kw_only=True):
    """One alert."""

    id: str
    team_id: str
    """`platform` for the installation itself."""
    rule: Rule
    subject: str
    deployment_id: str | None
    facts: dict[str, str | int]
    threshold: int | None
    raised_at: datetime
    resolved_at: datetime | None = None
    resolution: str | None = None


class AlertRuleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that a team has set itself."""

    team_id: str
    rule: Rule
    enabled: bool
    threshold: int | None
    mail: bool

    @property
    def settings(self) -> RuleSettings:
        """How it is set."""
        return RuleSettings(enabled=self.enabled, threshold=self.threshold, mail=self.mail)


class AlertMailsRow(msgspec.Struct, frozen=True, kw_only=True):
    """Whether mails about a team's alerts come to somebody who has said so."""

    team_id: str
    user_id: str
    wanted: bool


def _changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    return [((event.alert_id,), event)] if isinstance(event, AlertRaised | AlertResolved) else []


def _fold(row: AlertRow | None, event: Event, _: RecordedEvent) -> AlertRow | None:
    match event:
        case AlertRaised():
            return AlertRow(
                id=event.alert_id,
                team_id=event.team_id or PLATFORM,
                rule=event.rule,
                subject=event.subject,
                deployment_id=event.deployment_id,
                facts=event.facts,
                threshold=event.threshold,
                raised_at=event.raised_at,
            )
        case AlertResolved() if row is not None:
            return msgspec.structs.replace(
                row, resolved_at=event.resolved_at, resolution=event.reason
            )
    return row


def _rule_changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, AlertRuleChanged):
        return [((event.team_id or PLATFORM, event.rule), event)]
    return []


def _fold_rule(_: AlertRuleRow | None, event: AlertRuleChanged, __: RecordedEvent) -> AlertRuleRow:
    return AlertRuleRow(
        team_id=event.team_id or PLATFORM,
        rule=event.rule,
        enabled=event.enabled,
        threshold=event.threshold,
        mail=event.mail,
    )


def _mails_changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, AlertMailsChosen):
        return [((event.team_id, event.user_id), event)]
    return []


def _fold_mails(
    _: AlertMailsRow | None, event: AlertMailsChosen, __: RecordedEvent
) -> AlertMailsRow:
    return AlertMailsRow(team_id=event.team_id, user_id=event.user_id, wanted=event.wanted)


ALERTS = View(
    name="alerts",
    version=1,
    topic=Topic.EVENTS,
    row=AlertRow,
    key=("id",),
    changes=_changes,
    fold=_fold,
    indexes=("team_id, raised_at, id", "resolved_at, id"),
)

ALERT_RULES = View(
    name="alert_rules",
    version=1,
    topic=Topic.EVENTS,
    row=AlertRuleRow,
    key=("team_id", "rule"),
    changes=_rule_changes,
    fold=_fold_rule,
)

ALERT_MAILS = View(
    name="alert_mails",
    version=1,
    topic=Topic.EVENTS,
    row=AlertMailsRow,
    key=("team_id", "user_id"),
    changes=_mails_changes,
    fold=_fold_mails,
    person="user_id",
)

ALERT_LISTING = Listing(
    sorts={"raisedAt": "raised_at"},
    sort_default="-raisedAt",
    id_column="id",
    kinds=ALERTS.columns,
)


class SoughtAlerts(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of alerts is narrowed to."""

    is_open: bool | None = None
    rule: Rule | None = None
    deployment_id: str | None = None


async def list_alerts(
    reader: Reader, window: Window, sought: SoughtAlerts, *, team_ids: Sequence[str]
) -> Page[AlertRow]:
    """Return these teams' alerts."""
    return await reader.page(
        AlertRow,
        "SELECT * FROM views.alerts WHERE team_id = ANY(%s)"
        " AND (%s::boolean IS NULL OR (resolved_at IS NULL) = %s)"
        " AND (%s::text IS NULL OR rule = %s)"
        " AND (%s::text IS NULL OR deployment_id = %s)",
        list(team_ids),
        sought.is_open,
        sought.is_open,
        sought.rule,
        sought.rule,
        sought.deployment_id,
        sought.deployment_id,
        listing=ALERT_LISTING,
        window=window,
    )


async def open_alerts(reader: Reader) -> Sequence[AlertRow]:
    """Return every alert that is open."""
    return await reader.rows(
        AlertRow, "SELECT * FROM views.alerts WHERE resolved_at IS NULL ORDER BY id"
    )


async def rules_of(reader: Reader, team_id: str) -> dict[Rule, RuleSettings]:
    """Return how a team has set the rules that it has set itself."""
    rows = await reader.rows(
        AlertRuleRow, "SELECT * FROM views.alert_rules WHERE team_id = %s", team_id
    )
    return {row.rule: row.settings for row in rows}


async def chosen_mails(reader: Reader, team_id: str, user_id: str) -> bool | None:
    """Return whether somebody wants mails about a team's alerts; None: they have not said."""
    row = await reader.row(
        AlertMailsRow,
        "SELECT * FROM views.alert_mails WHERE team_id = %s AND user_id = %s",
        team_id,
        user_id,
    )
    return None if row is None else row.wanted


class Rulebook:
    """How every rule is set, for every team."""

    def __init__(self, rows: Sequence[AlertRuleRow]) -> None:
        self._own = {(row.team_id, row.rule): row.settings for row in rows}

    def threshold(self, rule: Rule, team_id: str) -> int | None:
        """Return from where on it is trouble; None for a rule that is off."""
        settings = self._own.get((team_id, rule), KINDS[rule].settings)
        if not settings.enabled:
            return None
        return settings.threshold or 0


async def read_rulebook(reader: Reader) -> Rulebook:
    """Return how every rule is set."""
    return Rulebook(await reader.rows(AlertRuleRow, "SELECT * FROM views.alert_rules"))
