"""Alerts, open and past, and what counts as trouble: of teams, and of the platform itself."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from pydantic.types import Strict
from starlette.responses import Response

from api.admin import must_be_platform_admin
from api.answers import answer, respond
from api.errors import InvalidValue
from api.guard import GuardedRoute
from api.lists import PageQuery, Pagination, pagination_of, sorted_by, window_of
from api.openapi import refusals
from api.requests import Read, Write, Writing, reading
from api.schemas import Input, Integer, Output, TeamQuery, Text
from commands.alerts import ChangeAlertRule, ChooseAlertMails
from domain.alerts.values import (
    KINDS,
    PLATFORM,
    PLATFORM_RULES,
    TEAM_RULES,
    Rule,
    RuleSettings,
    Severity,
    detail_of,
    title_of,
)
from domain.kernel.errors import NotFound
from projections.alerts import (
    ALERT_LISTING,
    AlertRow,
    SoughtAlerts,
    chosen_mails,
    list_alerts,
    rules_of,
)

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Alerts"])

RuleName = Annotated[
    str, Path(description="A rule, as the list names it", examples=[Rule.ERROR_RATE.value])
]
Flag = Annotated[bool, Strict()]
Listing = Annotated[Read, reading("alerts")]
Rules = Annotated[Read, reading("alert_rules")]
Preferences = Annotated[Read, reading("alert_mails", "members")]
State = Literal["open", "resolved"]


class AlertsQuery(PageQuery):
    """Which alerts."""

    state: State | None = None
    rule: Rule | None = None


class TeamAlertsQuery(AlertsQuery):
    """Which alerts, and whose."""

    team_id: Annotated[Text | None, Field(max_length=40)] = None
    """One team; all of the caller's unless named."""
    deployment_id: Annotated[Text | None, Field(max_length=40)] = None


class AlertShown(Output):
    """Trouble that somebody has, or had."""

    id: str
    team_id: str | None
    """Null: it is about the platform itself."""
    rule: Rule
    severity: Severity
    state: State
    subject: str
    """Id of the deployment, key or domain; name of the view."""
    deployment_id: str | None
    title: str
    detail: str
    """What was seen when it was raised."""
    advice: str
    raised_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    """Why it is over."""


class AlertList(Output):
    """A part of the list of alerts."""

    alerts: list[AlertShown]
    pagination: Pagination


class RuleShown(Output):
    """What counts as trouble."""

    rule: Rule
    severity: Severity
    meaning: str
    enabled: bool
    threshold: int | None
    """From where on it is trouble; null for a rule that has none."""
    unit: str
    """What the threshold counts; empty where there is none."""
    threshold_min: int | None
    threshold_max: int | None
    mail: bool
    """Whether there are letters: to owners and admins, and to no member who does not want them."""


class AlertRules(Output):
    """Every rule and how it is set."""

    team_id: str | None
    """Null: the platform's own."""
    rules: list[RuleShown]


class RuleChange(Input):
    """What is to be different. What is left out stays."""

    enabled: Flag = True
    threshold: Annotated[Integer, Field(ge=1, le=1_000_000)] = 1
    mail: Flag = True
    """Tell people by mail: those who manage the team, or the platform, and who asked for it."""


class TeamRuleChange(RuleChange):
    """What is to be different, and for whom."""

    team_id: Annotated[str | None, Field(max_length=40)] = None
    """Whose rule; the caller's own team's unless named."""


class AlertPreferences(Output):
    """What a person wants to be told of one team's alerts."""

    team_id: str
    mail: bool
    """Whether letters come, of the rules that have any."""
    chosen: bool
    """False: nothing was said; owners and admins get letters then, and nobody else."""


class PreferencesChange(Input):
    """What a person wants to be told."""

    mail: Flag
    """Whether letters come, of the rules that have any."""
    team_id: Annotated[str | None, Field(max_length=40)] = None
    """Of whose alerts; of the personal team's unless named."""


@router.get(
    "/alerts",
    response_model=AlertList,
    responses=refusals(401, 403, 404),
    openapi_extra=sorted_by(ALERT_LISTING),
)
async def alerts(query: Annotated[TeamAlertsQuery, Query()], read: Listing) -> Response:
    """List the team's alerts, newest first."""
    team_ids = read.team_ids("deployments:read", named=query.team_id)
    return await _list(query, read, team_ids, "alerts", deployment_id=query.deployment_id)


@router.get("/alerts/rules", response_model=AlertRules, responses=refusals(401, 403, 404))
async def rules(query: Annotated[TeamQuery, Query()], read: Rules) -> Response:
    """Show what counts as trouble for the team."""
    team_id = read.team_id("deployments:read", named=query.team_id)
    own = await rules_of(read.views, team_id)
    return respond(AlertRules(team_id=team_id, rules=[_rule(r, own.get(r)) for r in TEAM_RULES]))


@router.patch("/alerts/rules/{rule}", response_model=RuleShown, responses=refusals(401, 403, 404))
async def change_rule(rule: RuleName, body: TeamRuleChange, write: Writing) -> Response:
    """Set what counts as trouble for the team, turn a rule off or on, and its mails."""
    team_id = write.team_id("team:write", named=body.team_id)
    return await _change(rule, body, team_id, write)


