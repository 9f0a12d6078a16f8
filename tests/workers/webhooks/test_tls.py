"""Messages over TLS: to the host that the URL names, at the address that was looked at."""

import ssl
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infrastructure.outside.client import Lookup
from infrastructure.webhooks import Unreachable
from infrastructure.webhooks.http import HttpPoster
from tests.certificates import Authority
from tests.webhook_receiver import Receiver, running_receiver
from tests.workers.webhooks.conftest import Scene

HOST = "hooks.example.com"


class Here(Lookup):
    """A resolver to which every name is this machine."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        del port
        self.asked.append(host)
        return ["127.0.0.1"]


class Site:
    """A server with a certificate; `named` has what callers said they came for."""

    def __init__(self, receiver: Receiver, named: list[str | None], folder: Path) -> None:
        self.receiver = receiver
        self.named = named
        self._folder = folder

    async def post(
        self,
        *,
        trusting: Authority | None,
        host: str = HOST,
        lookup: Lookup | None = None,
        vouched: Collection[str] = (HOST, "127.0.0.1"),
    ) -> int:
        ca_file = None
        if trusting is not None:
            ca_file = self._folder / "trusted.pem"
            ca_file.write_text(trusting.pem)
        poster = HttpPoster(
            private_hosts=vouched, timeout_seconds=30, lookup=lookup or Here(), ca_file=ca_file
        )
        url = f"https://{host}:{self.receiver.port}/hook"
        try:
            return (await poster.post(url, headers={}, body=b"{}")).status
        finally:
            await poster.close()


@asynccontextmanager
async def site(certificate: tuple[str, str], folder: Path) -> AsyncIterator[Site]:
    file = folder / "server.pem"
    file.write_text("".join(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    named: list[str | None] = []
    context.sni_callback = lambda _, name, __: named.append(name)  # type: ignore[assignment]
    async with running_receiver(context) as receiver:
        yield Site(receiver, named, folder)


async def test_the_host_is_named_and_the_address_that_was_looked_at_is_the_one_asked(
    tmp_path: Path,
) -> None:
    authority, lookup = Authority(), Here()
    async with site(authority.issue(HOST), tmp_path) as there:
        assert await there.post(trusting=authority, lookup=lookup) == 200
        assert (there.named, lookup.asked) == ([HOST], [HOST])
        [posted] = there.receiver.posted
        assert posted.headers["host"] == f"{HOST}:{there.receiver.port}"


async def test_a_certificate_for_an_address_is_taken_for_that_address(tmp_path: Path) -> None:
    authority = Authority()
    async with site(authority.issue("127.0.0.1"), tmp_path) as there:
        assert await there.post(trusting=authority, host="127.0.0.1") == 200


async def test_a_right_certificate_makes_no_address_of_ours_a_public_one(tmp_path: Path) -> None:
    authority = Authority()
    async with site(authority.issue(HOST), tmp_path) as there:
        with pytest.raises(Unreachable, match="public internet"):
            await there.post(trusting=authority, vouched=())
        assert there.named == []


async def test_a_certificate_that_is_not_right_is_refused_and_the_reason_is_said(
    tmp_path: Path,
) -> None:
    ours, alone = Authority(), Authority(HOST)
    signed_by_itself = alone.issue(HOST, key=alone.key)
    refused = {
        "is for another host": (ours.issue("other.example.com"), ours),
        "has expired": (ours.issue(HOST, days=-1, began_days_ago=9), ours),
        "is not valid yet": (ours.issue(HOST, began_days_ago=-1), ours),
        "is signed by itself": (signed_by_itself, ours),
        "an authority that is not trusted here": (ours.issue(HOST), None),
    }
    for reason, (certificate, trusting) in refused.items():
        async with site(certificate, tmp_path) as there:
            with pytest.raises(Unreachable, match=f"TLS failed: .*{reason}"):
                await there.post(trusting=trusting)
            assert there.receiver.posted == []


async def test_the_reason_stands_in_the_delivery_log(scene: Scene, tmp_path: Path) -> None:
    async with site(Authority().issue("127.0.0.1"), tmp_path) as there:
        host = there.receiver.host
        await scene.make(url=f"https://{host}/hook", private_hosts=(host,))
        await scene.keys()
        scene.start(private_hosts=(host,))
        await scene.until("(SELECT attempts = 1 FROM webhook_deliveries)")
        [row] = await scene.settled("pending")
        assert "an authority that is not trusted here" in row["problem"]
        assert there.receiver.posted == []
