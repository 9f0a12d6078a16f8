"""bin/advisories, asking a database of our own in the place of OSV's."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Database:
    """Knows holes in some packages, as OSV's API tells of them."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.asked: list[dict[str, Any]] = []
        self.leaves_out = 0
        database = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/querybatch"
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                database.asked += body["queries"]
                names = [query["package"]["name"] for query in body["queries"]]
                results = [
                    {"vulns": [{"id": database.known[name]}]} if name in database.known else {}
                    for name in names
                ]
                answer = json.dumps({"results": results[database.leaves_out :]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database()
    thread = Thread(target=database.server.serve_forever)
    thread.start()
    yield database
    database.server.shutdown()
    thread.join()
    database.server.server_close()


def ask(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "bin" / "_ask_advisories.py", "--database", url],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_pinned_version_is_asked_about_and_a_known_hole_is_told(database: Database) -> None:
    without = ask(database.url)
    assert (without.returncode, without.stdout) == (0, "")
    asked = {(each["package"]["ecosystem"], each["package"]["name"]) for each in database.asked}
    assert {("PyPI", "fastapi"), ("PyPI", "setuptools"), ("npm", "react")} <= asked
    assert all(each["version"] for each in database.asked)

    database.known = {"react": "GHSA-xxxx-yyyy-zzzz"}
    told = ask(database.url)
    assert told.returncode == 1
    assert told.stdout.startswith("react ")
    assert told.stdout.endswith(": GHSA-xxxx-yyyy-zzzz\n")


def test_no_answer_is_not_taken_for_a_good_one(database: Database) -> None:
    assert ask("http://127.0.0.1:9").returncode == 2
    database.leaves_out = 1
    assert ask(database.url).returncode == 2, "a package about which nothing was said"
