"""A whole platform on real processes: `tallyport up` in a home of its own, to be hurt."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

START_SECONDS = 90.0
PASSWORD = "correct horse battery staple"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Platform:
    """`tallyport up`, seen from outside."""

    def __init__(self, home: Path, *, driver: str = "process", kafka: str = "none") -> None:
        self.home = home
        self.api_port, self.gateway_port = free_port(), free_port()
        self.environment = {
            "PATH": os.environ["PATH"],
            "TALLYPORT_HOME": str(home),
            "TALLYPORT_API_PORT": str(self.api_port),
            "TALLYPORT_GATEWAY_PORT": str(self.gateway_port),
            "TALLYPORT_DRIVER": driver,
            "TALLYPORT_KAFKA": kafka,
            "TALLYPORT_RATE_AUTH": "10000",
            "TALLYPORT_RATE_DEPLOYMENTS": "100000",
            "TALLYPORT_RATE_READS": "100000",
            "TALLYPORT_RATE_LOGS": "100000",
        }
        if "DOCKER_HOST" in os.environ:
            self.environment["DOCKER_HOST"] = os.environ["DOCKER_HOST"]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bootstrap.main", "up"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        try:
            self.wait_until(self.is_ready, START_SECONDS, "the platform is not ready")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            self.process.kill()
            self.process.wait()

    def is_ready(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"it ended: {(self.home / 'up.log').read_text()[-3000:]}")
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.api_url}/health/ready", timeout=2).status_code == 200
        return False

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def database_url(self) -> str:
        port = json.loads((self.home / "run" / "ports.json").read_text())["postgres"]
        password = (self.home / "secrets" / "postgres-app").read_text().strip()
        return f"postgresql://tallyport_app:{password}@127.0.0.1:{port}/tallyport"

    @property
    def database_owner_url(self) -> str:
        """As the superuser: may read whatever there is."""
        port = json.loads((self.home / "run" / "ports.json").read_text())["postgres"]
        password = (self.home / "secrets" / "postgres").read_text().strip()
        return f"postgresql://postgres:{password}@127.0.0.1:{port}/tallyport"

    @property
    def kafka_bootstrap(self) -> str:
        port = json.loads((self.home / "run" / "ports.json").read_text())["kafka"]
        return f"127.0.0.1:{port}"

    @property
    def clickhouse_url(self) -> str:
        port = json.loads((self.home / "run" / "ports.json").read_text())["clickhouse"]
        password = (self.home / "secrets" / "clickhouse").read_text().strip()
        return f"http://tallyport:{password}@127.0.0.1:{port}/default"

    def pid_of(self, part: str) -> int:
        """Return the process id of a part, as the supervisor registered it."""
        return int(json.loads((self.home / "run" / f"{part}.process").read_text())["pid"])

    def kill(self, part: str) -> None:
        """kill -9 a part and wait until the supervisor has started it again."""
        before = self.pid_of(part)
        os.kill(before, signal.SIGKILL)

        def is_back() -> bool:
            with contextlib.suppress(OSError, ValueError):
                return self.pid_of(part) != before
            return False

        self.wait_until(is_back, 30, f"{part} was not started again")

    @staticmethod
    def wait_until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.05)


class Person:
    """Somebody who uses it over REST."""

    def __init__(self, platform: Platform, name: str) -> None:
        self.platform = platform
        self.api = httpx.Client(base_url=f"{platform.api_url}/v1", timeout=20)
        self.name, self.email = name, f"{name}@example.com"
        self.post(
            "/auth/register",
            username=name,
            email=self.email,
            password=PASSWORD,
            confirmPassword=PASSWORD,
        )
        login = self.post("/auth/login", email=self.email, password=PASSWORD)
        self.api.headers["Authorization"] = f"Bearer {login['accessToken']}"

    def close(self) -> None:
        self.api.close()

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        return self._answer(self.api.post(path, json=body))

    def patch(self, path: str, **body: Any) -> dict[str, Any]:
        return self._answer(self.api.patch(path, json=body))

    def get(self, path: str) -> dict[str, Any]:
        return self._answer(self.api.get(path))

    def delete(self, path: str) -> dict[str, Any]:
        return self._answer(self.api.delete(path))

    def _answer(self, answer: httpx.Response) -> dict[str, Any]:
        if position := answer.headers.get("X-Tallyport-Position"):
            self.api.headers["X-Tallyport-Min-Position"] = position
        assert answer.is_success, f"{answer.request.method} {answer.url}: {answer.text}"
        return dict(answer.json())

    def create_key(self, **more: Any) -> dict[str, Any]:
        body = {"name": "a key", "scopes": ["call:*"], "requestsPerMinute": 1_000_000, **more}
        return self.post("/api-keys", **body)

    def deploy(self, name: str, *, replicas: int = 1) -> dict[str, Any]:
        """Deploy the echo and wait until it runs."""
        created = self.post(
            "/deployments",
            appName=name,
            image="tallyport/echo",
            port=8080,
            replicas=replicas,
            healthCheck={"path": "/health", "periodSeconds": 1},
        )
        self.until_running(created["id"], replicas=replicas)
        return created

    def until_running(self, deployment_id: str, *, replicas: int, seconds: float = 60) -> None:
        def runs() -> bool:
            status = self.get(f"/deployments/{deployment_id}/status")
            assert status["status"] != "failed", self.get(f"/deployments/{deployment_id}")
            return bool(status["status"] == "running" and status["replicas"]["ready"] == replicas)

        self.platform.wait_until(runs, seconds, f"{deployment_id} does not run")


@dataclass
class Traffic:
    """Calls to one app from several threads, each counted by the caller itself."""

    platform: Platform
    app: str
    key: str
    threads: int = 4
    answers: Counter[int] = field(default_factory=Counter)
    unknown: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def flowing(self) -> Iterator["Traffic"]:
        callers = [threading.Thread(target=self._call) for _ in range(self.threads)]
        for caller in callers:
            caller.start()
        try:
            yield self
        finally:
            self._stop.set()
            for caller in callers:
                caller.join()

    def _call(self) -> None:
        headers = {"Host": f"{self.app}.apps.localhost", "X-API-Key": self.key}
        with httpx.Client(
            base_url=self.platform.gateway_url, headers=headers, timeout=20
        ) as client:
            while not self._stop.is_set():
                try:
                    status = client.get("/work").status_code
                except httpx.ConnectError:
                    status = None  # nobody took the request
                except httpx.HTTPError:
                    status = 0
                with self._lock:
                    if status == 0:
                        self.unknown += 1
                    elif status is not None:
                        self.answers[status] += 1
                time.sleep(0.005 if status == 200 else 0.05)


@dataclass
class Commands:
    """Keys created one after another, each repeated with its idempotency key until answered."""

    person: Person
    acknowledged: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def flowing(self) -> Iterator["Commands"]:
        caller = threading.Thread(target=self._call)
        caller.start()
        try:
            yield self
        finally:
            self._stop.set()
            caller.join()

    def _call(self) -> None:
        while not self._stop.is_set():
            self.acknowledged.append(self._create())

    def _create(self) -> str:
        body = {"name": "under fire", "scopes": ["call:*"]}
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                answer = self.person.api.post("/api-keys", json=body, headers=headers)
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer.status_code == 201:
                return str(answer.json()["id"])
            assert answer.status_code in {503, 401, 429, 409}, answer.text
            time.sleep(0.05)
        raise AssertionError("a command was not answered for a minute")
