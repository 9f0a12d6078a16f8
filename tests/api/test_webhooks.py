"""Webhooks over HTTP: made and shown to their team, with a secret that is shown once."""

from datetime import UTC, datetime, timedelta

from domain.teams.values import Role
from infrastructure.webhooks import Attempt, Verdict
from infrastructure.webhooks.postgres import PostgresLedger
from projections.live import LIVE_TYPES
from tests.api.conftest import Api
from tests.api.test_routes import is_problem

URL = "https://hooks.example.com/t?token=canary"


async def test_a_webhook_is_made_and_its_secret_shown_once(api: Api) -> None:
    anna = await api.join()
    wish = {"url": URL, "eventTypes": ["key.*", "deployment.*"], "description": "to the pager"}
    answer = await anna.post("/v1/webhooks", wish)
    assert answer.status_code == 201
    made = answer.json()
    assert made["secret"].startswith("whsec_")
    assert answer.headers["location"] == f"/v1/webhooks/{made['id']}"
    shown = await anna.get(f"/v1/webhooks/{made['id']}")
    assert shown.headers["etag"] == answer.headers["etag"]
    webhook = shown.json()
    assert (webhook["url"], webhook["description"]) == (URL, "to the pager")
    assert webhook["eventTypes"] == ["deployment.*", "key.*"]
    assert (webhook["enabled"], webhook["disabledReason"]) == (True, None)
    assert webhook["createdBy"] == anna.account["id"]
    assert "secret" not in webhook
    second = await anna.add_webhook("*")
    listed = (await anna.get("/v1/webhooks?sort=createdAt")).json()
    assert [each["id"] for each in listed["webhooks"]] == [made["id"], second["id"]]
    assert listed["webhooks"][0] == webhook
    assert listed["pagination"]["total"] == 2


async def test_a_repeated_request_makes_one_and_shows_the_same_secret(api: Api) -> None:
    anna = await api.join()
    wish = {"url": URL, "eventTypes": ["*"]}
    first, again = [await anna.post("/v1/webhooks", wish, Idempotency_Key="once") for _ in range(2)]
    assert first.json() == again.json()
    assert (await anna.get("/v1/webhooks")).json()["pagination"]["total"] == 1


async def test_the_url_is_in_no_audit_list_and_no_error(api: Api) -> None:
    anna = await api.join()
    made = await anna.add_webhook("*", url=URL)
    listed = await anna.get("/v1/audit")
    history = await anna.get(f"/v1/history/{made['id']}")
    assert [each["type"] for each in history.json()["events"]] == ["webhooks.WebhookCreated"]
    refused = await anna.post(
        "/v1/webhooks", {"url": URL.replace("https", "http"), "eventTypes": ["*"]}
    )
    assert is_problem(refused, 422)
    for answer in (listed, history, refused):
        assert "canary" not in answer.text


async def test_a_webhook_is_changed_in_the_version_that_was_read(api: Api) -> None:
    anna = await api.join()
    made = await anna.add_webhook("*")
    path = f"/v1/webhooks/{made['id']}"
    shown = await anna.get(path)
    changed = await anna.ask(
        "PATCH", path, {"enabled": False, "url": URL}, If_Match=shown.headers["etag"]
    )
    assert changed.status_code == 200
    assert (changed.json()["enabled"], changed.json()["url"]) == (False, URL)
    stale = await anna.ask("PATCH", path, {"enabled": True}, If_Match=shown.headers["etag"])
    assert is_problem(stale, 412)
    now = (await anna.get(path)).json()
    assert (now["enabled"], now["disabledReason"]) == (False, "asked")
    assert is_problem(await anna.ask("PATCH", path, {}), 422)
    again = await anna.ask("PATCH", path, {"enabled": True, "eventTypes": ["domain.*"]})
    assert (again.json()["enabled"], again.json()["eventTypes"]) == (True, ["domain.*"])


