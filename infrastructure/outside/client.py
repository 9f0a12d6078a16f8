"""The client for addresses that people name."""

import asyncio
import socket
import ssl
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import httpcore
import httpx

from infrastructure.outside import NotPublic, is_public

SOCKET_OPTION = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)


class Lookup:
    """Looks names up with the system's resolver."""

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return every address of the name; raises `OSError`."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Connection(httpcore.AsyncNetworkStream):
    """A connection that is closed when its TLS handshake is ended from outside, by a deadline.

    httpcore closes it after an error only, and one that nobody closes stays open for ever.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's interface
        """Read."""
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the same
        """Write."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the same
    ) -> httpcore.AsyncNetworkStream:
        """Speak TLS from here on."""
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except asyncio.CancelledError:
            await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - the same
        """Tell what the stream knows."""
        return self._stream.get_extra_info(info)


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, lookup: Lookup, private_hosts: Collection[str]) -> None:
        self._lookup = lookup
        self._private_hosts = private_hosts
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look the name up once, check what it says, connect to just that."""
        try:
            addresses = await self._lookup(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} cannot be looked up") from error
        known = {host, f"{host}:{port}"} & set(self._private_hosts)
        if not known and not all(is_public(address) for address in addresses):
            raise NotPublic(f"{host} is not on the public internet")
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                connected = await self._network.connect_tcp(
                    address,
                    port,
                    timeout=timeout,
                    local_address=local_address,
                    socket_options=socket_options,
                )
                return _Connection(connected)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:  # noqa: ANN401
        """Refuse: a socket in the file system is never outside."""
        raise NotPublic("a local socket is not outside")

    async def sleep(self, seconds: float) -> None:
        """Wait between attempts."""
        await asyncio.sleep(seconds)


class _Transport(httpx.AsyncHTTPTransport):
    """httpx's transport over a network of our own."""

    def __init__(self, network: CheckedNetwork, connections_max: int, ca_file: Path | None) -> None:
        super().__init__(trust_env=False, http2=False)
        trusting = ssl.create_default_context()
        if ca_file is not None:
            trusting.load_verify_locations(ca_file)  # besides those trusted anyway
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusting,
            max_connections=connections_max,
            max_keepalive_connections=0,
            network_backend=network,
        )


def outside_client(
    *,
    timeout_seconds: float,
    private_hosts: Collection[str] = (),
    lookup: Lookup | None = None,
    connections_max: int = 20,
    ca_file: Path | None = None,
) -> httpx.AsyncClient:
    """Return a client; `private_hosts` are names (or name:port) the operator vouches for."""
    network = CheckedNetwork(lookup or Lookup(), private_hosts)
    return httpx.AsyncClient(
        transport=_Transport(network, connections_max, ca_file),
        timeout=timeout_seconds,
        follow_redirects=False,
        trust_env=False,
    )
