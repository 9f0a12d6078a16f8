"""`tallyport demo`: the whole life of a first API, told as it happens, counted at the end.

It plays a newcomer: everything it does goes over REST and through the gateway. Only the last count
also looks into the log itself. It ends with exit code 1 when any two readers disagree.
"""

import asyncio
import json
import shutil
import socket
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import typer

from bootstrap.core import open_core
from bootstrap.embedded.home import Home
from bootstrap.embedded.supervisor import Supervisor, stop_on_signals
from bootstrap.platform import start_platform, stop_platform
from bootstrap.settings import Settings, given
from bootstrap.up import MENDABLE, tell, where_to_go
from domain.metering.events import RequestsServed
from domain.metering.values import decode_frame
from infrastructure.stream import Topic, place_of

APP = "hello"
CALLS = 1000
WRONG_KEY_CALLS = 50
CALLS_AT_ONCE = 16
BEYOND_LIMIT = 25
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.5
OK, UNAUTHORIZED, TOO_MANY = 200, 401, 429


class DemoFailed(Exception):
    """Something did not happen as it should have; the message says what."""


@dataclass
class Tally:
    """What the caller itself has counted."""

    answers: Counter[int] = field(default_factory=Counter)

    @property
    def sent(self) -> int:
        """Every request sent to the gateway."""
        return sum(self.answers.values())

    @property
    def served(self) -> int:
        """Those answered by a replica."""
        return self.answers[OK]


def run_demo(settings: Settings, *, keep: bool) -> int:
    """Run it in a home of its own; return the exit code."""
    base = Path(given().get("TALLYPORT_HOME") or tempfile.gettempdir()).expanduser()
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="tallyport-demo-", dir=base))
    try:
        return asyncio.run(_demo(_on_free_ports(replace(settings, home=folder)), keep=keep))
    except DemoFailed as error:
        typer.echo(f"\nThe demo failed: {error}\nThe logs are in {folder / 'logs'}.", err=True)
        return 1
    except MENDABLE as error:
        typer.echo(f"\nThe demo could not start.\n{error}", err=True)
        return 1
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


async def _demo(settings: Settings, *, keep: bool) -> int:
    started = time.monotonic()
    stop = stop_on_signals()
    driver = await _driver(settings)
    say("Starting Tallyport in a fresh home")
    typer.echo(f"  home         {settings.home}", err=True)
    async with Supervisor(Home.open(settings.home)) as supervisor:
        in_force = await start_platform(supervisor, Home.open(settings.home), settings, tell, stop)
        if stop.is_set():
            return 130
        story = Story(in_force, driver)
        try:
            summary = await story.tell()
            summary["seconds"] = round(time.monotonic() - started, 1)
            if keep:
                typer.echo(json.dumps(summary))
                typer.echo(where_to_go(in_force), err=True)
                await supervisor.run_until(stop)
        finally:
            await story.close()
            say("Stopping everything")
            await stop_platform(supervisor, in_force)
    differing = _disagreements(summary)
    for line in differing:
        typer.echo(f"DISAGREEMENT: {line}", err=True)
    if not keep:
        typer.echo(json.dumps(summary))
    return 1 if differing else 0


