"""Pebble, the ACME server its authority's own authors test with, and a DNS in which all is here.

Built once by Go and kept in the cache folder. Every name leads to 127.0.0.1, but those below
`nowhere.test`, of which there are none.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.certificates import Authority
from tests.servers import end_with_parent, free_port

VERSION = "v2.10.1"
CACHE = Path.home() / ".cache" / "tallyport-tests" / f"pebble-{VERSION}"
START_SECONDS = 60


def pebble_binary() -> Path:
    """Return the program, built if this is the first time."""
    binary = CACHE / "pebble"
    if not binary.exists():
        # Moved into place as a whole, so that a build that was interrupted is none.
        aside = CACHE.with_name(f"{CACHE.name}-{os.getpid()}")
        subprocess.run(
            ["go", "install", f"github.com/letsencrypt/pebble/v2/cmd/pebble@{VERSION}"],
            env={**os.environ, "GOBIN": str(aside), "GOFLAGS": "-mod=mod"},
            check=True,
            timeout=280,
        )
        CACHE.mkdir(parents=True, exist_ok=True)
        (aside / "pebble").replace(binary)
        aside.rmdir()
    return binary


def must_be_there_or_made() -> None:
    """Skip the test for want of Go, or fail it where Go is required."""
    if (CACHE / "pebble").exists() or shutil.which("go") is not None:
        return
    reason = "Pebble, the ACME server, is built by Go, of which there is none here"
    if os.environ.get("TALLYPORT_REQUIRE_GO") == "1":
        pytest.fail(f"{reason}, and TALLYPORT_REQUIRE_GO=1")
    pytest.skip(reason)


class Pebble:
    """One certificate authority, without memory: each start is a new one."""

    def __init__(self, folder: Path, *, http_port: int, valid_seconds: int = 7_776_000) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._dns: asyncio.Server | None = None
        self._http_port = http_port
        self._valid_seconds = valid_seconds
        self._listen, self._manage = free_port(), free_port()
        self._own = Authority("Pebble's own TLS")
        self.ca_file = folder / "pebble-ca.pem"
        self.log = folder / "pebble.log"
        self.questions: list[str] = []

    @property
    def directory(self) -> str:
        return f"https://localhost:{self._listen}/dir"

    async def __aenter__(self) -> Self:
        must_be_there_or_made()
        names = _Names(self.questions)
        self._dns = await asyncio.start_server(names.serve, "127.0.0.1", 0)
        self._start(self._dns.sockets[0].getsockname()[1])
        await asyncio.to_thread(self._wait)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._dns is not None:
            self._dns.close()
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(self._process.wait, 10)

    def root(self) -> str:
        """Return the root of what it issues, as PEM."""
        return self._get(f"https://localhost:{self._manage}/roots/0").decode()

    @property
    def certificates_issued(self) -> int:
        return self.log.read_text().count("Issued certificate serial")

    def _start(self, dns_port: int) -> None:
        self.ca_file.write_text(self._own.pem)
        chain, key = self._own.issue("localhost")
        (self._folder / "pebble-cert.pem").write_text(chain)
        (self._folder / "pebble-key.pem").write_text(key)
        config = {
            "listenAddress": f"127.0.0.1:{self._listen}",
            "managementListenAddress": f"127.0.0.1:{self._manage}",
            "certificate": str(self._folder / "pebble-cert.pem"),
            "privateKey": str(self._folder / "pebble-key.pem"),
            "httpPort": self._http_port,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "retryAfter": {"authz": 1, "order": 1},
            "keyAlgorithm": "ecdsa",
            "profiles": {
                "default": {"description": "the only one", "validityPeriod": self._valid_seconds}
            },
        }
        (self._folder / "pebble.json").write_text(json.dumps({"pebble": config}))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(pebble_binary()),
                    *("-config", str(self._folder / "pebble.json")),
                    *("-dnsserver", f"127.0.0.1:{dns_port}"),
                ],
                env={
                    **os.environ,
                    "PEBBLE_VA_NOSLEEP": "1",
                    "PEBBLE_WFE_NONCEREJECT": "0",
                    "PEBBLE_AUTHZREUSE": "0",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,  # noqa: PLW1509  it does nothing but one system call
            )

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._get(self.directory)
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    print(self.log.read_text(), file=sys.stderr)
                    raise
                time.sleep(0.05)
            else:
                return

    def _get(self, url: str) -> bytes:
        context = ssl.create_default_context(cadata=self._own.pem)
        with urllib.request.urlopen(url, context=context, timeout=5) as answer:
            return bytes(answer.read())


class _Names:
    """A DNS over TCP, which is how Pebble asks."""

    def __init__(self, questions: list[str]) -> None:
        self._questions = questions

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                [length] = struct.unpack("!H", await reader.readexactly(2))
                answer = self._answer(await reader.readexactly(length))
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def _answer(self, asked: bytes) -> bytes:
        labels, at = [], 12
        while asked[at]:
            labels.append(asked[at + 1 : at + 1 + asked[at]].decode())
            at += 1 + asked[at]
        kind = struct.unpack("!H", asked[at + 1 : at + 3])[0]
        question, name = asked[12 : at + 5], ".".join(labels).lower()
        self._questions.append(name)
        known = not name.endswith("nowhere.test")
        found = b""
        if known and kind == 1:
            found = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + socket.inet_aton("127.0.0.1")
        flags = 0x8580 | (0 if known else 3)
        head = asked[:2] + struct.pack("!HHHHH", flags, 1, 1 if found else 0, 0, 0)
        return head + question + found
