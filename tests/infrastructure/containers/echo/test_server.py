"""The sample API over real sockets."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from infrastructure.containers.catalogue import ECHO_PROGRAM, PredefinedImages


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with Running() as (process, port):
        yield "127.0.0.1", port
        process.terminate()
        assert process.wait(10) == 0


class Running:
    """A server process on a free port, its log in a pipe."""

    def __enter__(self) -> tuple[subprocess.Popen[str], int]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-I", ECHO_PROGRAM],
            env={"PORT": str(port), "HOST": "127.0.0.1", "TALLYPORT_REPLICA_ID": "dpl-1-1-1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert "listening" in self.process.stdout.readline()
        return self.process, port

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def client(address: tuple[str, int]) -> Iterator[httpx.Client]:
    host, port = address
    with httpx.Client(base_url=f"http://{host}:{port}", trust_env=False) as made:
        yield made


def test_it_answers_with_what_it_was_asked(client: httpx.Client) -> None:
    answer = client.put("/a%20b/c?x=1&x=2&y=", content="håla", headers={"X-One": "1"}).json()
    assert answer["method"] == "PUT"
    assert answer["path"] == "/a b/c"
    assert answer["query"] == [["x", "1"], ["x", "2"], ["y", ""]]
    assert answer["headers"]["x-one"] == "1"
    assert answer["body"] == "håla"
    assert answer["replica"] == "dpl-1-1-1"


def test_a_body_that_is_no_text_comes_back_as_base64(client: httpx.Client) -> None:
    assert client.post("/", content=b"\xff\x00").json()["body"] == "base64:/wA="


def test_a_chunked_body_is_understood(client: httpx.Client) -> None:
    assert client.post("/", content=iter([b"one ", b"two"])).json()["body"] == "one two"


def test_it_is_healthy(client: httpx.Client) -> None:
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("status", [200, 204, 304, 404, 418, 500, 599])
def test_it_answers_any_status(client: httpx.Client, status: int) -> None:
    assert client.get(f"/status/{status}").status_code == status
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("path", ["/status/199", "/status/x", "/bytes/-1", "/bytes/104857601"])
def test_what_makes_no_sense_is_refused(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 400


@pytest.mark.parametrize("size", [0, 1, 65536, 1_000_000])
def test_it_answers_any_number_of_bytes(client: httpx.Client, size: int) -> None:
    answer = client.get(f"/bytes/{size}")
    assert len(answer.content) == size == int(answer.headers["content-length"])


def test_it_is_as_slow_as_asked_and_serves_others_meanwhile(address: tuple[str, int]) -> None:
    async def ask() -> None:
        base = "http://{}:{}".format(*address)
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
            started = time.monotonic()
            slow = asyncio.create_task(client.get("/slow?ms=400"))
            for _ in range(20):
                assert (await client.get("/health")).status_code == 200
            assert not slow.done()
            assert (await slow).json() == {"slept": 400}
            assert time.monotonic() - started >= 0.4

    asyncio.run(ask())


def test_a_head_request_gets_no_body(client: httpx.Client) -> None:
    answer = client.head("/bytes/1000")
    assert (answer.headers["content-length"], answer.content) == ("1000", b"")


def test_pipelined_requests_are_answered_in_order(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        paths = ["/slow?ms=100", "/one", "/bytes/5", "/two"]
        connection.sendall(
            b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths)
            + b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    order = [received.index(each) for each in (b"slept", b'"/one"', b"xxxxx", b'"/two"', b"/last")]
    assert order == sorted(order)
    assert received.count(b"HTTP/1.1 200") == 5


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, b"431"),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(
    address: tuple[str, int], request_bytes: bytes, status: bytes
) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request_bytes)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 " + status)


def test_each_request_is_one_line_of_json_with_its_level() -> None:
    with Running() as (process, port):
        for path in ("/health", "/status/404", "/status/500"):
            httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)
        process.terminate()
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout]
    assert [line["level"] for line in lines] == ["info", "warning", "error", "info"]
    assert lines[1]["message"] == "GET /status/404 404"


def test_on_sigterm_it_finishes_what_it_has_begun_and_ends_well() -> None:
    with Running() as (process, port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET /slow?ms=300 HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        assert b'{"slept": 300}' in received
        assert process.wait(10) == 0


def test_the_catalogue_knows_it_by_name_and_latest_only() -> None:
    images = PredefinedImages()
    assert images.find("tallyport/echo") is images.find("tallyport/echo:latest")
    assert images.find("tallyport/echo:2") is None
    assert images.find("evil/tallyport/echo") is None