class Story:
    """One newcomer's way, step by step."""

    def __init__(self, settings: Settings, driver: str) -> None:
        self._settings = settings
        self._driver = driver
        self._api = httpx.AsyncClient(base_url=settings.api.local_url, timeout=30)
        self._gateway = httpx.AsyncClient(
            base_url=settings.gateway.local_url,
            headers={"Host": f"{APP}.{settings.gateway.apps_domain}"},
            limits=httpx.Limits(max_connections=CALLS_AT_ONCE),
            timeout=30,
        )
        self._tally = Tally()
        self._position = "0"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.aclose()
        await self._gateway.aclose()

    async def tell(self) -> dict[str, Any]:
        """Live it; return the summary."""
        await self._sign_up()
        key_id, key = await self._create_key()
        deployment_id = await self._deploy()
        await self._call(key)
        await self._scale(deployment_id)
        await self._revoke(key_id, key)
        return await self._read_everything(deployment_id)

    async def _sign_up(self) -> None:
        say("Registering a person")
        password = "correct horse battery staple"  # noqa: S105 - of a home that is thrown away
        person = {"username": "ada", "email": "ada@example.com", "password": password}
        await self._write("POST", "/v1/auth/register", {**person, "confirmPassword": password})
        login = await self._write(
            "POST", "/v1/auth/login", {"email": person["email"], "password": password}
        )
        self._api.headers["Authorization"] = f"Bearer {login['accessToken']}"
        say(f"  {login['user']['username']} is signed in as {login['user']['id']}")

    async def _create_key(self) -> tuple[str, str]:
        say(f"Creating an API key with a limit of {CALLS} requests per minute")
        body = {"name": "first key", "scopes": ["call:*"], "requestsPerMinute": CALLS}
        created = await self._write("POST", "/v1/api-keys", body)
        say(f"  {created['id']}, which begins with {created['prefix']}")
        return created["id"], created["apiKey"]

    async def _deploy(self) -> str:
        how = "as Docker containers" if self._driver == "docker" else "as processes: no Docker here"
        say(f"Deploying tallyport/echo with 2 replicas ({how})")
        created = await self._write(
            "POST",
            "/v1/deployments",
            {
                "appName": APP,
                "image": "tallyport/echo",
                "port": 8080,
                "replicas": 2,
                "healthCheck": {"path": "/health", "periodSeconds": 1},
            },
        )
        await self._until_running(created["id"], replicas=2)
        say(f"  live at {created['url']}")
        return str(created["id"])

    async def _call(self, key: str) -> None:
        await self._until_the_gateway_serves(key)
        left = CALLS - self._tally.served
        say(f"Calling it {CALLS} times with the key")
        began = time.monotonic()
        await self._send(left, key)
        rate = left / (time.monotonic() - began)
        say(f"  {self._tally.answers[OK]} answered 200, {rate:.0f} requests/s from one process")
        say(f"Calling it {WRONG_KEY_CALLS} times with a wrong key")
        before = self._tally.answers[UNAUTHORIZED]
        await self._send(WRONG_KEY_CALLS, "tp_live_" + "0" * 42 + "_000000")
        say(f"  {self._tally.answers[UNAUTHORIZED] - before} answered 401")
        say("Calling it beyond the key's limit")
        await self._beyond_the_limit(key)
        say(f"  {self._tally.answers[TOO_MANY]} answered 429 Too Many Requests")

    async def _beyond_the_limit(self, key: str) -> None:
        for _ in range(CALLS // BEYOND_LIMIT + 2):
            await self._send(BEYOND_LIMIT, key)
            if self._tally.answers[TOO_MANY] >= BEYOND_LIMIT:
                return
        raise DemoFailed(f"{self._tally.sent} calls in a minute were never limited")

    async def _scale(self, deployment_id: str) -> None:
        say("Scaling to 3 replicas")
        await self._write("PATCH", f"/v1/deployments/{deployment_id}/scale", {"replicas": 3})
        await self._until_running(deployment_id, replicas=3)
        say("  3 replicas are ready")

    async def _revoke(self, key_id: str, key: str) -> None:
        say("Revoking the key")
        began = time.monotonic()
        await self._write("DELETE", f"/v1/api-keys/{key_id}")
        while await self._send_one(key) != UNAUTHORIZED:
            if time.monotonic() - began > WAIT_SECONDS:
                raise DemoFailed("the revoked key still works")
            await asyncio.sleep(0.02)
        say(f"  refused by the gateway {time.monotonic() - began:.2f} s after asking")

    async def _read_everything(self, deployment_id: str) -> dict[str, Any]:
        say("Waiting for every reader to have seen everything")
        summary = await self._count_until_equal()
        status = await self._read(f"/v1/deployments/{deployment_id}/status")
        logs = await self._read(f"/v1/deployments/{deployment_id}/logs?tail=3")
        overview = await self._read("/v1/analytics/overview")
        usage = await self._read("/v1/usage")
        estimate = await self._read("/v1/billing/estimate")
        audit = await self._read("/v1/audit?limit=5")
        replicas, totals = status["replicas"], overview["totals"]
        latency = totals["latency"]
        show(
            "Status",
            f"{status['status']}, {replicas['ready']} of {replicas['desired']} replicas ready,"
            f" up {status['uptime']}, {status['restartCount']} restarts",
        )
        show("Logs, last 3", *(f"{one['replica']}  {one['message']}" for one in logs["logs"]))
        show(
            "Analytics",
            ", ".join(f"{name.upper()} {latency[name]:.0f} ms" for name in ("p50", "p95", "p99")),
            "by status: " + ", ".join(f"{n} x {code}" for code, n in overview["byStatus"].items()),
        )
        show(
            "Usage this month",
            f"{usage['totals']['billable']} requests served,"
            f" {usage['totals']['bytesOut']} bytes sent",
        )
        show(
            "Bill so far",
            f"{estimate['requests']} requests at {estimate['pricePerMillionRequests']}"
            f" {estimate['currency']} per million: {estimate['total']} {estimate['currency']}",
        )
        show(
            f"Audit, newest 5 of {audit['pagination']['total']}",
            *(
                f"{one['recordedAt'][:19]}  {one['actor']:<14}  {one['type']:<36} {one['streamId']}"
                for one in audit["events"]
            ),
        )
        return summary

    async def _count_until_equal(self) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            summary = await self._count()
            if not _disagreements(summary) or time.monotonic() > deadline:
                return summary
            await asyncio.sleep(POLL_SECONDS)

    async def _count(self) -> dict[str, Any]:
        overview = await self._read("/v1/analytics/overview")
        estimate = await self._read("/v1/billing/estimate")
        async with open_core(self._settings, connections_max=2) as core:
            counted = await count_log(core)
            async with core.pool.connection() as connection:
                cursor = await connection.execute(
                    "SELECT (SELECT count(*) FROM views.audit), (SELECT sum(value::bigint)"
                    " FROM relay_positions, jsonb_each_text(sequences))"
                )
                row = await cursor.fetchone()
        audit_rows, relayed = row or (0, 0)
        return {
            "requestsSent": self._tally.sent,
            "requestsServed": self._tally.served,
            "requestsRefused": self._tally.sent - self._tally.served,
            "requestsLogged": counted["lines"],
            "requestsMetered": counted["billable"],
            "requestsInClickHouse": overview["totals"]["billable"],
            "requestsBilled": estimate["requests"],
            "events": counted["events"],
            "auditRows": audit_rows,
            "controlEvents": counted["control"],
            "eventsThroughKafka": int(relayed or 0),
            "driver": self._driver,
            "kafka": self._settings.parts.kafka,
        }

    async def _until_running(self, deployment_id: str, *, replicas: int) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            status = await self._read(f"/v1/deployments/{deployment_id}/status")
            if status["status"] == "failed":
                deployment = await self._read(f"/v1/deployments/{deployment_id}")
                raise DemoFailed(f"the deployment failed: {deployment.get('failure') or status}")
            if status["status"] == "running" and status["replicas"]["ready"] == replicas:
                return
            await asyncio.sleep(POLL_SECONDS)
        raise DemoFailed(f"{replicas} replicas were not ready in {WAIT_SECONDS:.0f} s: {status}")

    async def _until_the_gateway_serves(self, key: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while await self._send_one(key) != OK:
            if time.monotonic() > deadline:
                raise DemoFailed(f"the gateway does not serve it: {dict(self._tally.answers)}")
            await asyncio.sleep(0.1)

    async def _send(self, count: int, key: str) -> None:
        left = iter(range(count))

        async def caller() -> None:
            for _ in left:
                await self._send_one(key)

        await asyncio.gather(*(caller() for _ in range(CALLS_AT_ONCE)))

    async def _send_one(self, key: str) -> int:
        answer = await self._gateway.get("/greeting?name=ada", headers={"X-API-Key": key})
        self._tally.answers[answer.status_code] += 1
        return answer.status_code

    async def _write(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        answer = await self._api.request(method, path, json=body)
        if answer.is_error:
            raise DemoFailed(f"{method} {path} answered {answer.status_code}: {answer.text}")
        self._position = answer.headers.get("X-Tallyport-Position", self._position)
        return dict(answer.json())

    async def _read(self, path: str) -> dict[str, Any]:
        headers = {"X-Tallyport-Min-Position": self._position}
        for _ in range(10):
            answer = await self._api.get(path, headers=headers)
            if answer.status_code not in {TOO_MANY, 503}:
                break
            await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
        if answer.is_error:
            raise DemoFailed(f"GET {path} answered {answer.status_code}: {answer.text}")
        return dict(answer.json())


async def count_log(core: Any) -> Counter[str]:  # noqa: ANN401 - the core of this process
    """Count what the log itself has: events, and the requests in its frames."""
    counted: Counter[str] = Counter(events=0, control=0, lines=0, billable=0)
    position = 0
    while events := await core.store.read_all(after=position, limit=1000):
        position = events[-1].position
        for event in events:
            counted["events"] += 1
            if place_of(event)[0] is Topic.EVENTS:
                counted["control"] += 1
                continue
            frame = core.codec.decode(event.topic, event.data)
            if isinstance(frame, RequestsServed):
                lines = decode_frame(frame)
                counted["lines"] += len(lines)
                counted["billable"] += sum(line.billable for line in lines)
    return counted


def _disagreements(summary: dict[str, Any]) -> list[str]:
    served, sent = summary["requestsServed"], summary["requestsSent"]
    wanted = {
        "requestsLogged": sent,
        "requestsMetered": served,
        "requestsInClickHouse": served,
        "requestsBilled": served,
        "auditRows": summary["controlEvents"],
        "eventsThroughKafka": 0 if summary["kafka"] == "none" else summary["events"],
    }
    return [
        f"{name} is {summary[name]}, expected {number}"
        for name, number in wanted.items()
        if summary[name] != number
    ]


async def _driver(settings: Settings) -> str:
    from infrastructure.containers.docker import docker_problem  # noqa: PLC0415 - slow to import
    from infrastructure.containers.docker_logs import DEFAULT_HOST  # noqa: PLC0415

    if settings.containers.driver != "auto":
        return settings.containers.driver
    problem = await docker_problem(settings.containers.docker_host or DEFAULT_HOST)
    return "docker" if problem is None else "process"


def _on_free_ports(settings: Settings) -> Settings:
    """Leave the usual ports to whoever uses them: the demo runs beside a `tallyport up`."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        api_port, gateway_port = one.getsockname()[1], other.getsockname()[1]
    return replace(
        settings,
        api=replace(settings.api, port=api_port),
        gateway=replace(settings.gateway, port=gateway_port),
    )


def say(line: str) -> None:
    """Tell one step."""
    typer.echo(line if line.startswith("  ") else f"\n{line}", err=True)


def show(title: str, *lines: str) -> None:
    """Show what a reader sees."""
    say(title)
    for line in lines:
        say(f"  {line}")
