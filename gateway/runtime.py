"""HAProxy's command line: asked through the master, which knows every worker that still lives.

A replaced worker serves its open connections for a while. It gets every change too: a revoked key
must not go on working there.
"""

import asyncio
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway.tls import CERTIFICATES

MASTER_SOCKET = "master.sock"
_SOCKET_PATH_MAX = 100
_ANSWER_PART_BYTES = 1024**2
_CONNECT_RETRIES = 100
_CONNECT_PAUSE_SECONDS = 0.02
_BATCH_BYTES_MAX = 200_000
_SERVERS = 4
"""The rows of `show stat` that are about servers."""
_HARMLESS = re.compile(
    r"New server registered\.|Server deleted\.|(IP|port) changed from .*|no need to change .*"
    r"|New empty certificate store .*|Transaction (created|updated) for certificate .*"
    r"|Committing \S+|Success!|Inserting certificate .*|Entry '.*' deleted in crtlist .*"
    r"|Certificate '.*' deleted!"
)


class HAProxyAway(Exception):
    """Nobody answers on the master's socket."""


class ChangeRefused(Exception):
    """HAProxy did not take a change: what we believe about it is wrong."""


class WorkerState(msgspec.Struct):
    """What one worker has at this moment, as far as we know."""

    config: str
    """Digest of the `gateway.cfg` it was started with."""
    maps: dict[str, dict[str, str]]
    servers: dict[str, dict[str, str]]
    """By backend: the place of every server that takes requests, by name."""
    aside: dict[str, set[str]]
    """By backend: servers that take none any more, until they can be removed."""