async def test_for_a_grace_there_are_two_secrets(api: Api) -> None:
    clock_at = datetime.now(UTC)
    anna = await api.join()
    made = await anna.add_webhook("*")
    path = f"/v1/webhooks/{made['id']}"
    rotated = await anna.post(f"{path}/rotate-secret", {"graceSeconds": 3600})
    assert rotated.status_code == 200
    assert rotated.json()["secret"] not in {made["secret"], ""}
    until = datetime.fromisoformat(rotated.json()["previousSecretUntil"])
    assert until >= clock_at + timedelta(seconds=3600)
    shown = (await anna.get(path)).json()
    assert shown["previousSecretUntil"] == rotated.json()["previousSecretUntil"]
    ended = await anna.post(f"{path}/rotate-secret", {"graceSeconds": 0})
    assert ended.json()["previousSecretUntil"] is None
    assert (await anna.get(path)).json()["previousSecretUntil"] is None


async def test_a_deleted_webhook_is_gone_and_keeps_its_history(api: Api) -> None:
    anna = await api.join()
    made = await anna.add_webhook("*")
    path = f"/v1/webhooks/{made['id']}"
    deleted = await anna.ask("DELETE", path)
    assert deleted.json() == {"message": "Webhook deleted successfully"}
    assert is_problem(await anna.get(path), 404)
    assert is_problem(await anna.ask("DELETE", path), 404)
    assert is_problem(await anna.ask("PATCH", path, {"enabled": True}), 404)
    history = (await anna.get(f"/v1/history/{made['id']}")).json()["events"]
    assert [each["type"] for each in history][-1] == "webhooks.WebhookDeleted"