@router.get(
    "/alerts/preferences", response_model=AlertPreferences, responses=refusals(401, 403, 404)
)
async def preferences(query: Annotated[TeamQuery, Query()], read: Preferences) -> Response:
    """Show whether mails about a team's alerts come to oneself."""
    user_id = read.must_be_a_person()
    team_id = read.team_id("deployments:read", named=query.team_id)
    chosen = await chosen_mails(read.views, team_id, user_id)
    manages = read.caller.actor.holds("team:write", team_id=team_id)
    return respond(
        AlertPreferences(
            team_id=team_id,
            mail=manages if chosen is None else chosen,
            chosen=chosen is not None,
        )
    )


@router.put(
    "/alerts/preferences", response_model=AlertPreferences, responses=refusals(401, 403, 404)
)
async def choose_preferences(body: PreferencesChange, write: Writing) -> Response:
    """Turn mails about a team's alerts off or on, for oneself."""
    write.must_be_a_person()
    team_id = write.team_id("deployments:read", named=body.team_id)
    return await write.dispatch(
        ChooseAlertMails(team_id=team_id, wanted=body.mail),
        lambda _: answer(AlertPreferences(team_id=team_id, mail=body.mail, chosen=True)),
    )


@router.get(
    "/admin/alerts",
    response_model=AlertList,
    responses=refusals(401, 403),
    openapi_extra=sorted_by(ALERT_LISTING),
    tags=["Administration"],
)
async def platform_alerts(query: Annotated[AlertsQuery, Query()], read: Listing) -> Response:
    """List the alerts about the platform itself, newest first."""
    await must_be_platform_admin(read)
    return await _list(query, read, [PLATFORM], "platform alerts")


@router.get(
    "/admin/alerts/rules",
    response_model=AlertRules,
    responses=refusals(401, 403),
    tags=["Administration"],
)
async def platform_rules(read: Rules) -> Response:
    """Show what counts as trouble of the platform itself."""
    await must_be_platform_admin(read)
    own = await rules_of(read.views, PLATFORM)
    return respond(AlertRules(team_id=None, rules=[_rule(r, own.get(r)) for r in PLATFORM_RULES]))


@router.patch(
    "/admin/alerts/rules/{rule}",
    response_model=RuleShown,
    responses=refusals(401, 403, 404),
    tags=["Administration"],
)
async def change_platform_rule(rule: RuleName, body: RuleChange, write: Writing) -> Response:
    """Set what counts as trouble of the platform itself, and whether its admins get mail."""
    await must_be_platform_admin(write)
    return await _change(rule, body, PLATFORM, write)


async def _list(
    query: AlertsQuery,
    read: Read,
    team_ids: tuple[str, ...] | list[str],
    name: str,
    *,
    deployment_id: str | None = None,
) -> Response:
    window = window_of(query, ALERT_LISTING, name, read.services)
    sought = SoughtAlerts(
        is_open=None if query.state is None else query.state == "open",
        rule=query.rule,
        deployment_id=deployment_id,
    )
    page = await list_alerts(read.views, window, sought, team_ids=team_ids)
    return respond(
        AlertList(
            alerts=[_shown(row) for row in page.rows],
            pagination=pagination_of(page, window, query, name, read.services),
        )
    )


async def _change(name: str, body: RuleChange, team_id: str, write: Write) -> Response:
    if name not in set(Rule):
        raise NotFound
    rule = Rule(name)
    changes: dict[str, Any] = {
        field: getattr(body, field) for field in body.model_fields_set - {"team_id"}
    }
    if not changes:
        raise InvalidValue("Name at least one field that is to be different.")
    return await write.dispatch(
        ChangeAlertRule(team_id=team_id, rule=rule, **changes),
        lambda settings: answer(_rule(rule, settings)),
    )


def _rule(rule: Rule, settings: RuleSettings | None) -> RuleShown:
    kind = KINDS[rule]
    settings = settings or kind.settings
    return RuleShown(
        rule=rule,
        severity=kind.severity,
        meaning=kind.meaning,
        enabled=settings.enabled,
        threshold=settings.threshold,
        unit=kind.unit,
        threshold_min=kind.least if kind.unit else None,
        threshold_max=kind.most if kind.unit else None,
        mail=settings.mail,
    )


def _shown(row: AlertRow) -> AlertShown:
    kind = KINDS[row.rule]
    return AlertShown(
        id=row.id,
        team_id=None if row.team_id == PLATFORM else row.team_id,
        rule=row.rule,
        severity=kind.severity,
        state="open" if row.resolved_at is None else "resolved",
        subject=row.subject,
        deployment_id=row.deployment_id,
        title=title_of(row.rule, row.facts),
        detail=detail_of(row.rule, row.facts),
        advice=kind.advice,
        raised_at=row.raised_at,
        resolved_at=row.resolved_at,
        resolution=row.resolution,
    )