class Runtime:
    """Asks one HAProxy."""

    def __init__(
        self,
        run_folder: Path,
        *,
        answer_timeout_seconds: float = 2.0,
        reload_timeout_seconds: float = 60.0,
    ) -> None:
        self._run = run_folder
        # Short, because the master sometimes never answers for a worker that has just ended.
        self._answer_timeout = answer_timeout_seconds
        self._reload_timeout = reload_timeout_seconds

    async def workers(self) -> tuple[int, list[int]]:
        """Return the worker that takes new connections, and the ones that only finish theirs."""
        answer = await self._ask(["show proc"])
        young, _, old = answer.partition("# old workers")
        current = re.findall(r"^(\d+)\s+worker\s", young, re.MULTILINE)
        if not current:
            raise HAProxyAway("the master has no worker")
        return int(current[-1]), [
            int(p) for p in re.findall(r"^(\d+)\s+worker\s", old, re.MULTILINE)
        ]

    async def reload(self) -> None:
        """Start a new worker on the files as they are now; the old one finishes its requests."""
        answer = await self._ask(["reload"], self._reload_timeout)
        if not answer.startswith("Success=1"):
            raise ChangeRefused(f"reload: {answer[-2000:]}")

    async def certificates(self, worker: int) -> tuple[set[str], dict[str, str]]:
        """Return the certificate files a worker has loaded, and for those in use the hosts."""
        stores = await self._ask([f"@!{worker} show ssl cert"])
        loaded = {line.lstrip("*") for line in stores.splitlines() if line and line[0] != "#"}
        entries = await self._ask([f"@!{worker} show ssl crt-list current/{CERTIFICATES}"])
        rows = [line.partition(" ") for line in entries.splitlines() if line and line[0] != "#"]
        return loaded, {file: hosts.strip() for file, _, hosts in rows}

    async def read_map(self, worker: int, name: str) -> dict[str, str]:
        """Return the entries of one of a worker's maps."""
        answer = await self._ask([f"@!{worker} show map current/{name}"])
        entries = (line.split(" ", 2) for line in answer.splitlines() if line)
        return {entry[1]: entry[2] for entry in entries if len(entry) == 3}  # noqa: PLR2004 - address, key, value

    async def read(self, worker: int, maps: Sequence[str]) -> WorkerState:
        """Ask a worker for everything that the gateway can change in it."""
        config = await self._ask([f"@!{worker} get var proc.config"])
        found = re.search(r"<(\w+)>", config)
        state = WorkerState(config=found[1] if found else "", maps={}, servers={}, aside={})
        for name in maps:
            state.maps[name] = await self.read_map(worker, name)
        backends = await self._ask([f"@!{worker} show backend"])
        for line in backends.splitlines():
            if line and not line.startswith("#"):
                state.servers[line.strip()] = {}
        _add_servers(state, await self._ask([f"@!{worker} show servers state"]))
        return state

    async def change(self, worker: int, commands: Sequence[str]) -> None:
        """Have a worker take all of these changes; one that it refuses does not stop the others."""
        refused: list[str] = []
        for batch in _batches([f"@!{worker} {command}" for command in commands]):
            lines = (await self._ask(batch)).splitlines()
            refused += [line for line in lines if line and not _HARMLESS.fullmatch(line)]
        if refused:
            raise ChangeRefused(f"worker {worker}: {'; '.join(refused[:5])}")

    async def remove_servers(self, worker: int, names: Sequence[str]) -> None:
        """Remove servers that are set aside; those with open connections stay for next time."""
        await self._ask([f"@!{worker} del server {name}" for name in names])

    async def aside(self, worker: int) -> dict[str, set[str]]:
        """Return the servers of a worker that are set aside, by backend."""
        state = WorkerState(config="", maps={}, servers={}, aside={})
        _add_servers(state, await self._ask([f"@!{worker} show servers state"]))
        return state.aside

    async def busy(self, worker: int, backends: Iterable[str]) -> set[tuple[str, str]]:
        """Return the servers of these backends that have a request now, or one that waits."""
        commands = [f"@!{worker} show stat {backend} {_SERVERS} -1" for backend in backends]
        rows = (await self._ask(commands)).splitlines() if commands else []
        if sum(row.startswith("# pxname,") for row in rows) != len(commands):
            raise HAProxyAway(f"worker {worker} does not say what it has: {rows[:1]}")
        found: set[tuple[str, str]] = set()
        for row in rows:
            if row and not row.startswith("#"):
                backend, server, waiting, _, requests, *_ = row.split(",")
                if (waiting, requests) != ("0", "0"):
                    found.add((backend, server))
        return found

    async def _ask(self, commands: Sequence[str], timeout_seconds: float | None = None) -> str:
        """Send commands and return all that is answered, however long that goes on."""
        text = "".join(f"{command}\n" for command in commands)
        patience = timeout_seconds or self._answer_timeout
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(patience):
                reader, writer = await self._connect()
            try:
                writer.write(text.encode())
                writer.write_eof()
                while not parts or parts[-1]:
                    async with asyncio.timeout(patience):
                        parts.append(await reader.read(_ANSWER_PART_BYTES))
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        except (OSError, TimeoutError) as error:
            raise HAProxyAway(str(error) or "no answer in time") from error
        return b"".join(parts).decode()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # During a reload the master is not at its socket for some milliseconds.
        for _ in range(_CONNECT_RETRIES):
            with suppress(ConnectionRefusedError):
                return await self._open()
            await asyncio.sleep(_CONNECT_PAUSE_SECONDS)
        return await self._open()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        with _ShortPath(self._run / MASTER_SOCKET) as path:
            return await asyncio.open_unix_connection(path)


class _ShortPath:
    """A socket's path has about 100 bytes; a longer one is reached through its open folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder: int | None = None

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= _SOCKET_PATH_MAX:
            return str(self._path)
        self._folder = os.open(self._path.parent, os.O_RDONLY)
        return f"/proc/self/fd/{self._folder}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            os.close(self._folder)


def _add_servers(state: WorkerState, table: str) -> None:
    rows = [line.split(" ") for line in table.splitlines() if line]
    names = next((row[1:] for row in rows if row[0] == "#"), None)
    if names is None:
        raise HAProxyAway(f"a worker does not say which servers it has: {table[:100]}")
    for row in rows:
        if row[0] == "#" or len(row) < len(names):
            continue
        value = dict(zip(names, row, strict=False))
        backend, server = value["be_name"], value["srv_name"]
        if int(value["srv_admin_state"]) == 0:
            address = value["srv_addr"]
            address = f"[{address}]" if ":" in address else address
            state.servers.setdefault(backend, {})[server] = f"{address}:{value['srv_port']}"
        else:
            state.aside.setdefault(backend, set()).add(server)


def _batches(commands: Sequence[str]) -> list[list[str]]:
    batches: list[list[str]] = []
    room = 0
    for command in commands:
        if len(command) > room:
            batches.append([])
            room = _BATCH_BYTES_MAX
        batches[-1].append(command)
        room -= len(command) + 1
    return batches
