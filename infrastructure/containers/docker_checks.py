"""Runs a command in a container, to see whether it is well.

The engine can start a command in a container but not end it. So each has a terminal of its own:
what takes too long is ended as a person would do it, by Ctrl-C and the like. Of what is deaf to
that, one is left at most: until it ends nothing else is started, and the check has failed.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from infrastructure.containers import EngineUnavailable, complaint
from infrastructure.containers.docker_request import API_VERSION

HEAD_BYTES_MAX = 64 * 1024
OUTPUT_BYTES_MAX = 64 * 1024
ANSWER_SECONDS_MAX = 10.0
END_SECONDS_MAX = 1.0
POLL_SECONDS = 0.02
INTERRUPT_AND_QUIT = b"\x03\x1c"
NOT_RUNNING = "the replica does not run"
STARTED = (b"HTTP/1.1 101 ", b"HTTP/1.1 200 ")


class _NotRunning(Exception):
    """The container ended meanwhile."""


class DockerChecks:
    """Commands in the containers of one engine."""

    def __init__(self, client: httpx.AsyncClient, host: str) -> None:
        self._client = client
        self._host = host
        self._left: dict[str, str] = {}
        """What could not be ended, by container."""

    async def run(
        self, container_id: str, command: Sequence[str], *, timeout_seconds: float
    ) -> str | None:
        """Return None when the command ends with 0 in time, else what was wrong, in words."""
        try:
            async with asyncio.timeout(timeout_seconds + ANSWER_SECONDS_MAX):
                return await self._run(container_id, command, timeout_seconds)
        except _NotRunning:
            return NOT_RUNNING
        except TimeoutError as error:
            raise EngineUnavailable("the engine does not carry out a health check") from error
        except (OSError, httpx.HTTPError, EOFError, asyncio.LimitOverrunError) as error:
            raise EngineUnavailable(f"the engine broke a health check off: {error}") from error

    def forget(self, container_id: str) -> None:
        """Drop what is known of a container that is gone."""
        self._left.pop(container_id, None)

    async def _run(self, container_id: str, command: Sequence[str], seconds: float) -> str | None:
        left = self._left.pop(container_id, None)
        if left is not None and await self._exit_code(left) is None:
            self._left[container_id] = left
            return f"{complaint(command, None, b'')}, and cannot be ended"
        wanted = {
            "Cmd": list(command),
            "Tty": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
        }
        made = await self._client.post(
            f"/v{API_VERSION}/containers/{container_id}/exec", json=wanted
        )
        if made.is_error:
            raise _NotRunning
        exec_id = made.json()["Id"]
        output = bytearray()
        async with self._started(exec_id) as (reader, writer):
            ended = await _ends(reader, output, seconds)
            said = bytes(output)  # before the terminal shows what we type
            if not ended:
                writer.write(INTERRUPT_AND_QUIT)
                await writer.drain()
                if not await _ends(reader, output, END_SECONDS_MAX):
                    self._left[container_id] = exec_id
        if not ended:
            return complaint(command, None, said)
        while (code := await self._exit_code(exec_id)) is None:  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(POLL_SECONDS)
        return complaint(command, code, said)

    async def _exit_code(self, exec_id: str) -> int | None:
        """Return how it ended; None while it runs."""
        asked = await self._client.get(f"/v{API_VERSION}/exec/{exec_id}/json")
        if asked.is_error:
            return -1  # nobody knows it any more, so it has ended
        found: dict[str, Any] = asked.json()
        code: int | None = found["ExitCode"]
        return None if found["Running"] else -1 if code is None else code

    @asynccontextmanager
    async def _started(
        self, exec_id: str
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Start it, and talk with it over the connection."""
        address = urlsplit(self._host)
        if address.scheme == "unix":
            reader, writer = await asyncio.open_unix_connection(address.path, limit=HEAD_BYTES_MAX)
        else:
            reader, writer = await asyncio.open_connection(
                address.hostname, address.port, limit=HEAD_BYTES_MAX
            )
        try:
            body = msgspec.json.encode({"Detach": False, "Tty": True})
            head = (
                f"POST /v{API_VERSION}/exec/{exec_id}/start HTTP/1.1\r\nHost: engine\r\n"
                "Content-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            if not (await reader.readuntil(b"\r\n\r\n")).startswith(STARTED):
                raise _NotRunning
            yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _ends(reader: asyncio.StreamReader, output: bytearray, seconds: float) -> bool:
    """Keep the end of what it writes, until it ends or the time is over."""
    try:
        async with asyncio.timeout(seconds):
            while chunk := await reader.read(OUTPUT_BYTES_MAX):
                output += chunk
                del output[:-OUTPUT_BYTES_MAX]
    except TimeoutError:
        return False
    return True
