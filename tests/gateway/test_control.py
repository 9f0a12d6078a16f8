"""The agent and the real HAProxy: changes, reloads, deaths."""

import asyncio
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from gateway.configuration import KEYS, ROUTES, Key, Route, RoutingTable
from gateway.runtime import HAProxyAway, Runtime
from tests.gateway.conftest import (
    KEY,
    Frames,
    Gateway,
    Running,
    Table,
    Upstream,
    a_worker_is_leaving,
    eventually,
    hash_of,
    key_named,
    read_answer,
    route_named,
)


def answers(
    gateway: Gateway, status: int, target: str = "/shop/", key: str = KEY
) -> Callable[[], asyncio.Future[bool]]:
    async def does() -> bool:
        return (await gateway.ask(target, key=key)).status == status

    return lambda: asyncio.ensure_future(does())


async def test_a_revoked_key_is_refused_also_on_an_open_connection(
    serving: Gateway, table: Table
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
    request = f"GET /shop/ HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n".encode()
    writer.write(request)
    assert (await read_answer(reader)).status == 200
    # How soon is measured by `benchmarks/revocation.py`: a slow machine is no defect.
    table.set(RoutingTable(routes=table.table.routes, keys=table.table.keys[1:]))
    await eventually(answers(serving, 401))
    writer.write(request)
    assert (await read_answer(reader)).status == 401
    writer.close()


async def test_a_revoked_key_is_refused_by_a_worker_that_only_finishes_its_connections(
    serving: Gateway, table: Table, upstream: Upstream
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
    request = f"GET /shop/ HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n".encode()
    writer.write(request)
    assert (await read_answer(reader)).status == 200
    routes = (*table.table.routes, route_named("new", upstream))
    table.set(RoutingTable(routes=routes, keys=table.table.keys))
    await eventually(answers(serving, 200, "/new/"))
    await eventually(lambda: a_worker_is_leaving(serving))
    table.set(RoutingTable(routes=routes, keys=()))
    await eventually(answers(serving, 401))
    writer.write(request)
    assert (await read_answer(reader)).status == 401
    writer.close()


async def test_what_a_key_may_do_changes_also_on_an_open_connection(
    serving: Gateway, table: Table
) -> None:
    runtime = Runtime(serving.launch.run_folder)
    before = await runtime.workers()
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)

    async def ask() -> tuple[int, object]:
        writer.write(f"GET /shop/ HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n".encode())
        answer = await read_answer(reader)
        return answer.status, answer.headers["x-ratelimit-limit"]

    now = datetime.now(UTC)
    changes: list[tuple[dict[str, object], tuple[int, object]]] = [
        ({"requests_per_minute": 77_777}, (200, "77777")),
        ({"scopes": ("call:dpl-other",)}, (403, "1000000")),
        ({"scopes": ("call:dpl-shop",)}, (200, "1000000")),
        ({"scopes": ()}, (403, "1000000")),
        ({"scopes": ("call:*",), "expires_at": now + timedelta(hours=1)}, (200, "1000000")),
        ({"expires_at": now - timedelta(seconds=1)}, (401, "6000")),
        ({"allowed_cidrs": ("10.0.0.0/8",)}, (403, "1000000")),
        ({"allowed_cidrs": ("10.0.0.0/8", "127.0.0.1/32")}, (200, "1000000")),
        ({}, (200, "1000000")),
    ]
    for fields, expected in changes:
        keys = (key_named("key-1", KEY, **fields), *table.table.keys[1:])
        table.set(RoutingTable(routes=table.table.routes, keys=keys))

        async def took_effect(expected: tuple[int, object] = expected) -> bool:
            return await ask() == expected

        await eventually(took_effect)
    writer.close()
    assert await runtime.workers() == before


async def test_keys_limits_apps_and_replicas_change_without_a_reload(
    serving: Gateway, table: Table, upstream2: Upstream
) -> None:
    runtime = Runtime(serving.launch.run_folder)
    before = await runtime.workers()
    routes = (route_named("renamed", upstream2, deployment_id="dpl-shop"),)
    keys = (key_named("key-1", KEY, requests_per_minute=5_000), key_named("key-8", "tp_new"))
    table.set(RoutingTable(routes=routes, keys=keys))
    await eventually(answers(serving, 200, "/renamed/", "tp_new"))
    answer = await serving.ask("/renamed/", key=KEY)
    assert answer.headers["x-ratelimit-limit"] == "5000"
    assert answer.json()["port"] == upstream2.port
    assert (await serving.ask("/shop/", key=KEY)).status == 404
    assert (await serving.ask("/other/", key=KEY)).status == 404
    assert await runtime.workers() == before


async def test_a_replica_is_drained_a_request_in_it_is_finished_then_it_is_removed(
    serving: Gateway, table: Table, upstream: Upstream, upstream2: Upstream
) -> None:
    upstream.delay = 1.0
    before = upstream.served
    slow = asyncio.create_task(serving.ask("/shop/slow", key=KEY))
    await eventually(lambda: upstream.seen[-1][1] == "/slow")
    route = msgspec.structs.replace(
        route_named("shop", upstream2),
        replicas=(msgspec.structs.replace(route_named("x", upstream2).replicas[0], id="rep-9"),),
    )
    table.set(RoutingTable(routes=(route,), keys=table.table.keys))

    async def moved() -> bool:
        return (await serving.ask("/shop/", key=KEY)).json()["port"] == upstream2.port

    await eventually(lambda: asyncio.ensure_future(moved()))
    assert (await slow).status == 200
    assert upstream.served >= before + 1
    # HAProxy keeps its idle connections to the replica until that one stops.
    await upstream.stop()
    runtime = Runtime(serving.launch.run_folder)

    async def removed() -> bool:
        worker, _ = await runtime.workers()
        state = await runtime.read(worker, [])
        return not state.aside and state.servers["dpl-shop"].keys() == {"rep-9"}

    await eventually(lambda: asyncio.ensure_future(removed()))


async def test_a_replica_that_comes_back_elsewhere_under_its_name_is_followed(
    serving: Gateway, table: Table, upstream: Upstream, upstream2: Upstream
) -> None:
    for target in (upstream2, upstream, upstream2):
        route = route_named("shop", target)
        table.set(RoutingTable(routes=(route,), keys=table.table.keys))

        async def there(port: int = target.port) -> bool:
            return (await serving.ask("/shop/", key=KEY)).json()["port"] == port

        await eventually(lambda: asyncio.ensure_future(there()))


class Load(NamedTuple):
    sent: list[int]
    statuses: list[int]
    broken: list[str]


async def load(gateway: Gateway, stop: asyncio.Event, load: Load, *, keep_alive: bool) -> None:
    fields = f"Host: localhost\r\nX-API-Key: {KEY}\r\n"
    fields += "" if keep_alive else "Connection: close\r\n"
    request = f"GET /shop/load HTTP/1.1\r\n{fields}\r\n".encode()
    reader = writer = None
    while not stop.is_set():
        try:
            if writer is None or reader is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            load.sent.append(1)
            writer.write(request)
            answer = await read_answer(reader)
            load.statuses.append(answer.status)
            if answer.headers.get("connection") == "close" or not keep_alive:
                writer.close()
                reader = writer = None
        except (OSError, asyncio.IncompleteReadError) as error:
            load.broken.append(repr(error))
            if writer is not None:
                writer.close()
            reader = writer = None
            await asyncio.sleep(0.01)
    if writer is not None:
        writer.close()


async def test_reloads_under_load_break_no_request_and_lose_no_line(
    serving: Gateway, table: Table, running: Running, upstream: Upstream
) -> None:
    store = Frames()
    running.meter(serving, store)
    stop, seen = asyncio.Event(), Load([], [], [])
    clients = [load(serving, stop, seen, keep_alive=n % 2 == 0) for n in range(16)]
    tasks = [asyncio.create_task(client) for client in clients]
    routes = table.table.routes
    served_before = upstream.served
    for number in range(8):
        routes = (*routes, route_named(f"new-{number}", upstream))
        table.set(RoutingTable(routes=routes, keys=table.table.keys))
        await eventually(answers(serving, 200, f"/new-{number}/"))
    stop.set()
    await asyncio.gather(*tasks)
    assert seen.broken == []
    assert set(seen.statuses) == {200}
    assert len(seen.statuses) > 500

    def metered() -> int:
        return sum(line.path == "/load" and line.billable for line in store.lines())

    await eventually(lambda: metered() >= len(seen.statuses))
    assert metered() == len(seen.statuses) <= upstream.served - served_before
    assert sum(frame.missing + frame.malformed for frame in store.frames()) == 0
    workers = {(line.pid, line.started) for line in store.lines()}
    assert len(workers) >= 8


async def test_a_killed_haproxy_starts_again_from_its_files_with_the_agent_away(
    serving: Gateway, running: Running, table: Table
) -> None:
    table.set(RoutingTable(routes=table.table.routes[:1], keys=table.table.keys[:1]))
    await eventually(answers(serving, 404, "/other/"))
    await running.stop()
    await serving.kill()
    await serving.start()
    assert (await serving.ask("/shop/", key=KEY)).status == 200
    assert (await serving.ask("/other/", key=KEY)).status == 404
    text = serving.text_of_all_files()
    assert KEY.encode() not in text
    assert hash_of(KEY).upper().encode() in text


async def test_a_haproxy_killed_under_the_agent_is_made_equal_again(
    serving: Gateway, table: Table
) -> None:
    await serving.kill()
    table.set(RoutingTable(routes=table.table.routes, keys=table.table.keys[1:]))
    await asyncio.sleep(0.2)
    await serving.start()
    await eventually(answers(serving, 401))
    await eventually(answers(serving, 200, "/open/"))


async def test_what_somebody_else_did_to_a_worker_is_noticed_and_undone(
    gateway: Gateway, table: Table, running: Running
) -> None:
    await gateway.start()
    running.control(gateway, table, audit_seconds=0.2)
    await eventually(answers(gateway, 200))
    runtime = Runtime(gateway.launch.run_folder)
    worker, _ = await runtime.workers()
    await runtime.change(
        worker, [f"add map current/{KEYS} {hash_of('tp_x').upper()} k:org-1:9::all:anywhere"]
    )
    await runtime.change(worker, [f"del map current/{ROUTES} open"])
    await runtime.change(worker, ["set server dpl-shop/rep-0 state maint"])
    await eventually(answers(gateway, 200, "/open/"))
    await eventually(answers(gateway, 401, "/shop/", "tp_x"))
    await eventually(answers(gateway, 200))


async def test_a_source_that_is_away_changes_nothing_and_is_followed_again_when_back(
    gateway: Gateway, table: Table, running: Running
) -> None:
    class Flaky(Table):
        away = False

        async def read(self) -> RoutingTable:
            if self.away:
                raise ConnectionError("the database is away")
            return await super().read()

        async def wait_for_change(self, timeout: float) -> bool:  # noqa: ASYNC109 - the port's word
            if self.away:
                raise ConnectionError("the database is away")
            return await super().wait_for_change(timeout)

    flaky = Flaky(table.table)
    await gateway.start()
    running.control(gateway, flaky)
    await eventually(answers(gateway, 200))
    flaky.away = True
    flaky.set(RoutingTable())
    await asyncio.sleep(0.3)
    assert (await gateway.ask("/shop/", key=KEY)).status == 200
    flaky.away = False
    await eventually(answers(gateway, 404))


async def test_a_table_that_could_not_be_read_is_read_again_without_further_news(
    gateway: Gateway, table: Table, running: Running
) -> None:
    class Failing(Table):
        failures = 0

        async def read(self) -> RoutingTable:
            read = await super().read()
            if self.failures:
                self.failures -= 1
                raise ConnectionError("the database broke off")
            return read

    failing = Failing(table.table)
    await gateway.start()
    running.control(gateway, failing)
    await eventually(answers(gateway, 200))
    failing.failures = 2
    failing.set(RoutingTable())
    await eventually(answers(gateway, 404))


async def test_one_unusable_row_is_left_out_and_the_others_served(
    serving: Gateway, table: Table, upstream: Upstream
) -> None:
    bad_routes: list[Route] = [
        route_named("evil\nfrontend x", upstream),
        route_named("new", upstream, deployment_id="refused"),
        route_named("shop", upstream, deployment_id="dpl-second"),
        route_named("UPPER", upstream),
    ]
    bad_keys: list[Key] = [
        msgspec.structs.replace(key_named("key-5", "x"), secret_hash="not a hash"),
        key_named("key 6\nadd", "x"),
    ]
    good = key_named("key-7", "tp_good")
    table.set(RoutingTable(routes=(*bad_routes, *table.table.routes), keys=(*bad_keys, good)))
    await eventually(answers(serving, 200, "/open/", "tp_good"))
    await eventually(answers(serving, 200, "/other/", "tp_good"))


async def test_a_full_log_volume_pauses_every_app_before_a_line_is_lost(
    gateway: Gateway, table: Table, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 10**12

    def usage(_: Path) -> shutil._ntuple_diskusage:
        return shutil._ntuple_diskusage(10**13, 10**13 - free, free)

    # The one thing that cannot be had for real in a test: a disk that fills up on demand.
    monkeypatch.setattr("gateway.control.shutil.disk_usage", usage)
    await gateway.start()
    running.control(gateway, table)
    await eventually(answers(gateway, 200))
    free = 63 * 1024**2
    await eventually(answers(gateway, 503))
    answer = await gateway.ask("/open/")
    assert (answer.status, answer.code) == (503, "metering_paused")
    assert "retry-after" in answer.headers
    free = 65 * 1024**2
    await asyncio.sleep(0.2)
    assert (await gateway.ask("/shop/", key=KEY)).status == 503
    free = 10**12
    await eventually(answers(gateway, 200))


async def test_a_configuration_haproxy_refuses_replaces_nothing_but_rights_still_end(
    gateway: Gateway, table: Table, running: Running, tmp_path: Path, upstream: Upstream
) -> None:
    picky = tmp_path / "haproxy"
    picky.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *-c*) grep -q dpl-bad "$3"/backends.cfg && exit 1 ;; esac\n'
        f'exec "{gateway.launch.haproxy}" "$@"\n'
    )
    picky.chmod(0o755)
    gateway.launch = msgspec.structs.replace(gateway.launch, haproxy=picky)
    await gateway.start()
    running.control(gateway, table)
    await eventually(answers(gateway, 200))
    routes = (*table.table.routes, route_named("bad", upstream))
    table.set(RoutingTable(routes=routes, keys=table.table.keys[1:]))
    await eventually(answers(gateway, 401))
    current = gateway.launch.run_folder / "current"
    await eventually(lambda: hash_of(KEY).upper() not in (current / KEYS).read_text())
    assert "dpl-bad" not in (current / "backends.cfg").read_text()
    assert (await gateway.ask("/open/")).status == 200


async def test_nobody_at_the_socket_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(HAProxyAway):
        await Runtime(tmp_path).workers()


async def test_a_run_folder_with_a_very_long_name_works(
    tmp_path: Path, gateway: Gateway, table: Table, running: Running
) -> None:
    folder = tmp_path / ("long" * 30) / "run"
    gateway.launch = msgspec.structs.replace(gateway.launch, run_folder=folder)
    await gateway.start()
    running.control(gateway, table)
    await eventually(answers(gateway, 200))
    with suppress(FileNotFoundError):
        assert len(os.fsencode(folder)) > 108
