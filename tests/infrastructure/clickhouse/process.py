"""The ClickHouse server of the embedded default as a real process that a test may kill."""

import asyncio
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[3]
USER = "tallyport"
PASSWORD = "p@ss/" + secrets.token_hex(8)
URL_PASSWORD = PASSWORD.replace("@", "%40").replace("/", "%2F")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ClickHouseProcess:
    """Start, kill, start again: the folder and the port stay."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.log = folder / "clickhouse.log"
        self.password_file = folder / "password"
        self.password_file.write_text(PASSWORD + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{USER}:{URL_PASSWORD}@127.0.0.1:{self.port}/default"

    def argv(self, *more: str) -> list[str]:
        return [
            *(sys.executable, "-m", "bootstrap.embedded.clickhouse_server"),
            *("--path", str(self.folder / "data"), "--port", str(self.port)),
            *("--user", USER, "--password-file", str(self.password_file)),
            *more,
        ]

    def spawn(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.argv(), cwd=ROOT, stdout=log, stderr=log)

    def start(self) -> "ClickHouseProcess":
        self.spawn()
        deadline = time.monotonic() + 30
        while not self.answers():
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return self

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/ping", timeout=1) as answer:
                return bool(answer.read() == b"Ok.\n")
        except OSError:
            return False

    async def start_async(self) -> None:
        await asyncio.to_thread(self.start)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)
