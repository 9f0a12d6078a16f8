"""What a gateway says of replicas: only what is so in the real HAProxy."""

import asyncio
from collections.abc import Collection, Mapping

import msgspec
import pytest

from gateway.configuration import GatewayOptions, Replica, Route, RoutingTable, render
from gateway.runtime import WorkerState
from gateway.traffic import RouteTraffic, traffic_of
from tests.gateway.conftest import (
    KEY,
    Answer,
    Board,
    Gateway,
    Running,
    Table,
    Upstream,
    a_worker_is_leaving,
    eventually,
    read_answer,
    route_named,
)


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
async def announced(gateway: Gateway, table: Table, running: Running, board: Board) -> Gateway:
    """A gateway that serves the table and has said so."""
    await gateway.start()
    running.control(gateway, table, board)
    await eventually(lambda: "dpl-shop" in board.said and bool(board.said["dpl-shop"].serving))
    return gateway


def says(version: int, *, idle: tuple[str, ...] = (), **serving: str) -> RouteTraffic:
    return RouteTraffic(version=version, serving=serving, idle=idle)


def drained(table: Table, *, version: int) -> None:
    """Let the shop's replica drain; there is no other."""
    leaving = {"replicas": (), "draining": ("rep-0",), "version": version}
    shop, *others = table.table.routes
    routes = (msgspec.structs.replace(shop, **leaving), *others)
    table.set(RoutingTable(routes=routes, keys=table.table.keys))


async def ask_and_be_held(gateway: Gateway, upstream: Upstream) -> asyncio.Task[Answer]:
    """Ask for something that is answered when the test says so."""
    asking = asyncio.create_task(gateway.ask("/shop/held", key=KEY))
    await eventually(lambda: "/held" in [target for _, target, _ in upstream.seen])
    return asking


async def look_again(board: Board) -> None:
    heard = board.heartbeats
    await eventually(lambda: board.heartbeats > heard + 3)


async def test_a_draining_replica_is_idle_when_its_last_request_is_answered(
    announced: Gateway, table: Table, board: Board, upstream: Upstream
) -> None:
    held = await ask_and_be_held(announced, upstream)
    drained(table, version=7)
    await eventually(lambda: board.said["dpl-shop"] == says(7))
    assert (await announced.ask("/shop/", key=KEY)).status == 503
    await look_again(board)
    assert board.said["dpl-shop"] == says(7)
    upstream.held.set()
    assert (await held).status == 200
    await eventually(lambda: board.said["dpl-shop"] == says(7, idle=("rep-0",)))


async def test_a_request_in_a_worker_that_was_replaced_is_waited_for_too(
    announced: Gateway, table: Table, board: Board, upstream: Upstream
) -> None:
    held = await ask_and_be_held(announced, upstream)
    routes = (*table.table.routes, route_named("new", upstream))
    table.set(RoutingTable(routes=routes, keys=table.table.keys))
    await eventually(lambda: "dpl-new" in board.said and bool(board.said["dpl-new"].serving))
    await eventually(lambda: a_worker_is_leaving(announced))
    drained(table, version=7)
    await eventually(lambda: board.said["dpl-shop"] == says(7))
    await look_again(board)
    assert board.said["dpl-shop"] == says(7)
    upstream.held.set()
    assert (await held).status == 200
    await eventually(lambda: board.said["dpl-shop"] == says(7, idle=("rep-0",)))