async def test_only_those_who_may_write_see_a_webhook(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    anna.team_id = await anna.found_team()
    made = await anna.add_webhook("*")
    await api.add_member(anna.team_id, berta, Role.VIEWER)
    berta.position = anna.position
    assert is_problem(await berta.get(f"/v1/webhooks/{made['id']}"), 403)
    assert (await berta.get("/v1/webhooks")).json()["webhooks"] == []


async def test_a_team_has_only_so_many_webhooks(api: Api) -> None:
    few = api.another(webhooks_max=1)
    anna = (await api.join()).at(few)
    await anna.add_webhook("*")
    await api.installation.caught_up()
    refused = await anna.post("/v1/webhooks", {"url": URL, "eventTypes": ["*"]})
    assert is_problem(refused, 429)
    assert refused.json()["error"]["code"] == "too_many_webhooks"
    await few.close()


async def test_the_types_that_can_be_asked_for_are_listed(api: Api) -> None:
    anna = await api.join()
    listed = (await anna.get("/v1/webhooks/event-types")).json()["eventTypes"]
    assert [each["type"] for each in listed] == list(LIVE_TYPES)
    for each in listed:
        await anna.add_webhook(each["type"])


async def test_a_name_with_any_address_of_ours_is_refused(api: Api) -> None:
    answers: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        assert (host, port) == ("rebinding.example.com", 443)
        return answers

    inside = api.with_services(lookup=lookup)
    anna = (await api.join()).at(inside)
    for answers[:] in (
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["fd00::1"],
        ["64:ff9b::7f00:1"],
        ["93.184.215.14", "192.168.0.1"],
        ["93.184.215.14", "fd00::1"],
    ):
        wish = {"url": "https://rebinding.example.com/", "eventTypes": ["*"]}
        refused = await anna.post("/v1/webhooks", wish)
        assert is_problem(refused, 422), answers
        assert refused.json()["error"]["code"] == "invalid_webhook_url"
    await inside.close()


ADDRESSES = "127.0.0.1 0.0.0.0 10.1.2.3 169.254.169.254 100.64.0.1 224.0.0.1 255.255.255.255"
LONG_ADDRESSES = "[::1] [::] [fd00::8] [::ffff:127.0.0.1] [64:ff9b::7f00:1] [fe80::1]"


async def test_an_address_of_ours_is_refused(api: Api) -> None:
    anna = await api.join()
    for host in (ADDRESSES + " " + LONG_ADDRESSES).split():
        wish = {"url": f"https://{host}/", "eventTypes": ["*"]}
        assert is_problem(await anna.post("/v1/webhooks", wish), 422), host


async def test_a_name_that_nobody_knows_yet_is_taken_and_a_vouched_one_not_asked_for(
    api: Api,
) -> None:
    async def lookup(host: str, port: int) -> list[str]:
        raise OSError(f"{host}:{port}")

    away = api.another(webhook_hosts=("hooks.internal:3000",)).with_services(lookup=lookup)
    anna = (await api.join()).at(away)
    await anna.add_webhook("*", url="https://new.example.com/")
    made = await anna.add_webhook("*", url="http://hooks.internal:3000/x")
    assert made["url"] == "http://hooks.internal:3000/x"
    await away.close()


async def test_what_was_told_is_listed_with_every_answer(api: Api) -> None:
    anna = await api.join()
    webhook = await anna.add_webhook("*")
    taken = await anna.add_delivery(webhook)
    waiting = await anna.add_delivery(webhook, event_type="domain.failed")
    ledger = PostgresLedger(api.installation.pool)
    at = datetime.now(UTC)
    due = {
        each.message.delivery_id: each
        for each in await ledger.due(
            now=at,
            limit=9,
            per_endpoint=9,
            under_way=[],
            busy={},
            failing=False,
        )
    }
    said = "<script>alert(1)</script>"
    refused = Attempt(at=at, duration_ms=7, status=500, answer=said, problem="It answered 500.")
    soon = Verdict(status="pending", due_at=at + timedelta(minutes=5))
    for each in (taken, waiting):
        await ledger.record(due[each], refused, soon)
    thanked = Attempt(at=at, duration_ms=8, status=204, answer="")
    await ledger.record(due[taken], thanked, Verdict(status="delivered"))

    path = f"/v1/webhooks/{webhook['id']}/deliveries"
    listed = (await anna.get(path)).json()
    assert [each["id"] for each in listed["deliveries"]] == [waiting, taken]
    pending, delivered = listed["deliveries"]
    assert (pending["status"], pending["responseStatus"]) == ("pending", 500)
    assert pending["problem"] == "It answered 500."
    assert pending["nextAttemptAt"] is not None
    assert (delivered["status"], delivered["attempts"]) == ("delivered", 2)
    assert (delivered["nextAttemptAt"], delivered["problem"]) == (None, None)
    for query, wanted in (("status=delivered", [taken]), ("eventType=domain.failed", [waiting])):
        found = (await anna.get(f"{path}?{query}")).json()["deliveries"]
        assert [each["id"] for each in found] == wanted
    assert is_problem(await anna.get(f"{path}?status=lost"), 422)
    first = (await anna.get(f"{path}?limit=1")).json()
    rest = (await anna.get(f"{path}?cursor={first['pagination']['nextCursor']}")).json()
    assert [each["id"] for each in rest["deliveries"]] == [taken]

    shown = (await anna.get(f"/v1/webhooks/deliveries/{taken}")).json()
    assert shown["requestBody"] == '{"type":"key.created"}'
    assert [each["responseStatus"] for each in shown["attemptLog"]] == [500, 204]
    assert shown["attemptLog"][0]["responseBody"] == said


async def test_a_wish_to_send_again_is_in_the_log(api: Api) -> None:
    anna = await api.join()
    webhook = await anna.add_webhook("*")
    delivery_id = await anna.add_delivery(webhook)
    path = f"/v1/webhooks/{webhook['id']}"
    tested = await anna.post(f"{path}/test")
    retried = await anna.post(f"/v1/webhooks/deliveries/{delivery_id}/retry")
    replayed = await anna.post(f"{path}/replay", {"since": "2026-01-01T00:00:00Z"})
    assert [each.status_code for each in (tested, retried, replayed)] == [202, 202, 202]
    assert tested.json()["deliveryId"].startswith("whd-")
    assert retried.json()["deliveryId"] == delivery_id
    history = (await anna.get(f"/v1/history/{webhook['id']}")).json()["events"]
    assert [each["type"].partition(".")[2] for each in history[1:]] == [
        "WebhookTestRequested",
        "WebhookRetryRequested",
        "WebhookReplayRequested",
    ]
    late = await anna.post(f"{path}/replay", {"since": "2100-01-01T00:00:00Z"})
    assert is_problem(late, 422)
    assert late.json()["error"]["code"] == "nothing_to_replay"
    await anna.ask("PATCH", path, {"enabled": False})
    refused = await anna.post(f"/v1/webhooks/deliveries/{delivery_id}/retry")
    assert is_problem(refused, 422)
    assert refused.json()["error"]["code"] == "webhook_is_disabled"
