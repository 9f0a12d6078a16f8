"""Stands before a real Docker engine and spoils its answers: silence, errors, an empty list.

While it *starts*, it says nothing of a container that is asked for by its id, and not whether it
started it: so does a loaded engine, for seconds.
"""

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

Mood = Literal["honest", "hangs", "errors", "empty", "starts"]
CHUNK_BYTES = 64 * 1024
LIST = b"/containers/json"
ONE = re.compile(rb"/containers/[0-9a-f]{64}/(json|start) ")
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n[]\n"
ERROR = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
    b'Content-Length: 35\r\n\r\n{"message": "the engine is unwell"}'
)


class Doorway:
    """A Unix socket that leads to the engine, as long as it is in the mood."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = engine.removeprefix("unix://")
        self.socket = folder / "doorway.sock"
        self.mood: Mood = "honest"
        self._open: set[asyncio.Task[None]] = set()

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.become("honest")

    async def become(self, mood: Mood) -> None:
        """Change the mood, also for whoever is connected: they are cut off."""
        self.mood = mood
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer(reader, writer))
        self._open.add(task)
        try:
            with suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
                await task
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if self.mood == "hangs" or (self.mood == "starts" and ONE.search(head)):
                await asyncio.Event().wait()
            if self.mood == "errors" or (self.mood == "empty" and LIST in head):
                writer.write(ERROR if self.mood == "errors" else EMPTY)
                await writer.drain()
                continue
            if self.mood in {"empty", "starts"}:  # what comes after this answer is asked anew
                head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            await self._pass_on(head, reader, writer)
            return

    async def _pass_on(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        from_engine, to_engine = await asyncio.open_unix_connection(self.engine)
        try:
            to_engine.write(head)
            sending = asyncio.create_task(_pump(reader, to_engine))
            try:
                await _pump(from_engine, writer)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        finally:
            to_engine.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
