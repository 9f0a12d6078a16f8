"""Who asks for what is not theirs is written down, once a minute; nobody fills the log by it."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from api import denials as module
from api.denials import Denials
from commands.audit import NoteDenials
from commands.bus import Bus, Command, Context, Receipt
from commands.work import Actor
from domain.audit.values import ATTEMPTS_MAX
from domain.teams.values import Role
from infrastructure.event_store import StoreUnavailable
from tests.api.conftest import Api, Visitor

MISSING = "dpl-0000000000"
NOW = datetime(2026, 3, 14, 12, 7, 59, 5, tzinfo=UTC)


async def noted(api: Api) -> int:
    """Let what was refused be noted; return how many events that were."""
    before = await api.installation.store.last_position()
    await api.app.state.denials.note()
    await api.installation.caught_up()
    return await api.installation.store.last_position() - before


async def denials_seen_by(visitor: Visitor, query: str = "") -> list[dict[str, Any]]:
    """Return the denials in an audit list, newest first."""
    answer: httpx.Response = await visitor.get(f"/v1/audit?type=audit.AccessDenied{query}")
    assert answer.status_code == 200, answer.text
    events: list[dict[str, Any]] = answer.json()["events"]
    return events


async def test_asking_for_another_teams_thing_stands_in_the_askers_own_audit_list(
    api: Api,
) -> None:
    anna, mallory = await api.join("anna"), await api.join("mallory")
    shop = await anna.deploy("shop")
    await api.installation.caught_up()
    for _ in range(3):
        assert (await mallory.get(f"/v1/deployments/{shop}")).status_code == 404
    assert (await mallory.post(f"/v1/deployments/{shop}/stop")).status_code == 404
    assert (await mallory.get(f"/v1/deployments/{MISSING}")).status_code == 404
    assert await noted(api) == 1
    assert await noted(api) == 0

    [denied] = await denials_seen_by(mallory)
    assert denied["actor"] == mallory.account["id"]
    assert denied["address"] == "192.0.2.1"
    assert denied["content"]["count"] == 5
    # What is not there and what is another team's look the same here, too.
    assert denied["content"]["attempts"] == [
        {"method": "GET", "route": "/v1/deployments/{deployment_id}", "status": 404, "count": 4},
        {
            "method": "POST",
            "route": "/v1/deployments/{deployment_id}/stop",
            "status": 404,
            "count": 1,
        },
    ]
    assert shop not in str(denied)
    assert await denials_seen_by(anna) == []


async def test_a_member_without_the_role_stands_in_the_teams_audit_list(api: Api) -> None:
    anna, vera = await api.join("anna"), await api.join("vera")
    acme = await anna.found_team()
    await api.add_member(acme, vera, Role.VIEWER)
    wish = {"appName": "x", "image": "tallyport/echo", "port": 1, "teamId": acme}
    assert (await vera.post("/v1/deployments", wish)).status_code == 403
    assert (await vera.ask("PATCH", f"/v1/teams/{acme}", {"name": "Mine"})).status_code == 403
    assert await noted(api) == 1
    [denied] = await denials_seen_by(anna, f"&teamId={acme}")
    assert denied["actor"] == vera.account["id"]
    assert [(each["method"], each["status"]) for each in denied["content"]["attempts"]] == [
        ("PATCH", 403),
        ("POST", 403),
    ]
    assert await denials_seen_by(vera) == []  # she may not read that team's list


async def test_a_key_beyond_its_scopes_stands_in_its_teams_audit_list(api: Api) -> None:
    anna = await api.join()
    key = await anna.create_key("call:*")
    program = Visitor(api, {"X-API-Key": key["apiKey"]})
    assert (await program.ask("GET", "/v1/deployments")).status_code == 403
    assert await noted(api) == 1
    [denied] = await denials_seen_by(anna)
    assert (denied["actor"], denied["content"].get("user_id")) == (key["id"], None)


async def test_what_is_refused_for_other_reasons_or_to_nobody_is_not_noted(api: Api) -> None:
    anna = await api.join()
    assert (await api.nobody.ask("GET", f"/v1/deployments/{MISSING}")).status_code == 401
    assert (await anna.ask("GET", "/v1/no/such/route")).status_code == 404
    assert (await anna.ask("GET", "/v1/deployments?limit=0")).status_code == 422
    assert await noted(api) == 0


class Log(Bus):
    """A bus whose log may be away."""

    def __init__(self) -> None:
        self.noted: list[tuple[NoteDenials, Context]] = []
        self.is_away = False

    async def dispatch(self, command: Command, context: Context) -> Receipt:
        if self.is_away or not isinstance(command, NoteDenials):
            raise StoreUnavailable
        self.noted.append((command, context))
        return Receipt(context.actor, {}, 0)


def saw(denials: Denials, number: int, *, caller: str = "usr-1") -> None:
    """Let a caller be refused at one of many routes."""
    denials.saw(
        404,
        actor=Actor(id=caller, user_id=caller),
        team_id="org-1",
        method="GET",
        route=f"/v1/{number}",
        address="192.0.2.1",
        request_id=f"request-{number}",
    )


async def test_however_many_routes_somebody_tries_it_is_one_event_of_bounded_size() -> None:
    log = Log()
    denials = Denials(log, lambda: NOW)
    for number in range(1000):
        saw(denials, number)
    await denials.note()
    [(command, context)] = log.noted
    assert (command.count, len(command.attempts)) == (1000, ATTEMPTS_MAX)
    assert context.correlation_id == "request-999"


async def test_of_very_many_callers_only_so_many_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CALLERS_MAX", 3)
    log = Log()
    denials = Denials(log, lambda: NOW)
    for number in range(10):
        saw(denials, 1, caller=f"usr-{number}")
    await denials.note()
    await denials.note()
    assert [context.actor.id for _, context in log.noted] == ["usr-0", "usr-1", "usr-2"]


async def test_what_cannot_be_noted_now_is_noted_later_and_once() -> None:
    log = Log()
    denials = Denials(log, lambda: NOW)
    saw(denials, 1)
    log.is_away = True
    await denials.note()
    saw(denials, 2)
    await denials.note()
    log.is_away = False
    await denials.note()
    await denials.note()
    [(command, _)] = log.noted
    assert command.count == 2
    assert [attempt.route for attempt in command.attempts] == ["/v1/1", "/v1/2"]
