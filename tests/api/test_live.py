"""Live events over a real WebSocket: everything once, in order, and only what is one's own."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from api.live import hub as hub_module
from api.live.queues import TooSlow
from bootstrap.api_servers import server_config
from commands.alerts import RaiseAlert, ResolveAlert
from commands.bus import Context
from commands.certificates import NoteCertificate, NoteFailedOrder
from commands.work import Actor
from domain.alerts.values import Rule
from domain.certificates.values import Facts
from domain.deployments.values import ReplicaPhase
from infrastructure.ending import end
from projections.live import LiveEvent
from tests.api.conftest import Api, Visitor
from tests.api.test_domains import check, path_of

Message = dict[str, Any]
READY = ReplicaPhase.READY


class Server:
    """The application on a port of its own."""

    def __init__(self, api: Api) -> None:
        config = server_config(api.app, host="127.0.0.1", port=0)
        self.server = uvicorn.Server(config)

    @property
    def url(self) -> str:
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"ws://127.0.0.1:{port}/v1/events"


@contextlib.asynccontextmanager
async def serving(api: Api) -> AsyncIterator[Server]:
    served = Server(api)
    task = asyncio.create_task(served.server._serve())
    while not served.server.started:  # noqa: ASYNC110 - it says so there
        await asyncio.sleep(0.01)
    yield served
    served.server.should_exit = True
    await task


@pytest.fixture
async def server(api: Api) -> AsyncIterator[Server]:
    async with serving(api) as served:
        yield served


@contextlib.asynccontextmanager
async def watching(
    server: Server, visitor: Visitor, query: str = ""
) -> AsyncIterator[ClientConnection]:
    ticket = (await visitor.post("/v1/events/ticket")).json()["ticket"]
    async with connect(f"{server.url}?ticket={ticket}{query}") as socket:
        yield socket


async def messages(socket: ClientConnection, count: int) -> list[Message]:
    async with asyncio.timeout(20):
        return [json.loads(await socket.recv()) for _ in range(count)]


async def close_code(socket: ClientConnection) -> int:
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionClosed):
            async for _ in socket:
                pass
        await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code


def kinds(told: list[Message]) -> list[tuple[str, str, str | None]]:
    return [
        (each["type"], each["data"].get("status"), each["data"].get("previousStatus"))
        for each in told
    ]


async def test_a_deployments_life_is_told_as_it_happens(api: Api, server: Server) -> None:
    anna = await api.join()
    async with watching(server, anna) as socket:
        deployment_id = await anna.deploy("live-api")
        await api.report(deployment_id, READY)
        await anna.ask("PUT", f"/v1/deployments/{deployment_id}", {"image": "tallyport/echo:2"})
        told = await messages(socket, 4)
        assert kinds(told) == [
            ("deployment.created", "pending", None),
            ("deployment.status.changed", "running", "pending"),
            ("deployment.updated", "updating", "running"),
            ("deployment.status.changed", "updating", "running"),
        ]
        assert {each["deploymentId"] for each in told} == {deployment_id}
        assert all(each["timestamp"].endswith("Z") for each in told)
        await anna.ask("DELETE", f"/v1/deployments/{deployment_id}", Prefer="respond-async")
        await api.report(deployment_id)
        assert kinds(await messages(socket, 2)) == [
            ("deployment.status.changed", "deleting", "updating"),
            ("deployment.deleted", "deleted", "deleting"),
        ]


async def test_a_domain_is_told_when_it_is_verified_and_once_for_each_new_failure(
    api: Api, server: Server
) -> None:
    anna = await api.join()
    shop = await anna.deploy("shop")
    domain = await anna.add_domain(shop)
    proof = domain["dnsRecords"][1]["value"]
    async with watching(server, anna) as socket:
        await check(api, domain, alias="old.example.org", text=proof)
        for _ in range(2):
            domain = (await anna.get(path_of(domain))).json()
            await check(api, domain, alias=None, text=proof)
        domain = (await anna.get(path_of(domain))).json()
        await check(api, domain, alias="shop.apps.localhost", text=proof)
        wrong, missing, verified = await messages(socket, 3)
    assert [each["type"] for each in (wrong, missing, verified)] == [
        "domain.failed",
        "domain.failed",
        "domain.verified",
    ]
    assert verified["deploymentId"] == shop
    assert verified["data"] == {
        "domainId": domain["id"],
        "domain": "www.example.com",
        "status": "active",
        "previousStatus": "pending",
    }
    assert wrong["data"]["status"] == "pending"
    assert "old.example.org" in wrong["data"]["reason"]
    assert "NXDOMAIN" in missing["data"]["reason"]


async def test_a_domains_certificate_is_told_when_it_is_there_and_each_time_it_could_not_be_had(
    api: Api, server: Server
) -> None:
    anna = await api.join()
    domain = await anna.add_domain(await anna.deploy("shop"))
    moment = datetime(2026, 11, 23, 12, tzinfo=UTC)
    facts = Facts(issuer="Our Root", fingerprint="ab" * 32, not_before=moment, not_after=moment)
    keeper = Context(actor=Actor(id="certificate keeper"))
    failed = NoteFailedOrder(
        domain_id=domain["id"], reason="Nobody answered.", failures=1, retry_at=moment
    )
    async with watching(server, anna) as socket:
        for command in (failed, failed, NoteCertificate(domain_id=domain["id"], facts=facts)):
            await api.installation.dispatch(command, keeper)
        told = await messages(socket, 2)
    whose = {"domainId": domain["id"], "domain": "www.example.com"}
    said = {"reason": "Nobody answered.", "failures": 1, "retryAt": "2026-11-23T12:00:00Z"}
    assert [(each["type"], each["data"]) for each in told] == [
        ("domain.certificate.failed", {**whose, **said}),
        (
            "domain.certificate.issued",
            {**whose, "issuer": "Our Root", "notAfter": "2026-11-23T12:00:00Z"},
        ),
    ]


async def test_keys_are_told_without_their_secrets(api: Api, server: Server) -> None:
    anna = await api.join()
    async with watching(server, anna) as socket:
        key = await anna.create_key()
        await anna.ask("DELETE", f"/v1/api-keys/{key['id']}")
        told = await messages(socket, 2)
    assert [each["type"] for each in told] == ["key.created", "key.revoked"]
    assert {each["keyId"] for each in told} == {key["id"]}
    assert key["apiKey"] not in json.dumps(told)


async def test_an_alert_is_told_when_it_begins_and_when_it_is_over(
    api: Api, server: Server
) -> None:
    anna = await api.join()
    team_id = anna.account["teamId"]
    place = {"team_id": team_id, "rule": Rule.LIMIT_BREACHED, "subject": "key-0000000001"}
    watcher = Context(actor=Actor(id="alert watcher"))
    async with watching(server, anna) as socket:
        facts: dict[str, str | int] = {"name": "till", "refused": 20}
        await api.installation.dispatch(RaiseAlert(**place, facts=facts), watcher)
        await api.installation.dispatch(ResolveAlert(**place), watcher)
        told = await messages(socket, 3)
    assert [each["type"] for each in told] == ["alert.raised", "limit.breached", "alert.resolved"]
    assert {each["keyId"] for each in told} == {"key-0000000001"}
    assert told[0]["data"]["title"] == "API key till is over its limit"
    assert told[0]["data"]["alertId"] == told[2]["data"]["alertId"]


async def test_nobody_hears_of_another_team(api: Api, server: Server) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    async with watching(server, anna) as socket:
        await bert.deploy("berts-api")
        mine = await anna.deploy("annas-api")
        [told] = await messages(socket, 1)
    assert told["deploymentId"] == mine


@pytest.mark.parametrize("remembered_max", [5_000, 2])
async def test_who_comes_back_misses_nothing_and_hears_nothing_twice(
    api: Api, server: Server, remembered_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "REMEMBERED_MAX", remembered_max)
    hub = api.services.live
    assert isinstance(hub, hub_module.Hub)
    hub._remembered = deque(maxlen=remembered_max)
    anna = await api.join()
    async with watching(server, anna) as socket:
        deployment_id = await anna.deploy("live-api")
        await api.report(deployment_id, READY)
        for image in range(3):
            path = f"/v1/deployments/{deployment_id}"
            await anna.ask("PUT", path, {"image": f"tallyport/echo:{image + 2}"})
        whole = await messages(socket, 6)
    await anna.deploy("other-api")
    for at, message in enumerate(whole):
        async with watching(server, anna, f"&since={message['cursor']}") as socket:
            rest = await messages(socket, len(whole) - at)
        assert rest[:-1] == whole[at + 1 :]
        assert rest[-1]["type"] == "deployment.created"
    async with watching(server, anna, "&since=0") as socket:
        assert (await messages(socket, 6)) == whole


async def test_who_comes_back_to_a_process_that_just_began_misses_nothing(api: Api) -> None:
    installation = api.installation
    other = hub_module.Hub(installation.stream(), installation.store, installation.codec)
    anna = await api.join()
    await anna.deploy("first-api")
    since = hub_module.place_of(anna.position)
    await anna.deploy("second-api")

    async def first_heard() -> LiveEvent:
        async with contextlib.aclosing(other.watch(lambda _: True, since=since)) as told:
            return await anext(told)

    early = asyncio.create_task(first_heard())
    await asyncio.sleep(0)
    following = asyncio.create_task(other.run(asyncio.Event()))
    async with asyncio.timeout(30):
        assert hub_module.place_of((await early).cursor)[0] <= int(anna.position)
    await end(following)


async def test_who_comes_back_to_a_process_that_is_behind_hears_nothing_twice(api: Api) -> None:
    installation = api.installation
    behind = hub_module.Hub(installation.stream(), installation.store, installation.codec)
    anna = await api.join()
    await anna.deploy("first-api")
    behind._floor = await installation.store.last_position()
    behind._begun.set()
    await anna.deploy("second-api")
    end_of_log = await installation.store.last_position()

    def event(position: int) -> LiveEvent:
        now = datetime.now(UTC)
        return LiveEvent(cursor=f"{position}.1", type="key.created", team_id="", timestamp=now)

    # The second place is of a log that was longer, before a backup was restored.
    for since in (end_of_log, end_of_log + 1_000):
        told = behind.watch(lambda _: True, since=(since, 1))
        heard = asyncio.ensure_future(anext(told))
        async with asyncio.timeout(30):
            while not behind._watchers:  # noqa: ASYNC110 - it is one of them when it is
                await asyncio.sleep(0.01)
            new = event(end_of_log + 1)
            for each in (event(end_of_log), new):
                behind._broadcast(each)
            assert await heard == new
        await told.aclose()
        behind._remembered.clear()


async def test_a_position_of_the_log_is_a_place_to_go_on_from(api: Api, server: Server) -> None:
    anna = await api.join()
    await anna.deploy("first-api")
    position = anna.position
    await anna.deploy("second-api")
    async with watching(server, anna, f"&since={position}") as socket:
        [told] = await messages(socket, 1)
    assert int(told["cursor"].partition(".")[0]) > int(position)


async def test_a_ticket_opens_one_socket_only(api: Api, server: Server) -> None:
    anna = await api.join()
    ticket = (await anna.post("/v1/events/ticket")).json()["ticket"]
    async with connect(f"{server.url}?ticket={ticket}"):
        pass
    for wrong in (ticket, ticket[:-1], f"x{ticket}", "", "a.b.c.d", "é"):
        async with connect(f"{server.url}?ticket={wrong}") as socket:
            assert await close_code(socket) == 4401


async def test_a_key_with_the_scope_may_watch_and_hears_what_it_may_read(
    api: Api, server: Server
) -> None:
    anna = await api.join()
    key = (await anna.create_key("deployments:read"))["apiKey"]
    async with connect(f"{server.url}?token={key}") as socket:
        await anna.create_key()
        await anna.deploy("live-api")
        [told] = await messages(socket, 1)
    assert told["type"] == "deployment.created"
    async with connect(server.url, additional_headers={"X-API-Key": key}) as socket:
        await anna.deploy("second-api")
        assert (await messages(socket, 1))[0]["type"] == "deployment.created"


async def test_a_stranger_or_another_page_is_not_let_in(api: Api, server: Server) -> None:
    anna = await api.join()
    key = (await anna.create_key("deployments:read"))["apiKey"]
    async with connect(server.url) as socket:
        assert await close_code(socket) == 4401
    async with connect(f"{server.url}?token=nonsense") as socket:
        assert await close_code(socket) == 4401
    async with connect(f"{server.url}?token={key}", origin="https://evil.example") as socket:  # type: ignore[arg-type]
        assert await close_code(socket) == 4401
    async with connect(f"{server.url}?token={key}&since=soon") as socket:
        assert await close_code(socket) == 4403


async def test_who_signs_out_hears_no_more(api: Api, server: Server) -> None:
    anna = await api.join()
    async with watching(server, anna) as socket:
        await anna.post("/v1/auth/logout")
        assert await close_code(socket) == 4401


async def test_a_revoked_key_hears_no_more(api: Api, server: Server) -> None:
    anna = await api.join()
    key = await anna.create_key("deployments:read")
    async with connect(f"{server.url}?token={key['apiKey']}") as socket:
        await anna.ask("DELETE", f"/v1/api-keys/{key['id']}")
        assert await close_code(socket) == 4401


async def test_hundreds_of_idle_watchers_cost_nothing_and_all_hear(
    api: Api, server: Server
) -> None:
    anna = await api.join()
    key = (await anna.create_key("deployments:read"))["apiKey"]
    async with contextlib.AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connect(f"{server.url}?token={key}"))
            for _ in range(300)
        ]
        await anna.deploy("heard-by-all")
        told = await asyncio.gather(*(messages(socket, 1) for socket in sockets))
    assert len({each[0]["deploymentId"] for each in told}) == 1


async def test_who_does_not_listen_is_let_go_and_may_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "WAITING_MAX", 3)
    watcher = hub_module.Watcher(lambda _: True)
    now = datetime.now(UTC)
    event = LiveEvent(cursor="1.1", type="key.created", team_id="org-0000000001", timestamp=now)
    for _ in range(5):
        watcher.put(event)
    assert [await watcher.next() for _ in range(3)] == [event] * 3
    with pytest.raises(TooSlow):
        await watcher.next()
