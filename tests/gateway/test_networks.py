"""Keys that may be used from some networks only."""

import asyncio
import ipaddress
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.api_keys.values import is_within
from gateway.address_prefixes import address_prefixes
from gateway.configuration import GatewayOptions, RoutingTable
from tests.gateway.conftest import (
    KEY,
    Answer,
    Frames,
    Gateway,
    Running,
    Table,
    Upstream,
    eventually,
    free_port,
    key_named,
    read_answer,
    route_named,
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def digits(address: Address) -> str:
    mapped = int(ipaddress.IPv6Address("::ffff:0:0")) if address.version == 4 else 0
    return f"{mapped | int(address):032X}"


ADDRESSES = st.one_of(
    st.ip_addresses(), st.ip_addresses(v=4).map(lambda v4: ipaddress.ip_address(f"::ffff:{v4}"))
)


@settings(max_examples=300, deadline=None)
@given(near=ADDRESSES, length=st.integers(0, 128), flipped=st.integers(0, 127))
def test_the_prefixes_of_a_network_are_those_of_exactly_its_addresses(
    near: Address, length: int, flipped: int
) -> None:
    near = getattr(near, "ipv4_mapped", None) or near
    network = ipaddress.ip_network((near, length % (near.max_prefixlen + 1)), strict=False)
    prefixes = tuple(address_prefixes(str(network)))
    other = type(near)(int(near) ^ 1 << flipped % near.max_prefixlen)
    for address in (near, other, ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")):
        assert digits(address).startswith(prefixes) == is_within(str(address), [network])


@pytest.mark.parametrize("wrong", ["", "10.0.0.1/8", "everywhere", "10.0.0.0/33", "a\nb"])
def test_what_is_no_network_has_no_prefixes(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear|has host bits"):
        list(address_prefixes(wrong))


LISTED = {
    "tp_four": ("127.0.0.0/30", "10.0.0.0/8"),
    "tp_one": ("127.0.0.9/32",),
    "tp_six": ("::1/128", "fd00::/8"),
    "tp_all_six": ("::/0",),
    "tp_all_four": ("0.0.0.0/0",),
}


@pytest.fixture
def options() -> GatewayOptions:
    # On this address an IPv4 caller is seen as a mapped one.
    port = free_port()
    return GatewayOptions(binds=(f"[::]:{port}",), connections_max=500)


@pytest.fixture
def table(upstream: Upstream) -> Table:
    keys = (
        key_named("key-1", KEY),
        *(
            key_named(f"key-{text[3:]}", text, allowed_cidrs=networks)
            for text, networks in LISTED.items()
        ),
        key_named(
            "key-some", "tp_some", allowed_cidrs=LISTED["tp_four"], scopes=("call:dpl-shop",)
        ),
    )
    routes = (route_named("shop", upstream), route_named("other", upstream))
    return Table(RoutingTable(routes=routes, keys=keys))


async def ask_from(gateway: Gateway, address: str, key: str, target: str = "/shop/") -> Answer:
    to = "::1" if ":" in address else "127.0.0.1"
    reader, writer = await asyncio.open_connection(to, gateway.port, local_addr=(address, 0))
    try:
        fields = f"Host: localhost\r\nX-API-Key: {key}\r\nX-Forwarded-For: 10.0.0.1\r\n"
        writer.write(f"GET {target} HTTP/1.1\r\n{fields}\r\n".encode())
        return await read_answer(reader)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def test_a_key_works_from_its_networks_only(serving: Gateway) -> None:
    allowed = {
        (key, address)
        for key in LISTED
        for address in ("127.0.0.2", "127.0.0.9", "::1")
        if (await ask_from(serving, address, key)).status == 200
    }
    assert allowed == {
        ("tp_four", "127.0.0.2"),
        ("tp_one", "127.0.0.9"),
        ("tp_six", "::1"),
        ("tp_all_six", "::1"),
        ("tp_all_four", "127.0.0.2"),
        ("tp_all_four", "127.0.0.9"),
    }
    refused = await ask_from(serving, "127.0.0.9", "tp_four")
    assert (refused.status, refused.code) == (403, "address_not_allowed")


async def test_a_network_gives_no_scope_and_a_scope_no_network(serving: Gateway) -> None:
    assert (await ask_from(serving, "127.0.0.2", "tp_some")).status == 200
    refused = [
        (await ask_from(serving, "127.0.0.2", "tp_some", "/other/")).code,
        (await ask_from(serving, "127.0.0.9", "tp_some")).code,
    ]
    assert refused == ["scope_missing", "address_not_allowed"]


async def test_a_refused_address_is_metered_and_counts_against_the_key(
    serving: Gateway, running: Running
) -> None:
    store = Frames()
    running.meter(serving, store)
    first = await ask_from(serving, "127.0.0.9", "tp_four")
    second = await ask_from(serving, "127.0.0.9", "tp_four")
    left = [int(answer.headers["x-ratelimit-remaining"]) for answer in (first, second)]
    assert left[1] in {left[0] - 1, 999_999}  # 999,999 when a new minute began between the two

    def refused() -> list[str]:
        return [line.key_id for line in store.lines() if line.refused == "address_not_allowed"]

    await eventually(lambda: refused() == ["key-four", "key-four"])
    assert not any(line.billable for line in store.lines() if line.refused)


async def test_networks_change_without_a_reload(serving: Gateway, table: Table) -> None:
    keys = (key_named("key-four", "tp_four", allowed_cidrs=("127.0.0.9/32",)), table.table.keys[0])
    table.set(RoutingTable(routes=table.table.routes, keys=keys))

    async def moved() -> bool:
        return (await ask_from(serving, "127.0.0.9", "tp_four")).status == 200

    await eventually(moved)
    assert (await ask_from(serving, "127.0.0.2", "tp_four")).code == "address_not_allowed"
    assert (await ask_from(serving, "127.0.0.9", "tp_one")).code == "key_invalid"
    unlisted = key_named("key-four", "tp_four")
    table.set(RoutingTable(routes=table.table.routes, keys=(unlisted,)))

    async def free() -> bool:
        return (await ask_from(serving, "127.0.0.2", "tp_four")).status == 200

    await eventually(free)


class TestAddressesOfIPv4:
    @pytest.fixture
    def options(self) -> GatewayOptions:
        return GatewayOptions(binds=(f"127.0.0.1:{free_port()}",), connections_max=500)

    async def test_a_key_works_from_its_networks_only(self, serving: Gateway) -> None:
        keys = [key for key in LISTED if (await ask_from(serving, "127.0.0.2", key)).status == 200]
        assert keys == ["tp_four", "tp_all_four"]
