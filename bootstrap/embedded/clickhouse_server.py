"""ClickHouse for one machine: its engine (chDB) behind the HTTP interface that drivers speak.

    python -m bootstrap.embedded.clickhouse_server --path DIR --port N --user U --password-file FILE

So analytics has one code path: the ordinary `clickhouse-connect` HTTP client, whether a ClickHouse
cluster answers or this process. It is a process of its own because the engine allows one process
per folder and a process that holds the engine may never fork.

Only what our driver uses is here: statements by GET, POST or form, parameters, settings, every
format the engine knows, ClickHouse's error texts and numbers, Basic and header authentication.
"""

import argparse
import base64
import fcntl
import gzip
import hmac
import json
import os
import re
import signal
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import IO
from urllib.parse import parse_qsl, urlsplit

import lz4.frame  # type: ignore[import-untyped]
import zstandard

from bootstrap.embedded.clickhouse_engine import ClickHouseError, Engine, Request

BODY_BYTES_MAX = 256 * 1024 * 1024
IDLE_CONNECTION_SECONDS = 300
LOCK_WAIT_SECONDS = 15.0

# URL parameters that ClickHouse's HTTP handler keeps for itself; all others are settings.
TRANSPORT_PARAMETERS = frozenset(
    (
        "query",
        "user",
        "password",
        "database",
        "default_format",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "quota_key",
        "role",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "client_protocol_version",
        "enable_http_compression",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
    )
)

# ClickHouse's own mapping of error codes to HTTP statuses, as far as clients here can meet them.
STATUS_OF_CODE: Mapping[int, int] = {
    **dict.fromkeys((6, 26, 27, 33, 36, 38, 41, 42, 43, 53, 62, 70, 72, 117, 456, 457), 400),
    **dict.fromkeys((497, 516), 403),
    **dict.fromkeys((46, 47, 50, 56, 60, 73, 81, 115), 404),
    159: 408,
    202: 503,
    236: 503,
}
AUTHENTICATION_FAILED, BAD_ARGUMENTS = 516, 36

_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Server(ThreadingHTTPServer):
    """Listens, one thread per connection; the engine bounds how many run at once."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], engine: Engine, user: str, password: str) -> None:
        self.engine = engine
        self._credentials = f"{user}\0{password}".encode()
        super().__init__(address, Handler)

    def knows(self, user: str, password: str) -> bool:
        """Return whether these credentials are right, in constant time."""
        return hmac.compare_digest(f"{user}\0{password}".encode(), self._credentials)

    def handle_error(self, *_: object) -> None:
        """Ignore a client that went away; say everything else."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            sys.stderr.write(f"request failed: {error!r}\n")


