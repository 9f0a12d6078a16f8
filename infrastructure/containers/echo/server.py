"""The sample API: it answers with what it was asked. Standard library only, one file.

GET /health            200, always
GET /openapi.json      what is said here, as an OpenAPI document
any /slow?ms=250       answers after that many milliseconds (at most 60,000)
any /status/<code>     answers with that status, 200 to 599
any /bytes/<n>         answers with n bytes (at most 100 MiB)
any other path         the request as JSON: method, path, query, headers, body

It listens on $PORT (and $HOST, 0.0.0.0 when not set), keeps connections open, writes one JSON line
per request to standard output, and on SIGTERM finishes what it has begun, then ends.
"""

import asyncio
import base64
import collections
import http
import json
import os
import signal
import socket
import sys
import time
from urllib.parse import parse_qsl, unquote

HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 16 * 1024**2
ANSWER_BYTES_MAX = 100 * 1024**2
DELAY_MILLISECONDS_MAX = 60_000
PIPELINE_MAX = 64
REQUEST_LINE_WORDS = 3
STATUS_CODES = range(200, 600)
DIGITS_MAX = 12
TARGET_CHARACTERS_LOGGED = 500
BODILESS = (204, 304)
BLOCK = b"x" * 65536
JSON = "application/json"
REPLICA = os.environ.get("TALLYPORT_REPLICA_ID") or socket.gethostname()


ECHOED = {
    "type": "object",
    "description": "The request, as it arrived.",
    "properties": {
        "method": {"type": "string", "example": "GET"},
        "path": {"type": "string", "example": "/orders/7"},
        "query": {"type": "object"},
        "headers": {"type": "object"},
        "body": {},
    },
}
ANSWERS = {"200": {"description": "The request", "content": {JSON: {"schema": ECHOED}}}}
PART = {"name": "part", "in": "path", "required": True, "example": "orders"}
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {
        "title": "Echo",
        "version": "1.0.0",
        "description": "It answers with what it was asked. **Try it** with a key of your own.",
    },
    "paths": {
        "/health": {
            "get": {
                "tags": ["Health"],
                "summary": "Tell that it is well",
                "responses": {"200": {"description": "It is, always."}},
            }
        },
        "/{part}": {
            "parameters": [{**PART, "schema": {"type": "string"}}],
            "get": {"tags": ["Echo"], "summary": "Echo a request", "responses": ANSWERS},
            "post": {
                "tags": ["Echo"],
                "summary": "Echo a body",
                "requestBody": {"content": {JSON: {"example": {"hello": "world"}}}},
                "responses": ANSWERS,
            },
        },
        "/status/{code}": {
            "get": {
                "tags": ["Echo"],
                "summary": "Answer with a status",
                "parameters": [
                    {
                        "name": "code",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "integer", "minimum": 200, "maximum": 599},
                    }
                ],
                "responses": {"default": {"description": "That status"}},
            }
        },
    },
}


class Request:
    """What a client sent."""

    def __init__(self, method: str, target: str, version: str) -> None:
        self.method = method
        self.target = target
        self.headers: dict[str, str] = {}
        self.keep_alive = version != "HTTP/1.0"
        self.body = b""


