"""Alerts are shown to the team they are about, and set by those who manage it."""

import pytest

from commands.alerts import RaiseAlert, ResolveAlert
from commands.bus import Context
from commands.identity import FollowAdminLink, IssueAdminLink
from commands.work import NOBODY, Actor
from domain.alerts.values import PLATFORM, PLATFORM_RULES, TEAM_RULES, Rule
from domain.teams.values import Role
from tests.api.conftest import Api, Visitor
from tests.api.test_routes import is_problem

FACTS: dict[str, str | int] = {"name": "hello", "errors": 12, "requests": 40}


async def begin(
    api: Api, team_id: str, subject: str = "dpl-0000000001", rule: Rule = Rule.ERROR_RATE
) -> None:
    command = RaiseAlert(
        team_id=team_id, rule=rule, subject=subject, deployment_id=subject, facts=FACTS
    )
    await api.installation.dispatch(command, Context(actor=Actor(id="alert watcher")))
    await api.installation.caught_up()


async def finish(api: Api, team_id: str, subject: str = "dpl-0000000001") -> None:
    command = ResolveAlert(team_id=team_id, rule=Rule.ERROR_RATE, subject=subject)
    await api.installation.dispatch(command, Context(actor=Actor(id="alert watcher")))
    await api.installation.caught_up()


async def appoint(api: Api, visitor: Visitor) -> None:
    user_id = visitor.account["id"]
    link = await api.installation.dispatch(IssueAdminLink(), Context(actor=NOBODY))
    person = Context(actor=Actor(id=user_id, user_id=user_id))
    await api.installation.dispatch(FollowAdminLink(token=link.result), person)
    await api.installation.caught_up()
    api.app.state.doorkeeper.forget_person(user_id)


async def test_open_and_past_alerts_are_listed_with_what_to_do(api: Api) -> None:
    anna = await api.join()
    team_id = (await anna.get("/v1/teams")).json()["teams"][0]["id"]
    await begin(api, team_id)
    await begin(api, team_id, "dpl-0000000002")
    await finish(api, team_id)
    everything = (await anna.get("/v1/alerts")).json()
    assert everything["pagination"]["total"] == 2
    [alert] = (await anna.get("/v1/alerts?state=open")).json()["alerts"]
    assert alert["title"] == "hello answers with errors"
    assert alert["detail"] == "12 of 40 requests failed in five minutes"
    assert (alert["state"], alert["severity"]) == ("open", "critical")
    assert alert["subject"] == alert["deploymentId"] == "dpl-0000000002"
    assert "logs" in alert["advice"]
    [past] = (await anna.get("/v1/alerts?state=resolved")).json()["alerts"]
    assert past["resolution"] == "recovered"
    assert past["resolvedAt"] >= past["raisedAt"]
    narrowed = await anna.get("/v1/alerts?rule=domain_failing")
    assert narrowed.json()["alerts"] == []
    one = await anna.get("/v1/alerts?deploymentId=dpl-0000000002")
    assert one.json()["pagination"]["total"] == 1
    assert is_problem(await anna.get("/v1/alerts?rule=weather"), 422)


