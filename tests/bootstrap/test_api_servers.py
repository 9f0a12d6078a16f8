"""The API over TLS, beside the plain port."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import connect

from bootstrap.api_servers import CertificateFile, listen
from bootstrap.settings import Settings, SettingsError, load
from infrastructure.certificates.inspecting import facts_of_pem
from infrastructure.ending import end
from tests.certificates import Authority
from tests.gateway.conftest import eventually
from tests.servers import free_port

HOST = "localhost"


def small_app() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def answer() -> str:
        return "here"

    @app.websocket("/socket")
    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    return app


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.pem)


@pytest.fixture
async def settings(tmp_path: Path, authority: Authority) -> AsyncIterator[Settings]:
    certificate = tmp_path / "api.pem"
    certificate.write_text("".join(authority.issue(HOST)))
    settings = load(
        {
            "TALLYPORT_HOME": str(tmp_path),
            "TALLYPORT_API_PORT": str(free_port()),
            "TALLYPORT_API_TLS_PORT": str(free_port()),
            "TALLYPORT_API_CERTIFICATE": str(certificate),
        }
    )
    stop = asyncio.Event()
    listening = asyncio.create_task(listen(small_app(), settings, stop))

    async def ready() -> bool:
        try:
            async with asyncio.timeout(5):
                for port in (settings.api.port, settings.tls.api_port):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
        except OSError:
            return False
        return True

    await eventually(ready)
    yield settings
    stop.set()
    async with asyncio.timeout(20):
        await listening


async def test_requests_and_web_sockets_are_answered_over_tls(
    settings: Settings, trusting: ssl.SSLContext
) -> None:
    place = f"{HOST}:{settings.tls.api_port}"
    async with httpx.AsyncClient(verify=trusting) as client:
        assert (await client.get(f"https://{place}/")).json() == "here"
        plain = await client.get(f"http://{HOST}:{settings.api.port}/")
        assert plain.json() == "here"
    async with connect(f"wss://{place}/socket", ssl=trusting) as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"


async def test_nothing_older_than_tls_1_2_is_spoken(settings: Settings) -> None:
    for old, spoken in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        asking = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-connect", f"127.0.0.1:{settings.tls.api_port}"),
            *("-servername", HOST, old, "-cipher", "DEFAULT@SECLEVEL=0"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asking.communicate()
        assert (b"BEGIN CERTIFICATE" in said) is spoken, said.decode()


async def test_a_certificate_that_was_replaced_is_shown_to_the_next_who_comes(
    tmp_path: Path, authority: Authority, trusting: ssl.SSLContext
) -> None:
    path = tmp_path / "api.pem"
    path.write_text("".join(authority.issue(HOST)))
    certificate = CertificateFile(path)
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=certificate.context
    )
    port = server.sockets[0].getsockname()[1]
    following = asyncio.create_task(certificate.follow(look_seconds=0.02))

    async def shown() -> str:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname=HOST
        )
        channel: ssl.SSLObject = writer.get_extra_info("ssl_object")
        one = ssl.DER_cert_to_PEM_cert(channel.getpeercert(binary_form=True) or b"")
        writer.close()
        return facts_of_pem(one).fingerprint

    first = await shown()
    path.write_text("half a certificate")
    await eventually(lambda: certificate._state == certificate._look())
    assert await shown() == first
    chain, key = authority.issue(HOST)
    path.write_text(chain + key)

    async def is_new() -> bool:
        return await shown() == facts_of_pem(chain).fingerprint

    await eventually(is_new)
    await end(following)
    server.close()


def test_a_port_for_tls_needs_a_certificate(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="TALLYPORT_API_CERTIFICATE"):
        load({"TALLYPORT_HOME": str(tmp_path), "TALLYPORT_API_TLS_PORT": "8444"})