class Handler(BaseHTTPRequestHandler):
    """One connection: reads a request, asks the engine, answers in one write."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "tallyport-clickhouse"
    sys_version = ""
    timeout = IDLE_CONNECTION_SECONDS
    disable_nagle_algorithm = True  # with a buffered write (below), else each call costs 40 ms
    wbufsize = -1

    def do_GET(self) -> None:
        """Answer /ping and / to anybody, a statement to whom the password is known."""
        self._serve()

    def do_POST(self) -> None:
        """Run the statement in the URL, the body, or a form."""
        self._serve()

    def log_message(self, *_: object) -> None:
        """Say nothing: statements hold personal data."""

    def _serve(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/ping" or (url.path == "/" and not url.query and self.command == "GET"):
            self._answer(HTTPStatus.OK, b"Ok.\n")
            return
        parameters = dict(parse_qsl(url.query, keep_blank_values=True))
        query_id = parameters.get("query_id") or str(uuid.uuid4())
        try:
            user, password = self._credentials(parameters)
            if not self.server.knows(user, password):
                self._refuse(user, query_id)
                return
            body = _decompressed(self._body(), self.headers.get("Content-Encoding", "identity"))
            answer = self.server.engine.run(self._request(parameters, body))
        except _BadRequestError as error:
            self.close_connection = True
            text = f"Code: {BAD_ARGUMENTS}. DB::Exception: {error}. (BAD_ARGUMENTS)"
            self._fail(ClickHouseError(BAD_ARGUMENTS, text), error.status, query_id)
        except ClickHouseError as error:
            self._fail(error, STATUS_OF_CODE.get(error.code, 500), query_id)
        else:
            headers = {
                "X-ClickHouse-Query-Id": query_id,
                "X-ClickHouse-Timezone": self.server.engine.timezone,
                "X-ClickHouse-Summary": json.dumps(answer.summary),
            }
            if answer.format:
                headers["X-ClickHouse-Format"] = answer.format
            self._answer(HTTPStatus.OK, answer.body, headers)

    def _credentials(self, parameters: Mapping[str, str]) -> tuple[str, str]:
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
            except ValueError:
                return "", ""
            return user, password
        return (
            self.headers.get("X-ClickHouse-User", parameters.get("user", "")),
            self.headers.get("X-ClickHouse-Key", parameters.get("password", "")),
        )

    def _refuse(self, user: str, query_id: str) -> None:
        self.close_connection = True  # its body stays unread
        text = (
            f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, "
            "or there is no user with such name. (AUTHENTICATION_FAILED)"
        )
        status = HTTPStatus.FORBIDDEN if user else HTTPStatus.UNAUTHORIZED
        self._fail(ClickHouseError(AUTHENTICATION_FAILED, text), status, query_id)

    def _fail(self, error: ClickHouseError, status: int, query_id: str) -> None:
        text = str(error)
        if "(version" not in text:
            text = f"{text} (version {self.server.engine.version})"
        headers = {
            "X-ClickHouse-Exception-Code": str(error.code),
            "X-ClickHouse-Query-Id": query_id,
        }
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        self._answer(status, f"{text}\n".encode(errors="replace"), headers)

    def _request(self, parameters: dict[str, str], body: bytes) -> Request:
        boundary = re.search(r'boundary="?([^";]+)', self.headers.get("Content-Type", ""))
        if boundary:
            parameters |= dict(_form_fields(body, boundary[1].encode()))
            body = b""
        in_url = parameters.get("query", "").encode(errors="surrogateescape")
        settings = {
            name: value
            for name, value in parameters.items()
            if name not in TRANSPORT_PARAMETERS and not name.startswith("param_")
        }
        for name in settings:
            if not _SETTING_NAME.fullmatch(name):
                text = f"Code: 115. DB::Exception: Unknown setting {name!r}. (UNKNOWN_SETTING)"
                raise ClickHouseError(115, text)
        return Request(
            text=in_url + b"\n" + body if in_url and body else in_url or body,
            settings=settings,
            parameters={
                name.removeprefix("param_"): value
                for name, value in parameters.items()
                if name.startswith("param_")
            },
            database=parameters.get("database", ""),
            default_format=parameters.get("default_format", ""),
        )

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(_chunks(self.rfile))
        try:
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError as error:
            raise _BadRequestError(
                HTTPStatus.BAD_REQUEST, "Content-Length is not a number"
            ) from error
        if not 0 <= length <= BODY_BYTES_MAX:
            raise _BadRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large")
        body = self.rfile.read(length)
        if len(body) < length:
            raise _BadRequestError(HTTPStatus.BAD_REQUEST, "The body ended early")
        return body

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class _BadRequestError(Exception):
    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


def _chunks(source: BufferedIOBase) -> Iterator[bytes]:
    """Read a chunked body. An insert whose client died in the middle must not be run."""
    total = 0
    while True:
        size = source.readline(1024).split(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size):
            raise _BadRequestError(HTTPStatus.BAD_REQUEST, "The body ended early")
        length = int(size, 16)
        total += length
        if total > BODY_BYTES_MAX:
            raise _BadRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large")
        chunk = source.read(length)
        if len(chunk) < length or source.readline(1024).strip():
            raise _BadRequestError(HTTPStatus.BAD_REQUEST, "The body ended early")
        if not length:
            return
        yield chunk


def _decompressed(body: bytes, encoding: str) -> bytes:
    """Undo what drivers do to inserts. lz4 and zstd come with the driver, so they are there."""
    try:
        if encoding == "gzip":
            return gzip.decompress(body)
        if encoding == "deflate":
            return zlib.decompress(body)
        if encoding == "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
        if encoding == "lz4":
            return bytes(lz4.frame.decompress(body))
    except Exception as error:  # each codec has its own error class
        raise _BadRequestError(HTTPStatus.BAD_REQUEST, f"The body is not {encoding}") from error
    if encoding != "identity":
        raise _BadRequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Unknown encoding {encoding}")
    return body


def _form_fields(body: bytes, boundary: bytes) -> Iterator[tuple[str, str]]:
    """Read multipart/form-data: how a driver sends parameters too long for a URL."""
    for part in body.split(b"--" + boundary):
        head, found, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if found and name:
            text = value.removesuffix(b"\r\n").decode(errors="replace")
            yield name[1].decode(errors="replace"), text


def lock_folder(path: Path, wait_seconds: float) -> IO[str]:
    """Take the folder for this process, waiting for a predecessor that is still going down.

    Without it the engine's own refusal (`Code: 36 Error initializing EmbeddedServer`) comes at
    once and says nothing.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = (path / "tallyport.lock").open("a+")
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= deadline:
                lock.seek(0)
                owner = lock.read().strip() or "unknown"
                sys.exit(
                    f"{path} is in use by another ClickHouse process (pid {owner}). "
                    "Stop it or choose another --path."
                )
            time.sleep(0.05)
        else:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            return lock


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="clickhouse_server", description=__doc__)
    parser.add_argument("--path", type=Path, required=True, help="folder of the data")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", default="tallyport")
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--lock-wait-seconds", type=float, default=LOCK_WAIT_SECONDS)
    options = parser.parse_args(argv)

    password = options.password_file.read_text().strip()
    if not password:
        sys.exit(f"{options.password_file} is empty: a server without a password is not started.")
    path = options.path.resolve()
    if "?" in str(path):
        sys.exit(f"{path}: the engine cannot use a path with a question mark in it.")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    lock = lock_folder(path, options.lock_wait_seconds)
    engine = Engine(path / "engine")
    server = Server((options.host, options.port), engine, options.user, password)
    threading.Thread(target=server.serve_forever, args=(0.1,)).start()
    stop.wait()
    server.shutdown()
    server.server_close()
    engine.close()
    lock.close()


if __name__ == "__main__":
    main()
