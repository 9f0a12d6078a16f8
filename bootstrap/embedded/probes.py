"""Is a server usable? Asked in its own protocol, without a client library or a session."""

import asyncio
import struct

from bootstrap.embedded.ports import LOOPBACK

ANSWER_BYTES_MAX = 4096


async def postgres_answers(port: int) -> bool:
    """Start a session up to the point where PostgreSQL asks for the password, as pg_isready does.

    While it recovers it refuses; when all connections are taken it refuses too, but it is well.
    """
    parameters = b"user\0postgres\0database\0postgres\0\0"
    hello = struct.pack("!II", 8 + len(parameters), 0x00030000) + parameters
    answer = await _ask(port, hello)
    return answer.startswith(b"R") or (answer.startswith(b"E") and b"C53300\0" in answer)


async def valkey_answers(port: int, password: str) -> bool:
    """Ask for a PONG. While it loads its file it says so instead."""
    answer = await _ask(port, f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode(), to_the_end=True)
    return b"+PONG" in answer


async def http_answers(port: int, path: str, body: bytes) -> bool:
    """Get a path and expect 200 and exactly this body."""
    request = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode()
    answer = await _ask(port, request, to_the_end=True)
    head, _, received = answer.partition(b"\r\n\r\n")
    return head.split(b" ", 2)[1:2] == [b"200"] and received == body


async def kafka_answers(port: int) -> bool:
    """Ask which versions of the protocol it speaks (ApiVersions 0)."""
    correlation = b"tlly"
    request = struct.pack("!hh", 18, 0) + correlation + struct.pack("!h", -1)
    answer = await _ask(port, struct.pack("!i", len(request)) + request)
    return answer[4:8] == correlation


async def _ask(port: int, request: bytes, *, to_the_end: bool = False) -> bytes:
    """Send and return the first piece of the answer, or all of it if the server then closes."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return b""
    answer = b""
    try:
        writer.write(request)
        while len(answer) < ANSWER_BYTES_MAX and (more := await reader.read(ANSWER_BYTES_MAX)):
            answer += more
            if not to_the_end:
                break
    except OSError:
        return b""
    finally:
        writer.close()
    return answer
