"""Nobody sends us to where we live ourselves."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from infrastructure.outside import NotPublic, is_public
from infrastructure.outside.client import Lookup, outside_client


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "172.17.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "fd00::1",
        "fe80::1%eth0",
        "fec0::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "192.0.2.1",
        "2001:db8::1",
    ],
)
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111"])
def test_a_public_address_is_known(address: str) -> None:
    assert is_public(address)


class Says(Lookup):
    """A resolver that answers what the test says, one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = [*answers]

    async def __call__(self, host: str, port: int) -> list[str]:
        del host, port
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
async def inside() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server of ours that nobody outside may reach."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n")
        writer.write(b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]"],
)
async def test_no_spelling_of_this_machine_is_connected_to(
    inside: tuple[int, list[bytes]], host: str
) -> None:
    port, heard = inside
    async with outside_client(timeout_seconds=5) as client:
        with pytest.raises((NotPublic, httpx.HTTPError, httpx.InvalidURL)):
            await client.get(f"http://{host}:{port}/")
    assert heard == []


@pytest.mark.parametrize(
    "answer", [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["1.1.1.1", "fd00::1"]]
)
async def test_a_name_with_any_address_of_ours_is_refused(
    inside: tuple[int, list[bytes]], answer: list[str]
) -> None:
    port, heard = inside
    async with outside_client(timeout_seconds=5, lookup=Says(answer)) as client:
        with pytest.raises(NotPublic):
            await client.get(f"http://evil.example:{port}/")
    assert heard == []


async def test_a_name_is_looked_up_once_and_the_checked_address_is_the_one_connected_to() -> None:
    lookups = Says(["192.0.2.1"], ["127.0.0.1"])
    async with outside_client(timeout_seconds=5, lookup=lookups) as client:
        with pytest.raises(NotPublic):
            await client.get("http://rebinding.example/")
    assert lookups.answers == [["127.0.0.1"]]


async def test_a_host_the_operator_vouches_for_is_reached_and_redirects_are_not_followed(
    inside: tuple[int, list[bytes]],
) -> None:
    port, heard = inside
    vouched: dict[str, Any] = {"private_hosts": [f"registry.internal:{port}"]}
    async with outside_client(timeout_seconds=5, lookup=Says(["127.0.0.1"]), **vouched) as client:
        answer = await client.get(f"http://registry.internal:{port}/")
        assert answer.status_code == 302
        with pytest.raises(NotPublic):
            await client.get(f"http://other.internal:{port}/")
    assert len(heard) == 1
    assert f"host: registry.internal:{port}".encode() in heard[0].lower()
