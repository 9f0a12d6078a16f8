"""WebSockets that want too much: other sites, other teams, large frames, many frames."""

import asyncio
import contextlib
import json
import random
import zlib
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from domain.teams.values import Role
from tests.api.conftest import Api, Visitor
from tests.api.test_live import Message, Server, close_code, messages, serving, watching

TOO_BIG, NOT_OF_THE_PROTOCOL = 1009, 1002
MIB = 1024**2


@pytest.fixture
async def server(api: Api) -> AsyncIterator[Server]:
    async with serving(api) as served:
        yield served


async def still_hears(server: Server, anna: Visitor, name: str) -> None:
    """Assert that others are told while somebody misbehaves."""
    async with watching(server, anna) as socket:
        await anna.deploy(name)
        assert (await messages(socket, 1))[0]["type"] == "deployment.created"


async def test_a_page_of_another_site_is_not_let_in_with_somebodys_key(
    api: Api, server: Server
) -> None:
    anna = await api.join()
    key = (await anna.create_key("deployments:read"))["apiKey"]
    ways: list[tuple[str, dict[str, str]]] = [
        (f"{server.url}?token={key}", {}),
        (server.url, {"X-API-Key": key}),
        (server.url, {"Authorization": anna.headers["Authorization"]}),
    ]
    for origin in (
        "https://evil.example",
        "null",
        "http://api.test.evil.example",
        "https://api.test:1",
    ):
        for url, headers in ways:
            async with connect(
                url,
                origin=origin,  # type: ignore[arg-type]
                additional_headers=headers,
            ) as socket:
                assert await close_code(socket) == 4401


async def test_a_frame_of_ten_megabytes_ends_the_socket_that_sent_it_and_no_other(
    api: Api, server: Server
) -> None:
    anna = await api.join()
    async with watching(server, anna) as socket:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(b"x" * 10 * MIB)
        assert await close_code(socket) == TOO_BIG
        await still_hears(server, anna, "after-the-frame")


async def test_a_frame_that_would_inflate_without_end_never_does(api: Api, server: Server) -> None:
    anna = await api.join()
    async with watching(server, anna) as socket:
        deflate = zlib.compressobj(wbits=-15)
        bomb = deflate.compress(b"\0" * 50 * MIB) + deflate.flush(zlib.Z_SYNC_FLUSH)
        assert len(bomb) < 64 * 1024, "small enough to be let in as it is"
        mask = b"\1\2\3\4"
        header = b"\xc2\xfe" + len(bomb[:-4]).to_bytes(2, "big") + mask  # FIN, RSV1, binary
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(bomb[:-4]))
        socket.transport.write(header + masked)
        assert await close_code(socket) == NOT_OF_THE_PROTOCOL, "compression is not spoken here"
    await still_hears(server, anna, "after-the-bomb")


async def test_very_many_tiny_frames_are_read_and_change_nothing(api: Api, server: Server) -> None:
    anna = await api.join()
    before = await api.installation.store.last_position()
    async with watching(server, anna) as socket:

        async def flood() -> None:
            for _ in range(10_000):
                await socket.send("x")

        flooding = asyncio.create_task(flood())
        await still_hears(server, anna, "in-the-flood")
        await flooding
        [told] = await messages(socket, 1)
        assert told["type"] == "deployment.created", "the one who floods still hears what is theirs"
    events = await api.installation.store.read_all(after=before, limit=100)
    assert {event.stream_id[:4] for event in events} <= {"clai", "dpl-", "quot"}


async def test_who_is_put_out_of_a_team_hears_of_it_no_more_on_the_open_socket(
    api: Api, server: Server
) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await api.add_member(team_id, bert, Role.VIEWER)
    shop = await anna.deploy("while-in", teamId=team_id)
    own = await bert.deploy("his-own")

    async def update(number: int) -> None:
        """Change the team's thing, then bert's own."""
        for whose, deployment_id in ((anna, shop), (bert, own)):
            image = {"image": f"tallyport/echo:{number}"}
            await whose.ask("PUT", f"/v1/deployments/{deployment_id}", image)

    async with watching(server, bert) as socket:
        await update(1)
        told = await messages(socket, 4)  # each is updated, and its status has changed
        assert {each["deploymentId"] for each in told} == {shop, own}
        await anna.ask("DELETE", f"/v1/teams/{team_id}/members/{bert.account['id']}")
        async with asyncio.timeout(30):
            number, heard = 1, True
            while heard:  # for as long as a membership is remembered
                await update(number := number + 1)
                [told_first] = await messages(socket, 1)
                heard = told_first["deploymentId"] == shop
                if heard:
                    await messages(socket, 1)
                    await asyncio.sleep(0.1)


async def test_a_key_that_expires_is_put_out_of_its_open_socket(api: Api, server: Server) -> None:
    anna = await api.join()
    key = await anna.create_key("deployments:read")
    async with connect(f"{server.url}?token={key['apiKey']}") as socket:
        await anna.post(f"/v1/api-keys/{key['id']}/regenerate")
        assert await close_code(socket) == 4401


async def test_whoever_asks_for_another_teams_things_in_the_address_is_told_their_own(
    api: Api, server: Server
) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    theirs = await bert.deploy("berts-api")
    query = f"&teamId={bert.account['teamId']}&deploymentId={theirs}&since=0"
    async with watching(server, anna, query) as socket:
        mine = await anna.deploy("annas-api")
        [told] = await messages(socket, 1)
    assert told["deploymentId"] == mine


async def test_who_reconnects_at_any_moment_hears_everything_once_and_in_order(
    api: Api, server: Server
) -> None:
    anna = await api.join()
    chance = random.Random(20261123)
    seen: list[Message] = []
    done = asyncio.Event()

    async def happen() -> None:
        deployment_id = await anna.deploy("eventful")
        for number in range(30):
            path = f"/v1/deployments/{deployment_id}"
            if number % 3:
                await anna.ask("PATCH", f"{path}/scale", {"replicas": 1 + number % 4})
            else:
                await anna.ask("PUT", path, {"image": f"tallyport/echo:{number}"})
        await anna.deploy("the-last")
        done.set()

    happening = asyncio.create_task(happen())
    async with asyncio.timeout(60):
        while not seen or not (seen[-1]["type"] == "deployment.created" and len(seen) > 1):
            since = seen[-1]["cursor"] if seen else "0"
            async with watching(server, anna, f"&since={since}") as socket:
                await take(socket, seen, at_most=chance.randrange(1, 8))
    await happening
    async with watching(server, anna, "&since=0") as socket:
        assert await messages(socket, len(seen)) == seen
    cursors = [tuple(map(int, each["cursor"].split("."))) for each in seen]
    assert cursors == sorted(set(cursors))


async def take(socket: ClientConnection, seen: list[Message], *, at_most: int) -> None:
    for _ in range(at_most):
        seen.append(json.loads(await socket.recv()))
        if seen[-1]["type"] == "deployment.created" and len(seen) > 1:
            return
