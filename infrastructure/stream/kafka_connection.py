"""How to reach Kafka, and how to open one of the library's clients without leaking it.

The library starts a thread in a client's constructor and forgets it when no broker answers, and it
forgets each socket that could not connect. During an outage that would be a thread and some sockets
for each attempt, so both are closed here.
"""

import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from infrastructure.stream.kafka_library import (
    KafkaConnectionError,
    KafkaNetClient,
    KafkaNetSocket,
)


class KafkaServers(msgspec.Struct, frozen=True, kw_only=True):
    """Where the brokers are and how to sign in."""

    bootstrap: str
    """Comma-separated ``host:port``."""
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = None
    ssl_cafile: str | None = None
    connect_timeout_seconds: float = 3.0

    def __repr__(self) -> str:
        return f"KafkaServers({self.bootstrap!r}, {self.security_protocol!r})"


class _DirectSocket(KafkaNetSocket):  # type: ignore[misc] # the library has no types
    """The library's plain way to connect (it is chosen by scheme), minus the forgotten sockets."""

    SCHEMES = ("direct",)

    async def sock_connect(
        self,
        net: object,
        sock: socket.socket,
        sockaddr: object,
        timeout_at: float | None = None,
    ) -> socket.socket:
        try:
            await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise
        return sock


class _Closable(Protocol):
    def close(self) -> object: ...


Client = TypeVar("Client", bound=_Closable)


def open_client(servers: KafkaServers, make: Callable[..., Client], **config: object) -> Client:
    """Return one of the library's clients, connected; raises and leaves nothing behind if not."""
    # The library logs each failed attempt as an error; what failed reaches us as exceptions.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    _probe(servers)
    opened: list[KafkaNetClient] = []

    def remember(**settings: Any) -> KafkaNetClient:  # noqa: ANN401 - the library's own settings
        opened.append(KafkaNetClient(**settings))
        return opened[-1]

    timeout_ms = int(1000 * servers.connect_timeout_seconds)
    try:
        return make(
            bootstrap_servers=servers.bootstrap.split(","),
            security_protocol=servers.security_protocol,
            sasl_mechanism=servers.sasl_mechanism,
            sasl_plain_username=servers.sasl_username,
            sasl_plain_password=servers.sasl_password,
            ssl_cafile=servers.ssl_cafile,
            bootstrap_timeout_ms=timeout_ms,
            reconnect_backoff_max_ms=1000,
            proxy_url="direct://",
            kafka_client=remember,
            **config,
        )
    except BaseException:
        for client in opened:
            with contextlib.suppress(Exception):
                client.close()
        raise


def _probe(servers: KafkaServers) -> None:
    """Fail at once if nobody listens, before any thread is started."""
    failure: OSError | None = None
    for server in servers.bootstrap.split(","):
        host, _, port = server.rpartition(":")
        try:
            with socket.create_connection(
                (host.strip("[]"), int(port)), timeout=servers.connect_timeout_seconds
            ):
                return
        except OSError as error:
            failure = error
    raise KafkaConnectionError(f"no Kafka broker listens at {servers.bootstrap}") from failure
