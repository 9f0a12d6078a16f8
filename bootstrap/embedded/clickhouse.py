"""ClickHouse's engine (chDB) in one process of its own, behind our HTTP server."""

import sys
from functools import partial

from bootstrap.embedded import probes
from bootstrap.embedded.home import Home
from bootstrap.embedded.parts import ProcessSpec
from bootstrap.embedded.ports import LOOPBACK
from bootstrap.embedded.processes import environment_for_python

USER = "tallyport"


def clickhouse(home: Home, port: int) -> tuple[ProcessSpec, str]:
    """Return how to run the analytics server in this home, and its URL."""
    password = home.secret("clickhouse")
    folder = home.data / "clickhouse"

    async def prepare() -> None:
        folder.mkdir(mode=0o700, exist_ok=True)

    argv = [sys.executable, "-m", "bootstrap.embedded.clickhouse_server"]
    argv += ["--path", str(folder), "--host", LOOPBACK, "--port", str(port)]
    argv += ["--user", USER, "--password-file", str(home.secret_file("clickhouse"))]
    spec = ProcessSpec(
        name="clickhouse",
        argv=argv,
        cwd=home.root,
        env=environment_for_python(),
        prepare=prepare,
        ready=partial(probes.http_answers, port, "/ping", b"Ok.\n"),
        stop_timeout_seconds=20,
    )
    return spec, f"http://{USER}:{password}@{LOOPBACK}:{port}/default"
