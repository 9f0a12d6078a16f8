"""TLS at the real HAProxy: by host, changed while it serves, from files when it starts."""

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from gateway.certificate_files import ServedCertificate
from gateway.certificates import CertificateFollower, CertificateMetrics, TlsTable
from gateway.configuration import GatewayOptions
from gateway.launch import prepare_files
from gateway.runtime import Runtime
from gateway.snapshot import Snapshot
from gateway.tls import CERTIFICATES
from infrastructure.ending import end
from tests.certificates import Authority
from tests.gateway.conftest import (
    KEY,
    Answer,
    Frames,
    Gateway,
    Running,
    Upstream,
    eventually,
    free_port,
    read_answer,
)

SHOP, OPEN = "shop.apps.localhost", "open.apps.localhost"


class TlsTables:
    """A table of certificates in memory."""

    def __init__(self) -> None:
        self.table = TlsTable()
        self.applied_version = 0
        self._changed = asyncio.Event()

    def set(
        self, *certificates: ServedCertificate, challenges: dict[str, str] | None = None
    ) -> int:
        version = self.table.version + 1
        self.table = TlsTable(
            version=version, certificates=certificates, challenges=challenges or {}
        )
        self._changed.set()
        return version

    async def read(self) -> TlsTable:
        self._changed.clear()
        return self.table

    async def wait_for_change(self, timeout: float) -> bool:  # noqa: ASYNC109 - the port's own word
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        return self._changed.is_set()

    async def applied(self, version: int) -> None:
        self.applied_version = version

    async def arrived(self, version: int) -> None:
        await eventually(lambda: self.applied_version >= version)


@pytest.fixture
def options() -> GatewayOptions:
    plain, tls = free_port(), free_port()
    return GatewayOptions(
        binds=(f"127.0.0.1:{plain}",),
        tls_binds=(f"127.0.0.1:{tls}",),
        https_port=tls,
        connections_max=500,
    )


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def tables(gateway: Gateway) -> AsyncIterator[TlsTables]:
    tables = TlsTables()
    follower = CertificateFollower(
        tables, gateway.launch, CertificateMetrics(CollectorRegistry()), tick_seconds=0.05
    )
    following = asyncio.create_task(follower.run())
    yield tables
    await end(following)


def tls_port(gateway: Gateway) -> int:
    return gateway.launch.gateway.https_port


def served(authority: Authority, *hosts: str) -> ServedCertificate:
    chain, key = authority.issue(*hosts)
    return ServedCertificate(hosts, chain + key)


