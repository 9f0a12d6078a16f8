"""A server as a team might have one, which keeps what it is told and answers as a test wants."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answerer = Callable[["Posted", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Posted:
    """A request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


def answering(status: int, *headers: str, body: bytes = b"thanks") -> Answerer:
    """Return what answers so."""

    async def answer(_: Posted, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)

    return answer


@dataclass
class Receiver:
    """The server. `answers` has by path what answers; another path is thanked for."""

    port: int = 0
    posted: list[Posted] = field(default_factory=list)
    answers: dict[str, Answerer] = field(default_factory=dict)
    greeting: bytes = b""
    """What is said before anything was asked."""
    under_way: int = 0
    under_way_most: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/hook") -> str:
        return f"http://{self.host}{path}"

    def at(self, path: str = "/hook") -> list[Posted]:
        """Return what came to a path."""
        return [each for each in self.posted if each.path == path]

    async def until(self, number: int, path: str = "/hook") -> list[Posted]:
        """Return what came once there is so much of it."""
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(lambda: len(self.at(path)) >= number)
        return self.at(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(self.greeting)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(await _read(reader), writer)
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, posted: Posted, writer: asyncio.StreamWriter) -> None:
        self.under_way += 1
        self.under_way_most = max(self.under_way, self.under_way_most)
        async with self._news:
            self.posted.append(posted)
            self._news.notify_all()
        try:
            await self.answers.get(posted.path, answering(200))(posted, writer)
            await writer.drain()
        finally:
            self.under_way -= 1


async def _read(reader: asyncio.StreamReader) -> Posted:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.split("\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Posted(first.split(" ")[1], headers, body)


@asynccontextmanager
async def running_receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Run one; at the end every connection is closed, however long it would have taken."""
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(receiver.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in [*tasks]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
