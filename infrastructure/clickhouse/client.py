"""ClickHouse by `clickhouse-connect`'s ordinary HTTP client, called from threads of its own.

The client keeps no session, so one is enough for all threads, and a restarted server is simply
met by the next request on a new connection.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import (
    DatabaseError,
    OperationalError,
    StreamFailureError,
)
from clickhouse_connect.driver.exceptions import Error as DriverError
from clickhouse_connect.driver.httputil import get_pool_manager

from infrastructure.clickhouse import ClickHouseAway, ClickHouseRefused, RowType

Result = TypeVar("Result")

# Codes with which a server says "not now": timeout, too many queries, stopping, no memory, too
# many parts, and cancelled (by another who inserts the same).
BUSY_CODES = frozenset({159, 202, 236, 241, 252, 394})


# The rows of one insert reach the table as one block, so as one part: all of them or none.
ONE_BLOCK = {
    "input_format_parallel_parsing": 0,
    "max_insert_block_size": 10_000_000,
    "min_insert_block_size_rows": 10_000_000,
    "min_insert_block_size_bytes": 1_000_000_000,
}


class ClickHouseOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where ClickHouse is and how long to wait for it."""

    url: str
    """``http://user:password@host:port/database``; https as well."""
    connect_timeout_seconds: int = 3
    answer_timeout_seconds: int = 60
    retries_max: int = 4
    """How often a query or command is tried again when the server is away."""
    retry_delay_seconds: float = 0.1
    """Before the first retry; each further one waits twice as long."""
    connections_max: int = 16


class ClickHouseClient:
    """The port `ClickHouse` over HTTP."""

    def __init__(self, options: ClickHouseOptions) -> None:
        # The driver logs each failed attempt; whoever calls us hears of it as an exception.
        logging.getLogger("clickhouse_connect").setLevel(logging.ERROR)
        self._options = options
        self._threads = ThreadPoolExecutor(options.connections_max, "clickhouse")
        self._pool = get_pool_manager(maxsize=options.connections_max)
        self._connected: Client | None = None

    async def command(self, statement: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run a statement without a result, again when the server was away."""
        await self._in_thread(
            lambda client: client.command(statement, parameters=dict(parameters or {})),
            retries_max=self._options.retries_max,
        )

    async def query(
        self,
        kind: type[RowType],
        statement: str,
        parameters: Mapping[str, object] | None = None,
    ) -> list[RowType]:
        """Return a statement's rows, each as a `kind`; asked again when the server was away."""

        def ask(client: Client) -> list[RowType]:
            answer = client.query(statement, parameters=dict(parameters or {}))
            return msgspec.convert(list(answer.named_results()), list[kind])  # type: ignore[valid-type]

        return await self._in_thread(ask, retries_max=self._options.retries_max)

    async def insert(self, table: str, rows: Sequence[msgspec.Struct], *, writer: str) -> None:
        """Insert rows as one block, once. After an error nobody knows whether they are stored."""
        lines = msgspec.json.Encoder().encode_lines(rows)
        columns = rows[0].__struct_fields__
        await self._in_thread(
            lambda client: client.raw_insert(
                table,
                columns,
                # A generator on purpose: bytes the driver would send a second time by itself when
                # the connection breaks, although the first time may have been stored.
                (part for part in (lines,)),
                settings={**ONE_BLOCK, "log_comment": writer},
                fmt="JSONEachRow",
            ),
            retries_max=0,
        )

    async def stop_inserts(self, writer: str) -> None:
        """Cancel this writer's running inserts and wait until they are gone."""
        await self.command(
            "KILL QUERY WHERE user = currentUser() AND query_kind = 'Insert'"
            " AND Settings['log_comment'] = {writer:String} SYNC",
            {"writer": writer},
        )

    async def close(self) -> None:
        """Close the connections; running calls end first."""
        await asyncio.to_thread(self._threads.shutdown)
        self._pool.clear()

    async def _in_thread(self, call: Callable[[Client], Result], *, retries_max: int) -> Result:
        given_up = threading.Event()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, self._attempts, call, retries_max, given_up)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # A thread cannot be cancelled. Left behind it could still insert, or stop an insert,
            # after our successor has looked: so it is waited for, bounded by the timeouts.
            given_up.set()
            await asyncio.wait([work])
            work.exception()
            raise

    def _attempts(
        self, call: Callable[[Client], Result], retries_max: int, given_up: threading.Event
    ) -> Result:
        attempt = 0
        while True:
            try:
                return call(self._client())
            except (DriverError, OSError) as error:
                failure = _translated(error)
                if isinstance(failure, ClickHouseRefused) or attempt == retries_max:
                    raise failure from error
            if given_up.wait(self._options.retry_delay_seconds * 2**attempt):
                raise failure
            attempt += 1

    def _client(self) -> Client:
        # Two threads may both connect at first; one of the two clients is dropped, harmlessly:
        # a client is a few settings, the connections are the pool's.
        if self._connected is None:
            url = urlsplit(self._options.url)
            self._connected = clickhouse_connect.get_client(
                interface=url.scheme,
                host=url.hostname,
                port=url.port or (8443 if url.scheme == "https" else 8123),
                username=unquote(url.username or "default"),
                password=unquote(url.password or ""),
                database=unquote(url.path.strip("/")) or "default",
                compress=False,
                connect_timeout=self._options.connect_timeout_seconds,
                send_receive_timeout=self._options.answer_timeout_seconds,
                query_retries=0,
                pool_mgr=self._pool,
                autogenerate_session_id=False,
                settings={
                    # The server's default may be to acknowledge before the rows are stored.
                    "async_insert": 0,
                    # A block equal to an earlier one is not a repetition; who repeats is decided
                    # by the rows' own identity.
                    "insert_deduplicate": 0,
                    "max_execution_time": self._options.answer_timeout_seconds,
                },
            )
        return self._connected


def _translated(error: Exception) -> ClickHouseAway | ClickHouseRefused:
    code = getattr(error, "code", None)
    if code in BUSY_CODES:
        return ClickHouseAway(str(error))
    # Without a number from ClickHouse it is the transport, or the driver refusing our values.
    transport = isinstance(error, OSError | OperationalError | StreamFailureError)
    if code is None and (transport or type(error) is DatabaseError):
        return ClickHouseAway(str(error))
    return ClickHouseRefused(str(error), code)
