"""Keys that somebody found: reported by whoever has one, by GitHub or by Google."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from api.services import Services
from domain.api_keys.values import assemble_key, hash_of
from infrastructure.report_signatures.published_keys import PublishedKeySignatures
from tests.api.conftest import Api, Body, Visitor
from tests.api.test_routes import is_problem
from tests.infrastructure.report_signatures.publisher import Publisher, publishing

TYPE = "tallyport_api_key"
URL = "https://github.com/octocat/hello/blob/main/config.py"
SENDERS = {"github": "Github", "google": "Gosst"}
"""How their headers begin."""
UNKNOWN = assemble_key("0" * 12, "0" * 30)


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    async with publishing() as opened:
        opened.publish("first")
        yield opened


@pytest.fixture
async def listening(api: Api, publisher: Publisher) -> Api:
    """The application where GitHub's and Google's reports are taken."""
    signatures = dict.fromkeys(SENDERS, PublishedKeySignatures(publisher.url))
    services: Services = replace(api.services, report_signatures=signatures)
    return Api(api.installation, services, api.reader)


def finding(token: str, url: str | None = URL) -> Body:
    return {"token": token, "type": TYPE, "url": url, "source": "content"}


async def send(
    api: Api, publisher: Publisher, *findings: Body, sender: str = "github", **headers: str
) -> httpx.Response:
    body = json.dumps(findings).encode()
    signed = {
        "Content-Type": "application/json",
        f"{SENDERS[sender]}-Public-Key-Identifier": "first",
        f"{SENDERS[sender]}-Public-Key-Signature": publisher.sign(body, "first"),
    }
    return await api.client.post(f"/v1/leaks/{sender}", content=body, headers={**signed, **headers})


async def until_refused(api: Api, secret: str) -> None:
    headers = {"X-API-Key": secret}
    async with asyncio.timeout(30):
        while (await api.client.get("/v1/images", headers=headers)).status_code != 401:  # noqa: ASYNC110 - the API is asked
            await asyncio.sleep(0.02)


async def history(visitor: Visitor, key: Body) -> list[Body]:
    answer = await visitor.get(f"/v1/history/{key['id']}")
    assert answer.status_code == 200, answer.text
    events: list[Body] = answer.json()["events"]
    return events


async def test_a_key_that_is_reported_is_shut_out_and_the_answer_tells_nothing(api: Api) -> None:
    anna = await api.join()
    key, other = await anna.create_key(), await anna.create_key()
    answers = [
        await api.nobody.post("/v1/leaks", {"apiKey": text})
        for text in (key["apiKey"], key["apiKey"], UNKNOWN, "what is this?")
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1
    await until_refused(api, key["apiKey"])
    still = await api.client.get("/v1/images", headers={"X-API-Key": other["apiKey"]})
    assert still.status_code == 200
    anna.position = answers[0].headers["x-tallyport-position"]
    kinds = [event["type"] for event in await history(anna, key)]
    assert kinds == ["api_keys.ApiKeyCreated", "api_keys.ApiKeyLeaked", "api_keys.ApiKeyRevoked"]


@pytest.mark.parametrize("sender", SENDERS)
async def test_who_scans_reports_keys_and_hears_which_were_ours(
    listening: Api, publisher: Publisher, sender: str
) -> None:
    anna = await listening.join()
    live, gone = await anna.create_key(), await anna.create_key()
    await anna.ask("DELETE", f"/v1/api-keys/{gone['id']}")
    tokens = [live["apiKey"], live["apiKey"], gone["apiKey"], UNKNOWN, "tp_live_nonsense"]
    url = f"https://x.test/?key={live['apiKey']}"
    for _ in range(2):  # they may send it again
        found = [finding(each, url) for each in tokens]
        answer = await send(listening, publisher, *found, sender=sender)
        assert answer.status_code == 200, answer.text
        assert answer.json() == [
            {"token_hash": hash_of(token), "token_type": TYPE, "label": label}
            for token, label in zip(
                tokens, ["true_positive"] * 3 + ["false_positive"] * 2, strict=True
            )
        ]
    await until_refused(listening, live["apiKey"])
    anna.position = answer.headers["x-tallyport-position"]
    events = await history(anna, live)
    kinds = [event["type"] for event in events]
    assert kinds == ["api_keys.ApiKeyCreated", "api_keys.ApiKeyLeaked", "api_keys.ApiKeyRevoked"]
    assert events[1]["content"]["url"] == f"https://x.test/?key={live['prefix']}..."
    assert events[1]["content"]["reported_by"] == sender
    assert events[2]["content"]["reason"] == "leaked"
    assert live["apiKey"] not in str(events)
    assert len(await history(anna, gone)) == 2


async def test_of_a_rotated_key_only_the_leaked_secret_ends(
    listening: Api, publisher: Publisher
) -> None:
    anna = await listening.join()
    key = await anna.create_key()
    path = f"/v1/api-keys/{key['id']}/rotate"
    rotated = (await anna.post(path, {"graceSeconds": 3600})).json()
    answer = await send(listening, publisher, finding(key["apiKey"], None))
    assert answer.json()[0]["label"] == "true_positive"
    await until_refused(listening, key["apiKey"])
    headers = {"X-API-Key": rotated["apiKey"]}
    assert (await listening.client.get("/v1/images", headers=headers)).status_code == 200


async def test_what_github_did_not_sign_changes_nothing(
    listening: Api, publisher: Publisher
) -> None:
    anna = await listening.join()
    key = await anna.create_key()
    before = await listening.installation.store.last_position()
    for headers in (
        {"Github-Public-Key-Identifier": ""},
        {"Github-Public-Key-Signature": ""},
        {"Github-Public-Key-Identifier": "another"},
        {"Github-Public-Key-Signature": publisher.sign(b"[]", "first")},
        {"Github-Public-Key-Signature": "\u00e9"},
    ):
        sent = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = await send(listening, publisher, finding(key["apiKey"]), **sent)  # type: ignore[arg-type]
        assert is_problem(answer, 403), headers
        assert key["apiKey"] not in answer.text
    publisher.answer = ("500 Internal Server Error", b"")
    stranger = Api(
        listening.installation,
        replace(
            listening.services,
            report_signatures={"github": PublishedKeySignatures(publisher.url)},
        ),
        listening.reader,
    )
    away = await send(stranger, publisher, finding(key["apiKey"]))
    assert is_problem(away, 503)
    assert "retry-after" in away.headers
    assert await listening.installation.store.last_position() == before


async def test_a_report_that_is_none_is_refused_without_repeating_it(
    listening: Api, publisher: Publisher
) -> None:
    too_many = [finding(UNKNOWN)] * 1001
    for body in ({"token": UNKNOWN}, [{"token": UNKNOWN}], [UNKNOWN], [finding(7)], too_many):  # type: ignore[arg-type]
        answer = await listening.nobody.post("/v1/leaks/github", body)
        assert is_problem(answer, 422)
        assert UNKNOWN not in answer.text
    more = {**finding(UNKNOWN), "confidence": "high"}
    assert (await send(listening, publisher, more)).status_code == 200
    assert (await send(listening, publisher)).json() == []


@pytest.mark.parametrize("sender", SENDERS)
async def test_without_the_setting_reports_are_not_taken(
    api: Api, publisher: Publisher, sender: str
) -> None:
    answer = await send(api, publisher, finding(UNKNOWN), sender=sender)
    assert is_problem(answer, 404)
    assert answer.json()["error"]["code"] == "reports_not_taken"


async def test_what_one_sender_signed_is_not_taken_from_another(
    listening: Api, publisher: Publisher
) -> None:
    body = json.dumps([finding(UNKNOWN)]).encode()
    headers = {
        "Content-Type": "application/json",
        "Github-Public-Key-Identifier": "first",
        "Github-Public-Key-Signature": publisher.sign(body, "first"),
    }
    answer = await listening.client.post("/v1/leaks/google", content=body, headers=headers)
    assert is_problem(answer, 403)


async def test_a_team_that_is_only_told_keeps_its_key(api: Api) -> None:
    careful = api.another(revoke_leaked_keys=False)
    anna = await api.join()
    key = await anna.create_key()
    for _ in range(2):
        answer = await careful.nobody.post("/v1/leaks", {"apiKey": key["apiKey"]})
        assert answer.status_code == 200
    anna.position = answer.headers["x-tallyport-position"]
    shown = (await anna.get(f"/v1/api-keys/{key['id']}")).json()
    assert shown["leakedAt"] is not None
    assert [event["type"] for event in await history(anna, key)] == [
        "api_keys.ApiKeyCreated",
        "api_keys.ApiKeyLeaked",
    ]
    headers = {"X-API-Key": key["apiKey"]}
    assert (await api.client.get("/v1/images", headers=headers)).status_code == 200
    await careful.close()