class BadRequest(Exception):
    """The client sent something that is not a request we take."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Connection(asyncio.Protocol):
    """One client: collects bytes, answers complete requests in order."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.received = bytearray()
        self.waiting: collections.deque[Request | BadRequest] = collections.deque()
        self.answering: asyncio.Task[None] | None = None
        self.partial: Request | None = None
        self.writable = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet a client."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.writable.set()
        self.server.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget a client."""
        self.server.connections.discard(self)
        self.writable.set()
        if self.answering is not None:
            self.answering.cancel()

    def pause_writing(self) -> None:
        """Wait: the client reads slower than we write."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """Go on: the client caught up."""
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        """Take in bytes, and answer the requests they complete."""
        self.received += data
        try:
            while (request := self._take()) is not None:
                self.waiting.append(request)
        except BadRequest as error:
            self.waiting.append(error)
            self.received.clear()
        if len(self.waiting) > PIPELINE_MAX:
            self.transport.pause_reading()
        if self.waiting and self.answering is None:
            self._answer_next()

    def _take(self) -> Request | None:
        """Cut the next whole request off the received bytes."""
        request = self.partial or self._take_head()
        if request is None:
            return None
        self.partial = request
        if request.headers.get("transfer-encoding", "").lower() == "chunked":
            return self._take_chunked(request)
        length = number(request.headers.get("content-length", "0"))
        if length is None:
            raise BadRequest(400, "bad Content-Length")
        if length > BODY_BYTES_MAX:
            raise BadRequest(413, "body too large")
        if len(self.received) < length:
            return None
        request.body = bytes(self.received[:length])
        del self.received[:length]
        self.partial = None
        return request

    def _take_head(self) -> Request | None:
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            if len(self.received) > HEAD_BYTES_MAX:
                raise BadRequest(431, "headers too large")
            return None
        first, *lines = self.received[:end].decode("latin-1").split("\r\n")
        del self.received[: end + 4]
        parts = first.split(" ")
        if len(parts) != REQUEST_LINE_WORDS or not parts[2].startswith("HTTP/1."):
            raise BadRequest(400, "not an HTTP/1 request")
        request = Request(*parts)
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise BadRequest(400, "bad header")
            request.headers[name.lower()] = value.strip()
        connection = request.headers.get("connection", "").lower()
        request.keep_alive = connection != "close" and (
            request.keep_alive or connection == "keep-alive"
        )
        if request.headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return request

    def _take_chunked(self, request: Request) -> Request | None:
        body, at = bytearray(), 0
        while True:
            line_end = self.received.find(b"\r\n", at)
            if line_end < 0:
                break
            size_text = bytes(self.received[at:line_end]).split(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError:
                raise BadRequest(400, "bad chunk") from None
            if size < 0 or len(body) + size > BODY_BYTES_MAX:
                raise BadRequest(413, "body too large")
            start = line_end + 2
            if len(self.received) < start + size + 2:
                break
            if size == 0:
                del self.received[: start + 2]
                request.body = bytes(body)
                self.partial = None
                return request
            body += self.received[start : start + size]
            at = start + size + 2
        if len(self.received) > 2 * BODY_BYTES_MAX:
            raise BadRequest(413, "body too large")
        return None

    def _answer_next(self) -> None:
        """Answer at once where no waiting is needed; a task only for the slow and the large."""
        while self.waiting and not self.transport.is_closing():
            request = self.waiting.popleft()
            if isinstance(request, BadRequest):
                self._send(None, request.status, JSON, encode({"error": str(request)}))
                self.transport.close()
                return
            path = request.target.partition("?")[0]
            if path.startswith(("/slow", "/bytes/")):
                self.answering = asyncio.ensure_future(self._answer_slowly(request))
                return
            self._send(request, *answer(request))
        if not self.transport.is_closing():
            self.transport.resume_reading()

    async def _answer_slowly(self, request: Request) -> None:
        path, _, query = request.target.partition("?")
        started = time.perf_counter()
        if path.startswith("/bytes/"):
            await self._send_bytes(request, path.removeprefix("/bytes/"), started)
        else:
            asked = number(dict(parse_qsl(query)).get("ms", "1000"))
            delay = min(asked or 0, DELAY_MILLISECONDS_MAX)
            await asyncio.sleep(delay / 1000)
            self._send(request, 200, JSON, encode({"slept": delay}), started)
        self.answering = None
        self._answer_next()

    async def _send_bytes(self, request: Request, text: str, started: float) -> None:
        size = number(text)
        if size is None or size > ANSWER_BYTES_MAX:
            self._send(request, 400, JSON, encode({"error": "0 to 104857600 bytes"}), started)
            return
        self.transport.write(self._head(request, 200, "application/octet-stream", size))
        left = 0 if request.method == "HEAD" else size
        while left > 0 and not self.transport.is_closing():
            await self.writable.wait()
            self.transport.write(BLOCK[: min(left, len(BLOCK))])
            left -= len(BLOCK)
        self._sent(request, 200, size, started)

    def _send(
        self,
        request: Request | None,
        status: int,
        content_type: str,
        body: bytes,
        started: float | None = None,
    ) -> None:
        head = self._head(request, status, content_type, len(body))
        bodiless = request is not None and request.method == "HEAD"
        self.transport.write(head if bodiless or status in BODILESS else head + body)
        self._sent(request, status, len(body), started)

    def _head(self, request: Request | None, status: int, content_type: str, size: int) -> bytes:
        try:
            phrase = http.HTTPStatus(status).phrase
        except ValueError:
            phrase = "Status"
        lines = [f"HTTP/1.1 {status} {phrase}"]
        if status not in BODILESS:
            lines += [f"Content-Type: {content_type}", f"Content-Length: {size}"]
        if request is None or not request.keep_alive or self.server.stopping:
            lines.append("Connection: close")
        lines.append(f"X-Replica: {REPLICA}\r\n\r\n")
        return "\r\n".join(lines).encode()

    def _sent(self, request: Request | None, status: int, size: int, started: float | None) -> None:
        if request is None or not request.keep_alive or self.server.stopping:
            self.transport.close()
        if request is not None:
            seconds = 0.0 if started is None else time.perf_counter() - started
            self.server.log_request(request, status, size, seconds)


class Server:
    """All connections, and the log."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.stopping = False
        self.lines: list[str] = []

    def log_request(self, request: Request, status: int, size: int, seconds: float) -> None:
        """Write one line about an answered request."""
        level = {4: "warning", 5: "error"}.get(status // 100, "info")
        self.log(
            level,
            f"{request.method} {request.target[:TARGET_CHARACTERS_LOGGED]} {status}",
            milliseconds=round(seconds * 1000, 1),
            bytes=size,
            requestId=request.headers.get("x-request-id"),
        )

    def log(self, level: str, message: str, **fields: object) -> None:
        """Write one line; lines of one turn of the loop go out together."""
        if not self.lines:
            asyncio.get_running_loop().call_soon(self._flush)
        self.lines.append(json.dumps({"level": level, "message": message, **fields}) + "\n")

    def _flush(self) -> None:
        text, self.lines = "".join(self.lines), []
        sys.stdout.write(text)
        sys.stdout.flush()

    async def run(self, port: int) -> None:
        """Serve until SIGTERM, then finish what has begun."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stop.set)
        listening = await loop.create_server(
            lambda: Connection(self),
            os.environ.get("HOST", "0.0.0.0"),  # noqa: S104 - its container's only interface
            port,
            backlog=1024,
            reuse_address=True,
        )
        self.log("info", "listening", port=port, python=sys.version.split()[0])
        await stop.wait()
        self.stopping = True
        listening.close()
        self.log("info", "stopping")
        for connection in list(self.connections):
            if connection.answering is None and not connection.waiting:
                connection.transport.close()
        while self.connections:  # noqa: ASYNC110 - bounded by whoever sent SIGTERM
            await asyncio.sleep(0.01)
        self._flush()


def encode(value: object) -> bytes:
    """Return a value as a line of JSON."""
    return json.dumps(value).encode() + b"\n"


def answer(request: Request) -> tuple[int, str, bytes]:
    """Return status, content type and body of everything that needs no waiting."""
    path, _, query = request.target.partition("?")
    if path == "/health":
        return 200, JSON, b'{"status":"ok"}\n'
    if path == "/openapi.json":
        return 200, JSON, encode(DOCUMENT)
    if path.startswith("/status/"):
        status = number(path.removeprefix("/status/"))
        if status is not None and status in STATUS_CODES:
            return status, JSON, encode({"status": status})
        return 400, JSON, encode({"error": "a status from 200 to 599"})
    echoed = {
        "method": request.method,
        "path": unquote(path),
        "query": parse_qsl(query, keep_blank_values=True),
        "headers": request.headers,
        "body": text_of(request.body),
        "replica": REPLICA,
    }
    return 200, JSON, encode(echoed)


def number(text: str) -> int | None:
    """Return a plain number of at most 12 digits, None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else None


def text_of(body: bytes) -> str | None:
    """Return a body as text, or as base64 when it is none."""
    if not body:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(body).decode()


if __name__ == "__main__":
    asyncio.run(Server().run(int(os.environ.get("PORT", "8080"))))