async def test_another_team_sees_nothing_of_it(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    team_id = await anna.found_team()
    await begin(api, team_id)
    assert (await berta.get("/v1/alerts")).json()["alerts"] == []
    assert is_problem(await berta.get(f"/v1/alerts?teamId={team_id}"), 404)
    assert is_problem(await berta.get(f"/v1/alerts?teamId={PLATFORM}"), 404)
    change = {"teamId": team_id, "enabled": False}
    assert is_problem(await berta.ask("PATCH", "/v1/alerts/rules/error_rate", change), 404)


async def test_every_rule_is_on_until_the_team_says_otherwise(api: Api) -> None:
    anna = await api.join()
    rules = (await anna.get("/v1/alerts/rules")).json()["rules"]
    assert [rule["rule"] for rule in rules] == [rule.value for rule in TEAM_RULES]
    assert all(rule["enabled"] for rule in rules)
    changed = await anna.ask(
        "PATCH", "/v1/alerts/rules/error_rate", {"threshold": 25, "mail": False}
    )
    assert changed.status_code == 200, changed.text
    assert (changed.json()["threshold"], changed.json()["mail"]) == (25, False)
    [first, *_] = (await anna.get("/v1/alerts/rules")).json()["rules"]
    assert first == changed.json()


async def test_a_rule_turned_off_ends_what_it_had_found(api: Api) -> None:
    anna = await api.join()
    team_id = await anna.found_team()
    await begin(api, team_id)
    off = {"enabled": False, "teamId": team_id}
    assert (await anna.ask("PATCH", "/v1/alerts/rules/error_rate", off)).status_code == 200
    [alert] = (await anna.get(f"/v1/alerts?teamId={team_id}")).json()["alerts"]
    assert alert["resolution"] == "the rule was turned off"


@pytest.mark.parametrize(
    ("rule", "change", "status"),
    [
        ("error_rate", {"threshold": 101}, 422),
        ("domain_failing", {"threshold": 1}, 422),
        ("weather", {"enabled": False}, 404),
        ("worker_lagging", {"enabled": False}, 404),
    ],
)
async def test_what_a_rule_cannot_be_is_refused(
    api: Api, rule: str, change: dict[str, object], status: int
) -> None:
    anna = await api.join()
    assert is_problem(await anna.ask("PATCH", f"/v1/alerts/rules/{rule}", change), status)


async def test_a_developer_sees_the_rules_and_does_not_set_them(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await api.add_member(team_id, bert, Role.DEVELOPER)
    assert (await bert.get(f"/v1/alerts/rules?teamId={team_id}")).status_code == 200
    change = {"teamId": team_id, "enabled": False}
    assert is_problem(await bert.ask("PATCH", "/v1/alerts/rules/error_rate", change), 403)


async def test_members_turn_mails_off_and_on_for_themselves_only(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await api.add_member(team_id, bert, Role.VIEWER)
    path = "/v1/alerts/preferences"
    assert await _preferences(anna, team_id) == (True, False)
    assert await _preferences(bert, team_id) == (False, False)
    changed = await anna.ask("PUT", path, {"teamId": team_id, "mail": False})
    assert changed.json() == {"teamId": team_id, "mail": False, "chosen": True}
    await bert.ask("PUT", path, {"teamId": team_id, "mail": True})
    await api.installation.caught_up()
    assert await _preferences(anna, team_id) == (False, True)
    assert await _preferences(bert, team_id) == (True, True)
    assert (await anna.get(path)).json()["mail"], "the personal team's are another matter"
    audited = (await anna.get(f"/v1/audit?teamId={team_id}&type=alerts.AlertMailsChosen")).json()
    assert {event["actor"] for event in audited["events"]} == {
        anna.account["id"],
        bert.account["id"],
    }


async def _preferences(visitor: Visitor, team_id: str) -> tuple[bool, bool]:
    found = (await visitor.get(f"/v1/alerts/preferences?teamId={team_id}")).json()
    return found["mail"], found["chosen"]


async def test_the_platforms_own_trouble_is_shown_to_its_admins(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    await appoint(api, anna)
    await begin(api, PLATFORM, "users", Rule.EVENTS_PARKED)
    [alert] = (await anna.get("/v1/admin/alerts")).json()["alerts"]
    assert alert["teamId"] is None
    assert is_problem(await berta.get("/v1/admin/alerts"), 403)
    rules = (await anna.get("/v1/admin/alerts/rules")).json()["rules"]
    assert [rule["rule"] for rule in rules] == [rule.value for rule in PLATFORM_RULES]
    path = "/v1/admin/alerts/rules/worker_lagging"
    assert (await anna.ask("PATCH", path, {"threshold": 120})).json()["threshold"] == 120
    assert is_problem(await anna.ask("PATCH", path, {"threshold": 9}), 422)
    audited = (await anna.get("/v1/audit?type=alerts.AlertRuleChanged")).json()["events"]
    assert [event["actor"] for event in audited] == [anna.account["id"]]
    assert (await berta.get("/v1/audit?type=alerts.AlertRuleChanged")).json()["events"] == []
