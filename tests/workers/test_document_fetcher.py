"""Documents fetched over real HTTP from what stands for a replica, and shown in the real views."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from commands.bus import Context
from commands.deployments import ReportReplicas, RestartDeployment
from commands.portals import FetchDocument, ShowPortal, WithdrawDocument
from commands.work import Actor
from domain.deployments.values import ReplicaPhase, ReplicaReport
from infrastructure.documents import BYTES_MAX, NotFetched
from infrastructure.documents.replica import ReplicaDocuments
from projections.catalogue import VIEWS
from projections.deployments import DEPLOYMENTS
from projections.news import ViewNews
from projections.portals import PORTAL_DOCUMENTS, PORTALS
from projections.reading import Reader
from tests.wiring import Installation, Person
from workers.document_fetcher import ATTEMPTS_MAX, DocumentFetcher

WATCHED = (DEPLOYMENTS, PORTALS, PORTAL_DOCUMENTS)
DOCUMENT = {"openapi": "3.1.0", "info": {"title": "Shop", "version": "1"}, "paths": {"/a": {}}}
PROVISIONER = Context(actor=Actor(id="provisioner"))


class Replica:
    """Answers one connection after another with the same bytes, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = b""
        self.port = 0

    def says(self, body: bytes, *, status: str = "200 OK", headers: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n"
        self.answer = head.encode() + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self.answer)
        with suppress(ConnectionError):  # it has read enough
            await writer.drain()
        writer.close()


@asynccontextmanager
async def running() -> AsyncIterator[Replica]:
    replica = Replica()
    replica.says(json.dumps(DOCUMENT).encode())
    server = await asyncio.start_server(replica.serve, "127.0.0.1", 0)
    replica.port = server.sockets[0].getsockname()[1]
    async with server:
        yield replica


class Scene:
    """One deployment whose live revision is the replica, and a fetcher that is told to look."""

    def __init__(self, installation: Installation, replica: Replica, person: Person) -> None:
        self.installation = installation
        self.replica = replica
        self.person = person
        self.deployment_id = ""
        self.documents = ReplicaDocuments()
        self.news = ViewNews(installation.conninfo, {view.name for view in WATCHED})
        self.fetcher = self.another_fetcher()

    def another_fetcher(self) -> DocumentFetcher:
        installation = self.installation
        return DocumentFetcher(
            installation.bus,
            Reader(installation.pool, installation.conninfo, VIEWS),
            self.news,
            self.documents,
            host_of=lambda name: f"{name}.apps.example.net",
            first_pause_seconds=0.0,
        )

    async def go_live(self, revision: int) -> None:
        report = ReplicaReport(
            replica_id=f"{self.deployment_id}-{revision}-1",
            revision=revision,
            phase=ReplicaPhase.READY,
            address="127.0.0.1",
            port=self.replica.port,
        )
        command = ReportReplicas(deployment_id=self.deployment_id, replicas=(report,))
        await self.installation.dispatch(command, PROVISIONER)

    async def wish(self, command: Any) -> None:
        await self.installation.dispatch(command, self.person.context)

    async def look(self, times: int = 1) -> dict[str, Any]:
        for _ in range(times):
            await self.installation.caught_up(WATCHED)
            await self.fetcher.look()
        [row] = await self.installation.rows(PORTALS)
        return row


@pytest.fixture
async def scene(installation: Installation) -> AsyncIterator[Scene]:
    installation.start_views(WATCHED)
    async with running() as replica:
        scene = Scene(installation, replica, await installation.register())
        scene.deployment_id = (await installation.deploy(scene.person, "shop")).deployment_id
        await scene.wish(FetchDocument(deployment_id=scene.deployment_id, path="/api/v1.json?a=b"))
        yield scene
        await scene.news.close()
        await scene.documents.close()