def trusting(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.pem)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def ask_tls(
    gateway: Gateway, context: ssl.SSLContext, host: str, *, sni: str = "", path: str = "/"
) -> tuple[Answer, str]:
    """Return the answer and the fingerprint of the certificate that was shown."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", tls_port(gateway), ssl=context, server_hostname=sni or host
    )
    try:
        channel: ssl.SSLObject = writer.get_extra_info("ssl_object")
        shown = hashlib.sha256(channel.getpeercert(binary_form=True) or b"").hexdigest()
        lines = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {KEY}\r\nConnection: close\r\n"
        writer.write(f"{lines}\r\n".encode())
        async with asyncio.timeout(20):
            return await read_answer(reader), shown
    finally:
        writer.close()
        with suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


def fingerprint(certificate: ServedCertificate) -> str:
    first = certificate.pem.split("-----END CERTIFICATE-----", maxsplit=1)[0]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first + "-----END CERTIFICATE-----")).hexdigest()


def shows(
    gateway: Gateway, authority: Authority, certificate: ServedCertificate
) -> Callable[[], Awaitable[bool]]:
    async def does() -> bool:
        with suppress(OSError, ssl.SSLError):
            host = certificate.hosts[0]
            _, shown = await ask_tls(gateway, trusting(authority), host)
            return shown == fingerprint(certificate)
        return False

    return does


async def test_each_host_is_shown_its_own_certificate_and_an_unknown_one_gets_no_handshake(
    serving: Gateway, tables: TlsTables, authority: Authority, upstream: Upstream
) -> None:
    shop, opened = served(authority, SHOP), served(authority, OPEN)
    await tables.arrived(tables.set(shop, opened))
    context = trusting(authority)

    answer, shown = await ask_tls(serving, context, SHOP)
    assert (answer.status, shown) == (200, fingerprint(shop))
    assert upstream.seen[-1][2]["x-forwarded-proto"] == "https"
    assert upstream.seen[-1][2]["x-forwarded-host"] == SHOP
    assert (await ask_tls(serving, context, OPEN))[1] == fingerprint(opened)

    for nobody in ("other.apps.localhost", "127.0.0.1"):
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await ask_tls(serving, context, SHOP, sni=nobody)


async def test_the_rules_are_the_same_over_tls_and_each_request_is_written_down(
    serving: Gateway, tables: TlsTables, authority: Authority, running: Running
) -> None:
    frames = Frames()
    running.meter(serving, frames)
    await tables.arrived(tables.set(served(authority, SHOP), served(authority, OPEN)))
    context = trusting(authority)
    context_without_key = await serving.send(
        f"GET / HTTP/1.1\r\nHost: {SHOP}\r\nConnection: close\r\n\r\n".encode()
    )
    assert context_without_key.status == 308
    assert (await ask_tls(serving, context, SHOP, path="/first"))[0].status == 200
    refused, _ = await ask_tls(serving, context, OPEN, path="/%2e%2e/first")
    assert (refused.status, refused.code) == (400, "path_ambiguous")

    await eventually(lambda: "/first" in {line.path for line in frames.lines()})
    line = next(line for line in frames.lines() if line.path == "/first")
    assert (line.deployment_id, line.key_id, line.billable) == ("dpl-shop", "key-1", True)
    moved = next(line for line in frames.lines() if line.status == 308)
    assert (moved.refused, moved.billable) == ("https_required", False)


async def test_a_host_with_a_certificate_is_moved_to_https_and_stays_there(
    serving: Gateway, tables: TlsTables, authority: Authority
) -> None:
    before = await serving.ask("/", key=KEY, host=SHOP)
    assert before.status == 200
    await tables.arrived(
        tables.set(served(authority, SHOP), challenges={"tok-1": "tok-1.print", "tok": "x.y"})
    )

    moved = await serving.ask("/a/b?c=d", key=KEY, host=SHOP.upper() + ":80", method="POST")
    assert (moved.status, moved.code) == (308, "https_required")
    assert moved.headers["location"] == f"https://{SHOP}:{tls_port(serving)}/a/b?c=d"
    assert "strict-transport-security" not in moved.headers
    answer, _ = await ask_tls(serving, trusting(authority), SHOP)
    assert answer.headers["strict-transport-security"] == "max-age=31536000"

    assert (await serving.ask("/", key=KEY, host=OPEN)).status == 200
    for host in (SHOP, OPEN, "unknown.example"):
        asked = await serving.ask("/.well-known/acme-challenge/tok-1", host=host)
        assert (asked.status, asked.body) == (200, b"tok-1.print")
        assert "strict-transport-security" not in asked.headers
    other = await serving.ask("/.well-known/acme-challenge/tok-2", host=SHOP)
    assert other.status == 308

    await tables.arrived(tables.set())
    assert (await serving.ask("/", key=KEY, host=SHOP)).status == 200
    assert (await serving.ask("/.well-known/acme-challenge/tok-1", key=KEY, host=SHOP)).body != (
        b"tok-1.print"
    )


async def test_only_tls_1_2_and_1_3_are_spoken_and_http_2_is_offered(
    serving: Gateway, tables: TlsTables, authority: Authority
) -> None:
    await tables.arrived(tables.set(served(authority, SHOP)))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting(authority)
        context.minimum_version = context.maximum_version = version
        assert (await ask_tls(serving, context, SHOP))[0].status == 200

    # Python speaks nothing older any more without a warning, so `openssl` asks.
    for old, spoken in (("-tls1_1", False), ("-tls1_2", True)):
        asking = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-connect", f"127.0.0.1:{tls_port(serving)}"),
            *("-servername", SHOP, old, "-cipher", "DEFAULT@SECLEVEL=0", "-alpn", "h2,http/1.1"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asking.communicate()
        assert (b"ALPN protocol: h2" in said) is spoken, said.decode()


async def test_requests_that_share_an_http_2_connection_are_each_answered_and_written_down(
    serving: Gateway,
    tables: TlsTables,
    authority: Authority,
    running: Running,
    upstream: Upstream,
    tmp_path: Path,
) -> None:
    frames = Frames()
    running.meter(serving, frames)
    await tables.arrived(tables.set(served(authority, SHOP)))
    root = tmp_path / "root.pem"
    root.write_text(authority.pem)
    site = f"https://{SHOP}:{tls_port(serving)}"
    paths = [f"/stream-{number}" for number in range(10)]
    asking = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "--http2", "--parallel", "--max-time", "60", "--cacert", root),
        *("--resolve", f"{SHOP}:{tls_port(serving)}:127.0.0.1", "-H", f"X-API-Key: {KEY}"),
        *("-w", "%{http_version} %{http_code} %{num_connects}\\n"),
        *(word for path in paths for word in (f"{site}{path}", "-o", "/dev/null")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    said, _ = await asking.communicate()
    answers = [line.split() for line in said.decode().splitlines()]
    assert [answer[:2] for answer in answers] == [["2", "200"]] * len(paths), said
    assert sum(int(connects) for *_, connects in answers) < len(paths)
    assert set(paths) <= {path for _, path, _ in upstream.seen}
    await eventually(lambda: {line.path for line in frames.lines()} >= set(paths))
    lines = [line for line in frames.lines() if line.path in paths]
    assert len(lines) == len(paths)
    assert {(line.status, line.key_id, line.billable) for line in lines} == {(200, "key-1", True)}


async def test_a_renewed_certificate_is_shown_without_a_reload_and_without_a_failed_request(
    serving: Gateway, tables: TlsTables, authority: Authority
) -> None:
    context = trusting(authority)
    await tables.arrived(tables.set(served(authority, SHOP)))
    before = await Runtime(serving.launch.run_folder).workers()
    statuses: list[int] = []
    renewed = asyncio.Event()

    async def keep_asking() -> None:
        while not renewed.is_set():
            statuses.append((await ask_tls(serving, context, SHOP))[0].status)

    asking = [asyncio.create_task(keep_asking()) for _ in range(4)]
    for _ in range(10):
        newest = served(authority, SHOP)
        await tables.arrived(tables.set(newest, served(authority, OPEN)))
        assert (await ask_tls(serving, context, SHOP))[1] == fingerprint(newest)
    renewed.set()
    await asyncio.gather(*asking)
    assert set(statuses) == {200}
    assert len(statuses) >= 10
    assert await Runtime(serving.launch.run_folder).workers() == before


async def test_a_gateway_that_starts_alone_shows_the_same_certificates_at_once(
    serving: Gateway, tables: TlsTables, authority: Authority, running: Running
) -> None:
    shop, opened = served(authority, SHOP), served(authority, OPEN)
    await tables.arrived(tables.set(shop, opened))
    await running.stop()
    await serving.kill()
    lost = serving.launch.run_folder / opened.file
    lost.unlink()  # a damaged volume must not keep the others from being served
    await serving.start()
    await eventually(shows(serving, authority, shop))
    with pytest.raises(ssl.SSLError):
        await ask_tls(serving, trusting(authority), OPEN)


async def test_after_a_reload_the_certificates_are_still_there(
    serving: Gateway, tables: TlsTables, authority: Authority
) -> None:
    shop = served(authority, SHOP)
    await tables.arrived(tables.set(shop))
    await Runtime(serving.launch.run_folder).reload()
    assert await shows(serving, authority, shop)()
    newest = served(authority, SHOP)
    tables.set(newest)
    await eventually(shows(serving, authority, newest))


async def test_what_haproxy_does_not_take_is_left_out_and_the_others_are_served(
    serving: Gateway, tables: TlsTables, authority: Authority
) -> None:
    shop, other = served(authority, SHOP), served(authority, OPEN)
    key_of_another = other.pem[other.pem.index("-----BEGIN PRIVATE") :]
    mixed = shop.pem[: shop.pem.index("-----BEGIN PRIVATE")] + key_of_another
    await tables.arrived(
        tables.set(
            ServedCertificate(("a.test",), mixed), shop, ServedCertificate(("b.test",), "rubbish")
        )
    )
    assert await shows(serving, authority, shop)()
    listed = Snapshot(serving.launch.run_folder, serving.launch.haproxy).read(CERTIFICATES)
    assert listed == f"{shop.file} {SHOP}\n"


async def test_keys_are_readable_by_the_gateways_user_only_and_go_when_they_are_not_used(
    gateway: Gateway, authority: Authority
) -> None:
    follower = CertificateFollower(
        TlsTables(), gateway.launch, CertificateMetrics(CollectorRegistry())
    )
    prepare_files(gateway.launch)
    one = served(authority, SHOP)
    follower._folder.keep([one])
    path = gateway.launch.run_folder / one.file
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {
        file.stat().st_mode & 0o777
        for file in (gateway.launch.run_folder / "current").iterdir()
        if not file.is_symlink()
    } == {0o600}
    follower._folder.forget()
    assert path.exists()
    _age(path)
    follower._folder.forget()
    assert not path.exists()
    assert "PRIVATE" not in repr(one)
    assert msgspec.structs.asdict(one)["pem"].count("PRIVATE") == 2


def _age(path: Path) -> None:
    os.utime(path, (0, 0))
