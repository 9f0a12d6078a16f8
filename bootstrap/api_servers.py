"""What the API listens with: plain HTTP, and TLS where the operator has a certificate for it."""

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from bootstrap.settings import Settings
from gateway.tls import CIPHERS
from infrastructure.ending import end

STOP_SECONDS = 10
FRAME_BYTES_MAX = 64 * 1024
"""What a client may say on a WebSocket at once. It has nothing to say at all."""
WEBSOCKETS = "websockets-sansio"
"""The part of uvicorn that speaks WebSocket: the one that is not on its way out."""
LOOK_SECONDS = 2.0

log = structlog.get_logger()


async def listen(app: FastAPI, settings: Settings, stop: asyncio.Event) -> None:
    """Answer until told to stop; requests under way are finished first."""
    servers = [_server(app, settings, settings.api.port)]
    tls, working = settings.tls, [asyncio.ensure_future(_until(stop))]
    if tls.api_port and tls.api_certificate is not None:
        certificate = CertificateFile(tls.api_certificate)
        servers.append(
            _server(
                app,
                settings,
                tls.api_port,
                ssl_context_factory=lambda *_: certificate.context,
            )
        )
        working.append(asyncio.ensure_future(certificate.follow()))
    serving = [asyncio.create_task(_serve_without_signals(server)) for server in servers]
    try:
        await asyncio.wait({*serving, *working}, return_when=asyncio.FIRST_COMPLETED)
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*serving)
    finally:
        await end(*working, *serving)


class CertificateFile:
    """A PEM file with a chain and its key, and the context that new connections get."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = self._look()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_ciphers(CIPHERS)
        self.context.set_alpn_protocols(["http/1.1"])
        self.context.load_cert_chain(path)

    async def follow(self, *, look_seconds: float = LOOK_SECONDS) -> None:
        """Take a new certificate as soon as it is there. Never returns."""
        while True:
            await asyncio.sleep(look_seconds)
            state = self._look()
            if state == self._state:
                continue
            self._state = state
            try:
                # One that is wrong must not spoil the context that is in use.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._path)
                self.context.load_cert_chain(self._path)
            except OSError as error:
                log.error("the API's certificate cannot be used", reason=str(error))  # noqa: TRY400 - its words say it all
            else:
                log.info("the API's certificate was read again")

    def _look(self) -> tuple[int, int, int]:
        try:
            state = os.stat(self._path)  # noqa: PTH116 - as quick as it gets
        except OSError:
            return (0, 0, 0)
        return (state.st_mtime_ns, state.st_size, state.st_ino)


def server_config(app: FastAPI, *, host: str, port: int, **more: Any) -> uvicorn.Config:  # noqa: ANN401 - uvicorn's own
    """Return how requests and sockets are taken: nobody's can be large, or inflate to be."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        ws=WEBSOCKETS,
        ws_max_size=FRAME_BYTES_MAX,
        ws_per_message_deflate=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=STOP_SECONDS,
        **more,
    )


def _server(app: FastAPI, settings: Settings, port: int, **more: Any) -> uvicorn.Server:  # noqa: ANN401 - uvicorn's own
    return uvicorn.Server(server_config(app, host=settings.api.host, port=port, **more))


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


async def _serve_without_signals(server: uvicorn.Server) -> None:
    """Serve without uvicorn's own signal handlers: the process has its own."""
    await server._serve()  # noqa: SLF001 - `serve` only adds the handlers