async def test_a_connection_that_waits_in_a_replaced_worker_is_served_by_what_it_knows(
    announced: Gateway, table: Table, board: Board, upstream: Upstream, upstream2: Upstream
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", announced.port)
    request = f"GET /shop/ HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n".encode()
    writer.write(request)
    assert (await read_answer(reader)).status == 200
    routes = (*table.table.routes, route_named("new", upstream))
    table.set(RoutingTable(routes=routes, keys=table.table.keys))
    await eventually(lambda: "dpl-new" in board.said and bool(board.said["dpl-new"].serving))
    replacement = msgspec.structs.replace(route_named("shop", upstream2).replicas[0], id="rep-9")
    shop = route_named("shop", draining=["rep-0"], version=7)
    shop = msgspec.structs.replace(shop, replicas=(replacement,))
    table.set(RoutingTable(routes=(shop, *routes[1:]), keys=table.table.keys))
    place = f"127.0.0.1:{upstream2.port}"
    replaced = RouteTraffic(version=7, serving={"rep-9": place}, idle=())
    await eventually(lambda: board.said["dpl-shop"] == replaced)
    await look_again(board)
    assert board.said["dpl-shop"] == replaced
    writer.write(request)
    answer = await read_answer(reader)
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    writer.close()
    await eventually(lambda: board.said["dpl-shop"].idle == ("rep-0",))


async def test_while_haproxy_is_away_the_gateway_does_not_say_that_it_lives(
    announced: Gateway, table: Table, board: Board
) -> None:
    await announced.kill()

    async def is_silent() -> bool:
        heard = board.heartbeats
        await asyncio.sleep(0.3)
        return board.heartbeats == heard

    await eventually(is_silent)
    drained(table, version=7)
    await announced.start()
    await eventually(lambda: board.said["dpl-shop"] == says(7, idle=("rep-0",)))


async def test_what_could_not_be_said_is_said_afresh_when_there_is_somebody_to_hear(
    announced: Gateway, table: Table, board: Board
) -> None:
    board.away = True
    drained(table, version=7)
    await eventually(lambda: is_status(announced, 503))
    await eventually(lambda: board.missed > 0)
    board.said["dpl-gone"] = says(1)
    board.away = False
    await eventually(lambda: board.said.get("dpl-shop") == says(7, idle=("rep-0",)))
    assert "dpl-gone" not in board.said


async def is_status(gateway: Gateway, status: int) -> bool:
    return (await gateway.ask("/shop/", key=KEY)).status == status


async def test_a_replica_that_leaves_is_replaced_without_a_moment_without_any(
    announced: Gateway, table: Table, upstream: Upstream, upstream2: Upstream
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", announced.port)
    request = f"GET /shop/ HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n".encode()
    answers: list[int] = []

    async def call() -> None:
        while True:
            writer.write(request)
            answers.append((await read_answer(reader)).status)

    calling = asyncio.create_task(call())
    others = table.table.routes[1:]
    for turn in range(40):
        place = route_named("shop", (upstream, upstream2)[turn % 2]).replicas[0]
        came, left = f"rep-{turn + 1}", f"rep-{turn}"
        shop = msgspec.structs.replace(
            route_named("shop", version=turn + 1, draining=[left]),
            replicas=(msgspec.structs.replace(place, id=came),),
        )
        table.set(RoutingTable(routes=(shop, *others), keys=table.table.keys))
        asked = len(answers)
        await eventually(lambda asked=asked: len(answers) > asked + 3)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    writer.close()
    assert set(answers) == {200}


def test_nothing_is_said_to_be_so_before_the_worker_and_the_files_are_so() -> None:
    shop = Route(
        deployment_id="dpl-1",
        team_id="org-1",
        app_name="shop",
        replicas=(Replica("new", "10.0.0.2", 80),),
        draining=("old",),
        version=5,
    )
    wanted, here = render(RoutingTable(routes=(shop,)), GatewayOptions()), "10.0.0.2:80"

    def worker(**servers: str) -> WorkerState:
        return WorkerState(config="", maps={}, servers={"dpl-1": servers}, aside={})

    stranger = WorkerState(config="", maps={}, servers={}, aside={})
    new, files = worker(new=here), {"dpl-1": {"new": here}}

    def said(
        has: WorkerState,
        busy: Collection[tuple[str, str]] = (),
        on_disk: Mapping[str, Mapping[str, str]] | None = files,
    ) -> RouteTraffic:
        return traffic_of(wanted, has, busy=busy, on_disk=on_disk)["dpl-1"]

    both, only_new = says(5, idle=("old",), new=here), says(5, new=here)
    only_idle = says(5, idle=("old",))
    assert said(new) == said(new, busy={("dpl-2", "old")}) == both
    assert said(stranger) == said(worker()) == said(worker(new="10.0.0.3:80")) == only_idle
    assert said(new, busy={("dpl-1", "old")}) == only_new
    assert said(new, on_disk={"dpl-1": {"old": "10.0.0.1:80"}}) == only_new
    assert said(new, on_disk=None) == only_new
