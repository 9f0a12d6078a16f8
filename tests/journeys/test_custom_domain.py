"""A name of one's own: added, proven in a real DNS server, answered by the real gateway, let go."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dns_server import DnsServer, running_dns_server
from tests.platform import Person, Platform

NAME = "www.example.com"


@contextmanager
def dns_in_a_thread() -> Iterator[DnsServer]:
    """Run the DNS server in a loop of its own: the story is told without one."""
    started: list[DnsServer] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()
    ending = asyncio.Event()

    async def serve() -> None:
        async with running_dns_server() as server:
            started.append(server)
            ready.set()
            await ending.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield started[0]
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with dns_in_a_thread() as server:
        yield server


@pytest.fixture
def platform(tmp_path: Path, server: DnsServer) -> Iterator[Platform]:
    platform = Platform(tmp_path / "home")
    platform.environment |= {
        "TALLYPORT_DNS_RESOLVERS": f"127.0.0.1:{server.port}",
        "TALLYPORT_ACME_DIRECTORY": "off",
    }
    with platform:
        yield platform


def follow_the_advice(server: DnsServer, domain: dict[str, Any]) -> None:
    """Make the records that the answer names."""
    records: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for record in domain["dnsRecords"]:
        records[record["name"]][record["type"]] = record["value"]
    for name, values in records.items():
        server.put(name, **values)


def test_a_name_of_one_s_own_answers_from_its_proof_until_it_is_let_go(
    platform: Platform, server: DnsServer
) -> None:
    anna = Person(platform, "anna")
    shop = anna.deploy("shop")
    key = {"X-API-Key": anna.create_key()["apiKey"]}
    domain = anna.post(f"/deployments/{shop['id']}/domains", domain=NAME)
    path = f"/deployments/{shop['id']}/domains/{domain['id']}"

    def status_at_the_gateway(**headers: str) -> int:
        headers = {"Host": NAME, **headers}
        return httpx.get(f"{platform.gateway_url}/work", headers=headers).status_code

    assert status_at_the_gateway(**key) == 404
    platform.wait_until(
        lambda: "NXDOMAIN" in (anna.get(path)["failure"] or ""), 30, "nobody looked it up"
    )
    platform.kill("scheduler")
    follow_the_advice(server, domain)
    anna.post(f"{path}/verify")
    platform.wait_until(lambda: anna.get(path)["status"] == "active", 30, "it is not verified")
    platform.wait_until(lambda: status_at_the_gateway(**key) == 200, 30, "it is not routed")
    assert status_at_the_gateway() == 401

    anna.delete(path)
    platform.wait_until(lambda: status_at_the_gateway(**key) == 404, 30, "it is still routed")
    again = anna.post(f"/deployments/{shop['id']}/domains", domain=NAME)
    assert again["dnsRecords"] != domain["dnsRecords"]
    anna.close()
