"""An alert is raised once, resolved once, and quiet in between."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from domain.alerts.alerts import ALERTS, RECOVERED, TURNED_OFF, Alerts, ThresholdOutOfRange
from domain.alerts.events import (
    AlertMailsChosen,
    AlertRaised,
    AlertResolved,
    AlertRuleChanged,
)
from domain.alerts.values import (
    KINDS,
    MAILS_PER_HOUR_MAX,
    PLATFORM,
    Rule,
    RuleSettings,
    detail_of,
    title_of,
)
from domain.kernel.events import Event
from tests.scenario import given

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RAISED = AlertRaised(
    alert_id="alt-1",
    team_id="org-1",
    rule=Rule.ERROR_RATE,
    subject="dpl-1",
    deployment_id="dpl-1",
    facts={"name": "hello", "errors": 12, "requests": 40},
    threshold=5,
    raised_at=NOW,
    mailed=True,
)
RESOLVED = AlertResolved(
    alert_id="alt-1",
    team_id="org-1",
    rule=Rule.ERROR_RATE,
    subject="dpl-1",
    reason=RECOVERED,
    resolved_at=NOW,
)
SET = AlertRuleChanged(
    team_id="org-1", rule=Rule.ERROR_RATE, enabled=True, threshold=10, mail=False
)


def raised(
    alerts: Alerts | None,
    *,
    alert_id: str = "alt-1",
    subject: str = "dpl-1",
    rule: Rule = Rule.ERROR_RATE,
    now: datetime = NOW,
) -> list[Event]:
    return (alerts or Alerts(team_id="org-1")).raise_(
        alert_id=alert_id,
        rule=rule,
        subject=subject,
        deployment_id="dpl-1",
        facts=RAISED.facts,
        now=now,
    )


def test_trouble_is_told_once_while_it_lasts() -> None:
    given(ALERTS).when(raised).then(RAISED)
    given(ALERTS, RAISED).when(raised).then_nothing_happened()


def test_two_subjects_and_two_rules_are_apart() -> None:
    other = msgspec.structs.replace(RAISED, alert_id="alt-2", subject="dpl-2")
    given(ALERTS, RAISED).when(lambda a: raised(a, alert_id="alt-2", subject="dpl-2")).then(other)
    given(ALERTS, RAISED, other).when(
        lambda a: a.resolve(Rule.ERROR_RATE, "dpl-1", reason=RECOVERED, now=NOW)
    ).then(RESOLVED)
    given(ALERTS, RAISED).when(
        lambda a: a.resolve(Rule.DEPLOYMENT_UNHEALTHY, "dpl-1", reason=RECOVERED, now=NOW)
    ).then_nothing_happened()


def test_what_is_over_is_over_once_and_may_begin_again() -> None:
    given(ALERTS, RAISED, RESOLVED).when(
        lambda a: a.resolve(Rule.ERROR_RATE, "dpl-1", reason=RECOVERED, now=NOW)
    ).then_nothing_happened()
    again = msgspec.structs.replace(RAISED, alert_id="alt-2")
    given(ALERTS, RAISED, RESOLVED).when(lambda a: raised(a, alert_id="alt-2")).then(again)


def test_a_rule_that_is_off_finds_nothing_and_ends_what_it_had_found() -> None:
    off = RuleSettings(enabled=False, threshold=5)
    turned_off = AlertRuleChanged(
        team_id="org-1", rule=Rule.ERROR_RATE, enabled=False, threshold=5, mail=True
    )
    ended = msgspec.structs.replace(RESOLVED, reason=TURNED_OFF)
    given(ALERTS, RAISED).when(lambda a: a.change(Rule.ERROR_RATE, off, now=NOW)).then(
        turned_off, ended
    )
    given(ALERTS, turned_off).when(raised).then_nothing_happened()


def test_a_rule_is_as_it_was_set_last_and_setting_it_so_again_changes_nothing() -> None:
    wanted = RuleSettings(threshold=10, mail=False)
    given(ALERTS, RAISED).when(lambda a: a.change(Rule.ERROR_RATE, wanted, now=NOW)).then(SET)
    given(ALERTS, SET).when(
        lambda a: a.change(Rule.ERROR_RATE, wanted, now=NOW)
    ).then_nothing_happened()
    quiet = msgspec.structs.replace(RAISED, threshold=10, mailed=False)
    given(ALERTS, SET).when(raised).then(quiet)


@pytest.mark.parametrize("threshold", [0, 101, None])
def test_a_threshold_that_means_nothing_is_refused(threshold: int | None) -> None:
    given(ALERTS, RAISED).when(
        lambda a: a.change(Rule.ERROR_RATE, RuleSettings(threshold=threshold), now=NOW)
    ).then_refused(ThresholdOutOfRange)


def test_a_rule_without_a_threshold_takes_none() -> None:
    given(ALERTS, RAISED).when(
        lambda a: a.change(Rule.DOMAIN_FAILING, RuleSettings(threshold=1), now=NOW)
    ).then_refused(ThresholdOutOfRange)


def test_a_flood_of_trouble_is_not_a_flood_of_mail() -> None:
    many = [
        msgspec.structs.replace(RAISED, alert_id=f"alt-{n}", subject=f"dpl-{n}")
        for n in range(MAILS_PER_HOUR_MAX)
    ]
    full = given(ALERTS, *many)
    [more] = full.when(lambda a: raised(a, subject="dpl-x")).events
    assert isinstance(more, AlertRaised)
    assert not more.mailed
    [later] = full.when(lambda a: raised(a, subject="dpl-x", now=NOW + timedelta(hours=1))).events
    assert isinstance(later, AlertRaised)
    assert later.mailed


def test_each_member_says_whether_mails_come_and_until_then_managers_get_them() -> None:
    off = AlertMailsChosen(team_id="org-1", user_id="usr-1", wanted=False)
    on = AlertMailsChosen(team_id="org-1", user_id="usr-1", wanted=True)
    given(ALERTS, SET).when(lambda a: a.choose_mails("usr-1", wanted=False)).then(off)
    given(ALERTS, SET, off).when(
        lambda a: a.choose_mails("usr-1", wanted=False)
    ).then_nothing_happened()
    given(ALERTS, SET, off).when(lambda a: a.choose_mails("usr-1", wanted=True)).then(on)
    undecided, declined, asked = (
        given(ALERTS, SET, *events).state for events in ((), (off,), (off, on))
    )
    assert undecided is not None
    assert declined is not None
    assert asked is not None
    assert [undecided.wants_mails("usr-1", manages=m) for m in (True, False)] == [True, False]
    assert not declined.wants_mails("usr-1", manages=True)
    assert declined.wants_mails("usr-2", manages=True)
    assert asked.wants_mails("usr-1", manages=False)


def test_what_is_the_platforms_has_no_team() -> None:
    [event] = raised(Alerts(team_id=PLATFORM), rule=Rule.EVENTS_PARKED, subject="users")
    assert isinstance(event, AlertRaised)
    assert event.team_id is None
    assert given(ALERTS, event).state == Alerts(
        team_id=PLATFORM,
        opened=given(ALERTS, event).state.opened,  # type: ignore[union-attr] # it was just made
        mailed_at=(NOW,),
    )


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_has_its_words_and_a_threshold_in_its_own_bounds(rule: Rule) -> None:
    assert title_of(rule, {"name": "hello"})
    assert detail_of(rule, {})
    kind = KINDS[rule]
    if kind.unit:
        assert kind.settings.threshold is not None
        assert kind.least <= kind.settings.threshold <= kind.most
    else:
        assert kind.settings.threshold is None