async def test_a_document_is_fetched_once_for_each_live_revision(scene: Scene) -> None:
    assert (await scene.look())["digest"] is None
    assert scene.replica.asked == [], "nothing is live yet"
    await scene.go_live(1)
    row = await scene.look()
    assert row["publications"][0]["title"] == "Shop"
    assert (row["revision"], row["fetch_failure"]) == (1, None)
    [asked] = scene.replica.asked
    assert asked.startswith("GET /api/v1.json?a=b HTTP/1.1\r\n")
    assert "Host: shop.apps.example.net\r\n" in asked
    await scene.look(2)
    assert len(scene.replica.asked) == 1

    scene.replica.says(b"openapi: 3.0.1\ninfo: {title: Two, version: '2'}\npaths: {/b: {}}\n")
    await scene.wish(RestartDeployment(deployment_id=scene.deployment_id))
    await scene.look()
    assert len(scene.replica.asked) == 1, "the new revision is not live yet"
    await scene.go_live(2)
    row = await scene.look()
    assert [each["title"] for each in row["publications"]] == ["Two", "Shop"]
    assert row["revision"] == 2


async def test_the_same_document_again_leaves_no_trace(scene: Scene) -> None:
    await scene.go_live(1)
    await scene.look()
    await scene.wish(RestartDeployment(deployment_id=scene.deployment_id))
    await scene.go_live(2)
    before = await scene.installation.store.last_position()
    await scene.look(2)
    assert len(scene.replica.asked) == 2
    assert await scene.installation.store.last_position() == before
    scene.fetcher = scene.another_fetcher()
    await scene.look(2)
    assert len(scene.replica.asked) == 3, "who starts anew looks once more"


async def test_what_is_no_document_is_told_after_a_few_tries(scene: Scene) -> None:
    await scene.go_live(1)
    scene.replica.says(b"", status="404 Not Found")
    assert (await scene.look(ATTEMPTS_MAX - 1))["fetch_failure"] is None
    row = await scene.look()
    assert row["fetch_failure"] == "GET /api/v1.json?a=b answered 404"
    await scene.look(2)
    assert len(scene.replica.asked) == ATTEMPTS_MAX

    scene.replica.says(b'{"openapi": "2.0"}')
    await scene.wish(FetchDocument(deployment_id=scene.deployment_id, path="/other"))
    row = await scene.look(2)
    assert "/openapi is not 3.0.x" in row["fetch_failure"]
    assert len(scene.replica.asked) == ATTEMPTS_MAX + 1, "what was answered will not change"


async def test_nothing_is_fetched_for_a_portal_that_does_not_want_it_any_more(
    scene: Scene,
) -> None:
    await scene.go_live(1)
    await scene.wish(WithdrawDocument(deployment_id=scene.deployment_id))
    await scene.wish(ShowPortal(deployment_id=scene.deployment_id, visibility="public"))
    assert (await scene.look(2))["digest"] is None
    assert scene.replica.asked == []


async def test_a_replica_cannot_lead_the_fetcher_astray() -> None:
    documents = ReplicaDocuments(seconds_max=30.0)
    async with running() as replica, running() as elsewhere:

        async def refused() -> str:
            with pytest.raises(NotFetched) as error:
                await documents.fetch("127.0.0.1", replica.port, "/x", host="shop")
            return str(error.value)

        to = f"Location: http://127.0.0.1:{elsewhere.port}/secret\r\n"
        replica.says(b"", status="302 Found", headers=to)
        assert await refused() == "GET /x answered 302"
        replica.says(b" " * (BYTES_MAX + 1))
        assert "more than" in await refused()
        replica.says(b"\x1f\x8b", headers="Content-Encoding: gzip\r\n")
        assert "compressed" in await refused()
        replica.answer = b"SSH-2.0-x\r\n\r\n"
        assert "not answered in HTTP" in await refused()
        assert elsewhere.asked == []
    await documents.close()


async def test_a_replica_that_does_not_answer_is_not_waited_for() -> None:
    gone = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the fetcher gives up
        writer.close()
        gone.set()

    documents = ReplicaDocuments(seconds_max=0.05)
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(NotFetched, match="not answered in"):
            await documents.fetch("127.0.0.1", port, "/x", host="shop")
        await documents.close()
        await gone.wait()
