"""Follows a container's log without a thread of its own: the engine's HTTP API, read by asyncio."""

import struct
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import httpx

from infrastructure.containers import (
    LINE_BYTES_MAX,
    EngineUnavailable,
    LogLine,
    LogPosition,
    Source,
    next_position,
)

DEFAULT_HOST = "unix:///var/run/docker.sock"
CONNECT_SECONDS_MAX = 5.0
_HEADER = struct.Struct(">BxxxL")
_SOURCES: dict[int, Source] = {1: "stdout", 2: "stderr"}
_BILLION = 1_000_000_000


def http_client(host: str) -> httpx.AsyncClient:
    """Return a client of the engine at `host` (unix:// or tcp://)."""
    timeout = httpx.Timeout(CONNECT_SECONDS_MAX, read=None)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=4)
    if host.startswith("unix://"):
        transport = httpx.AsyncHTTPTransport(uds=host.removeprefix("unix://"), limits=limits)
        return httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=timeout)
    return httpx.AsyncClient(
        base_url=host.replace("tcp://", "http://", 1),
        timeout=timeout,
        limits=limits,
        trust_env=False,
    )


async def follow(
    client: httpx.AsyncClient, container_id: str, after: LogPosition
) -> AsyncIterator[Sequence[LogLine]]:
    """Yield the log's lines behind a position as they come, until the container ends."""
    params = {
        "follow": "1",
        "stdout": "1",
        "stderr": "1",
        "timestamps": "1",
        "since": f"{after.timestamp_ns // _BILLION}.{after.timestamp_ns % _BILLION:09d}",
    }
    request = client.stream("GET", f"/containers/{container_id}/logs", params=params)
    numbering = LineNumbering(after)
    try:
        async with request as answer:
            if answer.status_code == httpx.codes.NOT_FOUND:
                return
            if answer.is_error:
                raise EngineUnavailable(f"the engine answered {answer.status_code} for a log")
            received = bytearray()
            async for chunk in answer.aiter_raw():
                received += chunk
                lines = numbering.number(_take_frames(received))
                if lines:
                    yield lines
    except httpx.HTTPError as error:
        raise EngineUnavailable(f"the log stream broke: {error}") from error


class LineNumbering:
    """Gives lines their ordinals and leaves out those that were read before."""

    def __init__(self, after: LogPosition) -> None:
        self._after = after
        self._position = LogPosition(after.timestamp_ns, 0)

    def number(self, entries: Sequence[tuple[int, Source, str]]) -> list[LogLine]:
        """Return the lines behind the position."""
        lines = []
        for timestamp_ns, source, text in entries:
            if timestamp_ns < self._after.timestamp_ns:
                continue
            ordinal, self._position = next_position(self._position, timestamp_ns)
            if timestamp_ns == self._after.timestamp_ns and ordinal < self._after.count:
                continue
            lines.append(LogLine(timestamp_ns, ordinal, source, text))
        return lines


def _take_frames(received: bytearray) -> list[tuple[int, Source, str]]:
    """Cut the whole frames off: an 8 byte header (which stream, how long), a time, a line."""
    entries, at = [], 0
    while len(received) - at >= _HEADER.size:
        stream, size = _HEADER.unpack_from(received, at)
        if len(received) - at - _HEADER.size < size:
            break
        content = bytes(received[at + _HEADER.size : at + _HEADER.size + size])
        at += _HEADER.size + size
        stamp, _, line = content.partition(b" ")
        text = line.rstrip(b"\r\n")[:LINE_BYTES_MAX].decode(errors="replace")
        source = _SOURCES.get(stream, "stdout")
        entries.append((nanoseconds(stamp.decode("ascii", "replace")), source, text))
    del received[:at]
    return entries


def nanoseconds(stamp: str) -> int:
    """Return a time like 2026-11-23T02:23:25.149084421Z as nanoseconds since 1970."""
    seconds, _, fraction = stamp.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    return int(moment.timestamp()) * _BILLION + int(fraction.ljust(9, "0")[:9] or 0)
