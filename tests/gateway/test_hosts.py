"""Custom domains at the gateway: another name of an app, and nothing else about it is different."""

import msgspec
import pytest

from gateway.configuration import CONFIG, GatewayOptions, Host, RoutingTable, render_config
from gateway.runtime import Runtime
from gateway.snapshot import Snapshot
from tests.gateway.conftest import (
    FOREIGN_KEY,
    KEY,
    Gateway,
    Running,
    Table,
    Upstream,
    eventually,
)

SHOP = Host(name="www.example.com", deployment_id="dpl-shop")
OPEN = Host(name="open.example.com", deployment_id="dpl-open")


def with_hosts(table: RoutingTable, *hosts: Host) -> RoutingTable:
    return msgspec.structs.replace(table, hosts=hosts)


async def is_answered(gateway: Gateway, status: int, host: str = SHOP.name) -> None:
    async def answered() -> bool:
        return (await gateway.ask("/", host=host, key=KEY)).status == status

    await eventually(answered)


@pytest.fixture
async def named(serving: Gateway, table: Table) -> Gateway:
    """A gateway at which two apps have domains."""
    table.set(with_hosts(table.table, SHOP, OPEN))
    await is_answered(serving, 200)
    return serving


async def test_a_domain_leads_to_its_app_however_it_is_written(
    named: Gateway, upstream: Upstream
) -> None:
    for host in ("www.example.com", "WWW.Example.COM", "www.example.com.", "www.example.com:8080"):
        answer = await named.ask("/a/b?c=d", host=host, key=KEY)
        assert answer.status == 200, host
        assert answer.json()["target"] == "/a/b?c=d"
        assert upstream.seen[-1][2]["x-forwarded-host"] == host
    assert (await named.ask("/shop/", key=KEY)).status == 200
    assert (await named.ask("/", host="shop.apps.localhost", key=KEY)).status == 200


async def test_a_domain_lets_nobody_in_whom_the_app_would_refuse(named: Gateway) -> None:
    assert (await named.ask("/", host=SHOP.name)).code == "key_invalid"
    assert (await named.ask("/", host=SHOP.name, key=FOREIGN_KEY)).code == "app_not_found"
    assert (await named.ask("/", host=OPEN.name)).status == 200


async def test_only_the_name_itself_is_the_domain(named: Gateway) -> None:
    for host in (
        "example.com",
        "a.www.example.com",
        "www.example.com.evil.org",
        "xwww.example.com",
        "www.example.org",
    ):
        assert (await named.ask("/", host=host, key=KEY)).code == "app_not_found", host


async def test_a_removed_domain_and_one_of_a_deleted_app_lead_nowhere_without_a_reload(
    named: Gateway, table: Table
) -> None:
    runtime = Runtime(named.launch.run_folder)
    worker, _ = await runtime.workers()
    everything = table.table
    table.set(with_hosts(everything, OPEN))
    await is_answered(named, 404)
    assert (await named.ask("/", host=OPEN.name)).status == 200
    table.set(everything)
    await is_answered(named, 200)
    routes = tuple(each for each in everything.routes if each.app_name != "shop")
    table.set(msgspec.structs.replace(everything, routes=routes))
    await is_answered(named, 404)
    assert (await runtime.workers())[0] == worker


async def test_a_domain_is_served_by_a_haproxy_that_starts_from_its_files_alone(
    named: Gateway, running: Running
) -> None:
    await eventually(lambda: SHOP.name.encode() in named.text_of_all_files())
    await running.stop()
    await named.kill()
    await named.start()
    assert (await named.ask("/", host=SHOP.name, key=KEY)).status == 200


async def test_a_haproxy_that_was_started_before_there_were_domains_is_reloaded(
    gateway: Gateway, running: Running, table: Table, options: GatewayOptions
) -> None:
    await gateway.start()
    config = render_config(options)
    without = "".join(line for line in config.splitlines(keepends=True) if "hosts.map" not in line)
    assert without != config
    snapshot = Snapshot(gateway.launch.run_folder, gateway.launch.haproxy)
    snapshot.write({CONFIG: without.replace("proc.config str(", "proc.config str(0")}, check=True)
    runtime = Runtime(gateway.launch.run_folder)
    await runtime.reload()
    table.set(with_hosts(table.table, SHOP))
    running.control(gateway, table)
    await is_answered(gateway, 200)
