"""Requests that two readers could read differently, byte by byte through the real HAProxy.

Each ends in a refusal, or reaches the replica as exactly one plain request; a request that does
not arrive is never answered as if it had.
"""

import asyncio
from contextlib import suppress

from tests.gateway.conftest import KEY, Gateway, Upstream, read_answer

HEAD = f"Host: localhost\r\nX-API-Key: {KEY}\r\n"


def request(line: str, fields: str = "", body: str = "", head: str = HEAD) -> bytes:
    return f"{line}\r\n{head}{fields}\r\n{body}".encode("latin-1")


REFUSED = {
    "two content lengths": request(
        "POST /open/ HTTP/1.1", "Content-Length: 1\r\nContent-Length: 2\r\n", "ab"
    ),
    "xchunked": request("POST /open/ HTTP/1.1", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
    "chunked, identity": request(
        "POST /open/ HTTP/1.1", "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"
    ),
    "two transfer encodings": request(
        "POST /open/ HTTP/1.1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "0\r\n\r\n",
    ),
    **{
        f"content length {value!r}": request(
            "POST /open/ HTTP/1.1", f"Content-Length: {value}\r\n", "12345"
        )
        for value in ("+5", "-1", "0x5", "5_0", "", "5 5", "99999999999999999999")
    },
    "space before the colon": request("GET /open/ HTTP/1.1", "X-A : 1\r\n"),
    "empty header name": request("GET /open/ HTTP/1.1", ": 1\r\n"),
    "carriage return in a value": request("GET /open/ HTTP/1.1", "X-A: 1\r2\r\n"),
    "zero byte in a value": request("GET /open/ HTTP/1.1", "X-A: 1\x002\r\n"),
    "chunk size 0_5": request(
        "POST /open/ HTTP/1.1", "Transfer-Encoding: chunked\r\n", "0_5\r\nabcde\r\n0\r\n\r\n"
    ),
    "chunk size -1": request(
        "POST /open/ HTTP/1.1", "Transfer-Encoding: chunked\r\n", "-1\r\nabcde\r\n0\r\n\r\n"
    ),
    "two hosts": request("GET /open/ HTTP/1.1", "Host: open.apps.localhost\r\n"),
    "another host in the address": request("GET http://open.apps.localhost/ HTTP/1.1"),
    "no host": request("GET /open/ HTTP/1.1", head=f"X-API-Key: {KEY}\r\n"),
    "no host in HTTP/1.0": request("GET /open/ HTTP/1.0", head=f"X-API-Key: {KEY}\r\n"),
    "a fragment": request("GET /open/#x HTTP/1.1"),
    "raw bytes in the path": request("GET /open/\xe9 HTTP/1.1"),
    "HTTP/0.9": b"GET /open/\r\n\r\n",
    "huge header": request("GET /open/ HTTP/1.1", f"X-A: {'a' * 20_000}\r\n"),
    "transfer encoding in HTTP/1.0": request(
        "POST /open/ HTTP/1.0", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"
    ),
    "GET with a body": request("GET /open/ HTTP/1.1", "Content-Length: 1\r\n", "a"),
    "GET with a chunked body": request(
        "GET /open/ HTTP/1.1", "Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\n\r\n"
    ),
    **{
        f"method {method}": request(f"{method} /open/ HTTP/1.1")
        for method in ("get", "TRACE", "CONNECT", "TRACK", "GETX", "PROPFIND")
    },
    **{
        f"path {path!r}": request(f"GET /open/{path} HTTP/1.1")
        for path in (
            "%2e%2e/x",
            "a/%2E./x",
            "a%2fb",
            "a%2Fb",
            "a%5Cb",
            "a\\b",
            "a%00b",
            "/x",
            "a//b",
            "../x",
            "a/..",
            "./x",
            "a/.",
            "..;/x",
            "a/.;v=1/x",
        )
    },
}


async def test_a_doubtful_request_is_refused_and_reaches_no_replica(
    serving: Gateway, upstream: Upstream
) -> None:
    before = upstream.served
    answers = {name: await statuses_of(serving, sent) for name, sent in REFUSED.items()}
    assert {
        name: statuses
        for name, statuses in answers.items()
        if not all(400 <= status < 500 for status in statuses)
    } == {}
    # One of them is a slow client's: HAProxy closes without a word on what is not even a request.
    assert sum(statuses == [] for statuses in answers.values()) <= 1
    assert upstream.served == before


SMUGGLED = "GET /shop/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLEANED = {
    "length and chunks": request(
        "POST /open/ HTTP/1.1",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
    ),
    "the same length twice": request(
        "POST /open/ HTTP/1.1", "Content-Length: 1\r\nContent-Length: 1\r\n", "a"
    ),
    "folded header": request("GET /open/ HTTP/1.1", "X-A: 1\r\n 2\r\n"),
    "a chunk with an extension": request(
        "POST /open/ HTTP/1.1", "Transfer-Encoding: chunked\r\n", "1;a=b\r\na\r\n0\r\n\r\n"
    ),
    "upgrade to cleartext HTTP/2": request(
        "GET /open/ HTTP/1.1", "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    ),
}


async def test_a_request_with_one_good_reading_arrives_once_and_in_that_reading(
    serving: Gateway, upstream: Upstream
) -> None:
    for name, sent in CLEANED.items():
        before = upstream.served
        assert (name, await statuses_of(serving, sent)) == (name, [200])
        assert upstream.served == before + 1
        seen = upstream.seen[-1][2]
        assert not ("content-length" in seen and "transfer-encoding" in seen)
        assert "upgrade" not in seen


async def test_a_request_hidden_in_a_body_is_never_a_request(
    serving: Gateway, upstream: Upstream
) -> None:
    before = upstream.served
    hidden = request(
        "POST /open/ HTTP/1.1",
        f"Content-Length: {len(SMUGGLED)}\r\nTransfer-Encoding: chunked\r\n",
        f"0\r\n\r\n{SMUGGLED}",
    )
    # The chunks end the body; the connection ends with the answer, so nothing follows.
    assert await statuses_of(serving, hidden) == [200]
    assert upstream.served == before + 1
    assert all("smuggled" not in target for _, target, _ in upstream.seen)


async def test_what_cannot_be_read_as_http_is_refused_and_the_connection_ended(
    serving: Gateway,
) -> None:
    sent = b"NONSENSE\r\n\r\n" + request("GET /open/ HTTP/1.1")
    assert await statuses_of(serving, sent) == [400]


async def statuses_of(gateway: Gateway, sent: bytes) -> list[int]:
    """Send bytes, say that no more come, and return the status of every answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    statuses: list[int] = []
    try:
        writer.write(sent)
        await writer.drain()
        with suppress(asyncio.IncompleteReadError, TimeoutError, ConnectionResetError):
            while True:
                async with asyncio.timeout(5 if not statuses else 0.2):
                    statuses.append((await read_answer(reader)).status)
        return statuses
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
