"""Logs that go on: over HTTP and over a WebSocket, each line once, for those who may read it."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api.live import lines as following
from api.live.queues import TooSlow, Waiting
from projections.analytics.logs import ClickHouseLogSink
from tests.api.conftest import Api, Visitor
from tests.api.test_live import Server, close_code, serving
from workers.provisioner import CollectedLine


class Container:
    """Writes lines as the provisioner would store them."""

    def __init__(self, api: Api, team_id: str, deployment_id: str, name: str = "r1") -> None:
        self._sink = ClickHouseLogSink(api.services.logs._clickhouse)
        self._place = (team_id, deployment_id, f"{deployment_id}-{name}")

    async def writes(self, *messages: str) -> None:
        team_id, deployment_id, replica_id = self._place
        await self._sink.write(
            [
                CollectedLine(
                    deployment_id=deployment_id,
                    team_id=team_id,
                    replica_id=replica_id,
                    timestamp_ns=time.time_ns() + number,
                    ordinal=0,
                    source="stdout",
                    level="info",
                    message=message,
                )
                for number, message in enumerate(messages)
            ]
        )


@pytest.fixture
async def server(api: Api) -> AsyncIterator[Server]:
    async with serving(api.another(follow_seconds_max=60)) as served:
        yield served


async def followed(
    server: Server,
    visitor: Visitor,
    path: str,
) -> AsyncGenerator[dict[str, Any], None]:
    url = server.url.replace("ws://", "http://").removesuffix("/v1/events")
    async with (
        httpx.AsyncClient(base_url=url, headers=visitor.headers, timeout=30) as client,
        client.stream("GET", path, headers={"X-Tallyport-Min-Position": visitor.position}) as got,
    ):
        assert got.status_code == 200
        assert got.headers["content-type"] == "application/x-ndjson"
        async for text in got.aiter_lines():
            yield json.loads(text)


async def start(api: Api) -> tuple[Visitor, str, Container]:
    anna = await api.join()
    deployment_id = await anna.deploy("talking-api")
    team_id = (await anna.get("/v1/user/profile")).json()["teamId"]
    return anna, deployment_id, Container(api, team_id, deployment_id)


async def test_a_followed_log_begins_with_its_last_lines_and_goes_on(
    api: Api,
    server: Server,
) -> None:
    anna, deployment_id, container = await start(api)
    await container.writes("one", "two", "three")
    path = f"/v1/deployments/{deployment_id}/logs?follow=true&tail=2"
    heard = []
    async with asyncio.timeout(30), contextlib.aclosing(followed(server, anna, path)) as lines:
        async for line in lines:
            heard.append(line["message"])
            if heard[-1] == "three":
                await container.writes("four", "five")
                await Container(api, *container._place[:2], "r2").writes("six")
            if len(heard) == 5:
                break
    assert heard[:2] == ["two", "three"]
    assert sorted(heard[2:]) == ["five", "four", "six"]
    assert heard.index("four") < heard.index("five")
    readers = api.services.followers._readers  # type: ignore[attr-defined]
    async with asyncio.timeout(30):
        while readers:  # noqa: ASYNC110 - it notices when it notices
            await asyncio.sleep(0.01)


async def test_a_socket_brings_the_lines_that_are_sought(
    api: Api,
    server: Server,
) -> None:
    anna, deployment_id, container = await start(api)
    ticket = (await anna.post("/v1/events/ticket")).json()["ticket"]
    url = server.url.replace("/events", f"/deployments/{deployment_id}/logs/stream")
    await anna.get(f"/v1/deployments/{deployment_id}")
    await container.writes("all is well", "an ERROR at first")
    async with connect(f"{url}?ticket={ticket}&search=error") as socket, asyncio.timeout(30):
        assert json.loads(await socket.recv())["message"] == "an ERROR at first"
        await container.writes("nothing", "Error again")
        line = json.loads(await socket.recv())
    assert line["message"] == "Error again"
    assert set(line) == {"timestamp", "level", "message", "source", "replica"}


async def test_a_socket_that_takes_too_little_is_sent_what_could_be_kept_and_told_to_come_back(
    api: Api,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "WAITING_MAX", 2)
    anna, deployment_id, container = await start(api)
    ticket = (await anna.post("/v1/events/ticket")).json()["ticket"]
    url = server.url.replace("/events", f"/deployments/{deployment_id}/logs/stream")
    await anna.get(f"/v1/deployments/{deployment_id}")
    await container.writes("one")
    heard = []
    async with connect(f"{url}?ticket={ticket}") as socket, asyncio.timeout(30):
        heard.append(json.loads(await socket.recv())["message"])
        await container.writes("two", "three", "four", "five")
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                heard.append(json.loads(text)["message"])  # noqa: PERF401  it ends by an exception
        assert socket.close_code == 1013
    assert heard == ["one", "two", "three"]


async def test_nobody_follows_what_is_not_theirs(
    api: Api,
    server: Server,
) -> None:
    anna, deployment_id, _ = await start(api)
    bert = await api.join("bert")
    await anna.get(f"/v1/deployments/{deployment_id}")
    url = server.url.replace("/events", f"/deployments/{deployment_id}/logs/stream")
    for visitor, scope, code in ((bert, "logs:read", 4404), (anna, "keys:read", 4404)):
        key = (await visitor.create_key(scope))["apiKey"]
        async with connect(f"{url}?token={key}") as socket:
            assert await close_code(socket) == code
    async with connect(url) as socket:
        assert await close_code(socket) == 4401
    answer = await bert.get(f"/v1/deployments/{deployment_id}/logs?follow=true")
    assert answer.status_code == 404


async def test_following_ends_when_the_key_is_revoked(
    api: Api,
    server: Server,
) -> None:
    anna, deployment_id, container = await start(api)
    key = await anna.create_key("logs:read")
    program = Visitor(api, {"X-API-Key": key["apiKey"]})
    program.position = anna.position
    await container.writes("one")
    heard = []
    async with asyncio.timeout(30):
        async for line in followed(
            server, program, f"/v1/deployments/{deployment_id}/logs?follow=true"
        ):
            heard.append(line["message"])
            await anna.ask("DELETE", f"/v1/api-keys/{key['id']}")
    assert heard == ["one"]


async def test_what_is_followed_has_no_end(api: Api) -> None:
    anna, deployment_id, _ = await start(api)
    path = f"/v1/deployments/{deployment_id}/logs?follow=true&until=2026-01-01T00:00:00Z"
    assert (await anna.get(path)).status_code == 422


async def test_a_reader_who_is_too_slow_is_told_after_what_could_be_kept() -> None:
    waiting: Waiting[int] = Waiting(2)
    for number in range(5):
        waiting.put(number)
    assert [await waiting.next(), await waiting.next()] == [0, 1]
    with pytest.raises(TooSlow):
        await waiting.next()
