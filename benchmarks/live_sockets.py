"""What thousands of idle watchers cost one API process, and how soon all of them hear.

2,000 WebSockets at `/v1/events` on one process, all of one team. The yardstick for their memory is
a bare FastAPI endpoint on the same server that accepts and waits. The processor time is what the
API takes for nothing but asking again, each second, whether each may stay. The last figure runs
from `POST /v1/deployments` until the last of them was told.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect

sys.path.insert(0, str(Path(__file__).parents[1]))

from bootstrap.api_servers import server_config
from tests.platform import Person, Platform, free_port

SOCKETS, AT_ONCE, ROUNDS = 2_000, 50, 3
IDLE_SECONDS = 10.0
SECONDS_MAX = 60.0


async def accept(socket: WebSocket) -> None:
    """Accept, and wait."""
    await socket.accept()
    await socket.receive()


def serve_bare(port: int) -> None:
    """Be the yardstick."""
    app = FastAPI(routes=[WebSocketRoute("/", accept)])
    uvicorn.Server(server_config(app, host="127.0.0.1", port=port)).run()


def bytes_of(pid: int) -> int:
    """Return the memory that is a process's own."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise LookupError(pid)


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def watching(url: str, count: int) -> AsyncIterator[list[ClientConnection]]:
    """Open so many sockets, some at a time."""
    async with contextlib.AsyncExitStack() as stack:
        places = asyncio.Semaphore(AT_ONCE)

        async def one() -> ClientConnection:
            async with places:
                return await stack.enter_async_context(connect(url, ping_interval=None))

        yield list(await asyncio.gather(*(one() for _ in range(count))))


async def bytes_each(pid: int, url: str) -> float:
    """Return how much memory each socket takes. The first hundred pay for what is shared."""
    async with watching(url, 100):
        before = bytes_of(pid)
        async with watching(url, SOCKETS):
            return (bytes_of(pid) - before) / SOCKETS


async def told(socket: ClientConnection, name: str) -> None:
    """Return when the socket heard of the deployment."""
    async with asyncio.timeout(SECONDS_MAX):
        while json.loads(await socket.recv()).get("deploymentId") != name:
            pass


async def seconds_until_all_heard(anna: Person, sockets: list[ClientConnection], app: str) -> float:
    """Deploy something, and return how long it took until the last one was told."""
    wish = {"appName": app, "image": "tallyport/echo", "port": 8080, "replicas": 1}
    began = time.perf_counter()
    answer = await asyncio.to_thread(anna.api.post, "/deployments", json=wish)
    answer.raise_for_status()
    await asyncio.gather(*(told(socket, answer.json()["id"]) for socket in sockets))
    return time.perf_counter() - began


async def measure_ours(platform: Platform) -> tuple[float, float, float]:
    """Return bytes for each socket, processor seconds a second, and seconds until all heard."""
    anna = Person(platform, "anna")
    try:
        key = anna.create_key(scopes=["deployments:read"])["apiKey"]
        url = f"{platform.api_url.replace('http', 'ws')}/v1/events?token={key}"
        pid = platform.pid_of("api")
        size = await bytes_each(pid, url)
        async with watching(url, SOCKETS) as sockets:
            before = cpu_seconds(pid)
            await asyncio.sleep(IDLE_SECONDS)
            share = (cpu_seconds(pid) - before) / IDLE_SECONDS
            rounds = [
                await seconds_until_all_heard(anna, sockets, f"heard-{number}")
                for number in range(ROUNDS)
            ]
        return size, share, min(rounds)
    finally:
        anna.close()


async def bytes_each_once_it_serves(pid: int, url: str) -> float:
    """Return the same of a server that is still starting."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            with contextlib.suppress(OSError):
                async with connect(url):
                    break
            await asyncio.sleep(0.1)
    return await bytes_each(pid, url)


def measure_bare() -> float:
    """Return bytes for each socket of the yardstick."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.live_sockets", str(port)])
    try:
        return asyncio.run(bytes_each_once_it_serves(process.pid, f"ws://127.0.0.1:{port}/"))
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Measure, and print one line."""
    if sys.argv[1:]:
        serve_bare(int(sys.argv[1]))
        return
    bare = measure_bare()
    with tempfile.TemporaryDirectory() as folder, Platform(Path(folder) / "home") as platform:
        ours, share, seconds = asyncio.run(measure_ours(platform))
    print(
        f"live_sockets: {SOCKETS} idle sockets take {ours / 1024:.1f} KiB each, against"
        f" {bare / 1024:.1f} KiB of a bare endpoint: {ours / bare:.1f}; {100 * share:.0f} % of a"
        f" processor; all of them hear {seconds:.2f} s after the call"
    )


if __name__ == "__main__":
    main()
