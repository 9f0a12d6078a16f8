"""Raise an alert, say that it is over, and set what counts as trouble."""

import contextlib
from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from commands.bus import Command, Handlers
from commands.mail import request_mail
from commands.teams import MANAGERS, members_of
from commands.work import Loaded, Work
from domain.alerts.alerts import ALERTS, RECOVERED, Alerts
from domain.alerts.values import (
    PLATFORM,
    PLATFORM_RULES,
    TEAM_RULES,
    Facts,
    Rule,
    RuleSettings,
    detail_of,
    title_of,
)
from domain.identity.platform import PLATFORM as PLATFORM_AGGREGATE
from domain.identity.platform import PLATFORM_ID
from domain.kernel.errors import NotAllowed, NotFound
from domain.mail.values import Template
from infrastructure.sealing import KeyDestroyed


class RaiseAlert(Command, frozen=True, kw_only=True):
    """Say that a subject breaks a rule."""

    team_id: str
    rule: Rule
    subject: str
    deployment_id: str | None = None
    facts: Facts = {}


class ResolveAlert(Command, frozen=True, kw_only=True):
    """Say that a subject does not break a rule any more."""

    team_id: str
    rule: Rule
    subject: str


class ChangeAlertRule(Command, frozen=True, kw_only=True):
    """Set what counts as trouble, and who is told."""

    team_id: str
    rule: Rule
    enabled: bool | UnsetType = UNSET
    threshold: int | UnsetType = UNSET
    mail: bool | UnsetType = UNSET


class ChooseAlertMails(Command, frozen=True, kw_only=True):
    """Say for oneself whether mails about the team's alerts come."""

    team_id: str
    wanted: bool


async def raise_alert(command: RaiseAlert, work: Work) -> None:
    """Raise it, unless it is open already, and tell those who can do something."""
    alerts = await _alerts_of(command.team_id, work)
    work.record(
        alerts,
        alerts.present.raise_(
            alert_id=work.new_id("alt"),
            rule=command.rule,
            subject=command.subject,
            deployment_id=command.deployment_id,
            facts=command.facts,
            now=work.now,
        ),
    )
    raised = alerts.present.find(command.rule, command.subject)
    if alerts.recorded and raised is not None and raised.mailed:
        await _tell(alerts.present, Template.ALERT_RAISED, command.rule, raised.facts, work)


async def resolve_alert(command: ResolveAlert, work: Work) -> None:
    """Say that it is over, also to whom it was told by mail. Twice changes nothing."""
    alerts = await _alerts_of(command.team_id, work)
    before = alerts.present.find(command.rule, command.subject)
    work.record(
        alerts,
        alerts.present.resolve(command.rule, command.subject, reason=RECOVERED, now=work.now),
    )
    if before is not None and before.mailed:
        await _tell(alerts.present, Template.ALERT_RESOLVED, command.rule, before.facts, work)


async def change_alert_rule(command: ChangeAlertRule, work: Work) -> RuleSettings:
    """Set a rule and return how it is set now."""
    if command.team_id == PLATFORM:
        work.must_be_platform_admin()
    else:
        work.must_hold("team:write", team_id=command.team_id)
    if command.rule not in (PLATFORM_RULES if command.team_id == PLATFORM else TEAM_RULES):
        raise NotFound
    alerts = await _alerts_of(command.team_id, work)
    now = alerts.present.settings_of(command.rule)
    wanted = RuleSettings(
        enabled=now.enabled if command.enabled is UNSET else command.enabled,
        threshold=now.threshold if command.threshold is UNSET else command.threshold,
        mail=now.mail if command.mail is UNSET else command.mail,
    )
    work.record(alerts, alerts.present.change(command.rule, wanted, now=work.now))
    return wanted


async def choose_alert_mails(command: ChooseAlertMails, work: Work) -> None:
    """Remember what a member wants, whatever their role."""
    work.must_hold("deployments:read", team_id=command.team_id)
    if work.actor.user_id is None:
        raise NotAllowed
    alerts = await _alerts_of(command.team_id, work)
    work.record(alerts, alerts.present.choose_mails(work.actor.user_id, wanted=command.wanted))


HANDLERS: Handlers = {
    RaiseAlert: raise_alert,
    ResolveAlert: resolve_alert,
    ChangeAlertRule: change_alert_rule,
    ChooseAlertMails: choose_alert_mails,
}


async def _alerts_of(team_id: str, work: Work) -> Loaded[Alerts]:
    alerts = await work.load(ALERTS, f"alerts-{team_id}")
    if alerts.state is None:
        alerts.state = Alerts(team_id=team_id)
    return alerts


async def _tell(alerts: Alerts, template: Template, rule: Rule, facts: Facts, work: Work) -> None:
    told = {"rule": rule.value, "title": title_of(rule, facts), "detail": detail_of(rule, facts)}
    for user_id in await _who_is_told(alerts, work):
        with contextlib.suppress(KeyDestroyed, NotFound):  # erased: nobody is left to be told
            await request_mail(work, template=template, user_id=user_id, parameters=told)


async def _who_is_told(alerts: Alerts, work: Work) -> Sequence[str]:
    if alerts.team_id == PLATFORM:
        platform = (await work.load(PLATFORM_AGGREGATE, PLATFORM_ID)).state
        return platform.admins if platform is not None else ()
    members = await members_of(alerts.team_id, work)
    return [
        user_id
        for user_id, role in members.items()
        if alerts.wants_mails(user_id, manages=role in MANAGERS)
    ]
