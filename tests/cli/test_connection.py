"""When the line is bad, the token old, the person not sure enough, or the server hostile."""

import json
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, BaseServer, ThreadingTCPServer
from urllib.parse import urlsplit

import psycopg
import pyotp
import pytest

from tests.cli.conftest import COMMAND, CommandLine, sign_in
from tests.platform import PASSWORD, Person, Platform

LONG_AGO = "2020-01-01T00:00:00+00:00"


class LosingLine(ThreadingTCPServer):
    """A line to the API on which the answer to one request is lost after it was carried out."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(("127.0.0.1", 0), Carrier)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.api = ("127.0.0.1", platform.api_port)
        self.losing: bytes | None = None
        """How the request begins whose answer is lost, once."""
        self.asked: list[bytes] = []


class Carrier(BaseRequestHandler):
    """Carries what one client sends, and what it is answered."""

    server: LosingLine
    request: socket.socket

    def handle(self) -> None:
        line = self.server
        while asked := message(self.request):
            line.asked.append(asked.partition(b"\r\n")[0])
            with socket.create_connection(line.api) as api:
                api.sendall(asked)
                answer = message(api)
            if line.losing is not None and asked.startswith(line.losing):
                line.losing = None
                reset = struct.pack("ii", 1, 0)  # what closing it is then
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                return
            self.request.sendall(answer)


def message(sender: socket.socket) -> bytes:
    """Return the next message that comes, nothing when none comes any more."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (more := sender.recv(65536)):
            return b""
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    while length is not None and len(body) < int(length[1]):
        body += sender.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def line(platform: Platform) -> Iterator[LosingLine]:
    with LosingLine(platform) as losing, served(losing):
        yield losing


@contextmanager
def served(server: BaseServer) -> Iterator[None]:
    serving = threading.Thread(target=server.serve_forever, args=(0.05,))
    serving.start()
    yield
    server.shutdown()
    serving.join()


def make_stale(tallyport: CommandLine) -> str:
    """Let the kept access token look as if it had ended; return the refresh token."""
    kept = json.loads(tallyport.logins.read_text())
    login = kept["logins"][kept["current"]]
    login["expires_at"] = LONG_AGO
    tallyport.logins.write_text(json.dumps(kept))
    return str(login["refresh_token"])


def refresh_token(tallyport: CommandLine) -> str:
    kept = json.loads(tallyport.logins.read_text())
    return str(kept["logins"][kept["current"]]["refresh_token"])


def test_a_thing_is_made_once_when_the_answer_is_lost(
    platform: Platform, stranger: CommandLine, line: LosingLine
) -> None:
    Person(platform, "unlucky").close()
    stranger.environment["TALLYPORT_URL"] = line.url
    sign_in(stranger, "unlucky")
    line.losing = b"POST /v1/api-keys "
    made = stranger.ok("keys", "create", "only one", "--json").json
    assert line.losing is None
    assert line.asked.count(b"POST /v1/api-keys HTTP/1.1") == 2
    listed = stranger.ok("keys", "list", "--json").json["apiKeys"]
    assert [each["id"] for each in listed] == [made["id"]]


def test_a_renewal_whose_answer_is_lost_signs_nobody_out(
    platform: Platform, stranger: CommandLine, line: LosingLine
) -> None:
    Person(platform, "unluckier").close()
    stranger.environment["TALLYPORT_URL"] = line.url
    sign_in(stranger, "unluckier")
    make_stale(stranger)
    line.losing = b"POST /v1/auth/refresh "
    assert stranger.ok("whoami", "--json").json["username"] == "unluckier"
    assert line.losing is None


def test_two_commands_at_once_renew_a_token_once(platform: Platform, stranger: CommandLine) -> None:
    Person(platform, "hasty").close()
    sign_in(stranger, "hasty")
    before = make_stale(stranger)
    at_once = [
        subprocess.Popen(
            [*COMMAND, "whoami", "--json"],
            env=stranger.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    for each in at_once:
        out, err = each.communicate(timeout=60)
        assert each.returncode == 0, err.decode()
        assert json.loads(out)["username"] == "hasty"
    assert refresh_token(stranger) != before
    assert stranger.ok("whoami", "--json").json["username"] == "hasty"


def test_codes_are_asked_for_at_sign_in_and_again_for_what_is_delicate(
    platform: Platform, stranger: CommandLine
) -> None:
    careful = Person(platform, "careful")
    secret = pyotp.parse_uri(careful.post("/user/2fa", password=PASSWORD)["otpauthUri"])
    assert isinstance(secret, pyotp.TOTP)
    codes = careful.post("/user/2fa/confirm", otp=secret.now())["recoveryCodes"]
    with stranger.terminal("login", "--email", careful.email) as terminal:
        terminal.until("Password: ")
        terminal.type(f"{PASSWORD}\n")
        terminal.until("Code of your app: ")
        terminal.type(f"{codes[0]}\n")
        terminal.until("Signed in")
        assert terminal.end() == 0
    with psycopg.connect(platform.database_owner_url) as connection:
        connection.execute(
            "UPDATE views.sessions SET authenticated_at = authenticated_at - interval '1 hour'"
            " WHERE user_id = %s",
            (careful.get("/user/profile")["id"],),
        )
    delicate = ("keys", "create", "for the team", "--scope", "team:write")
    refused = stranger.run(*delicate)
    assert refused.code == 2
    assert "nobody is there" in refused.err
    with stranger.terminal(*delicate) as terminal:
        terminal.until("proof that it is you")
        terminal.until("Password: ")
        terminal.type(f"{PASSWORD}\n")
        terminal.until("Code of your app: ")
        terminal.type(f"{codes[1]}\n")
        terminal.until("tp_live_")
        assert terminal.end() == 0
    assert PASSWORD not in terminal.shown
    careful.close()


ORDERS = "\x1b]0;renamed\x07\x1b[2J\x1b[31mred\x9b1mbold\x1b[0m\rback\x08"


class Hostile(BaseHTTPRequestHandler):
    """Says what a terminal would obey wherever it may say something."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/v1/images":
            image = {"image": f"an {ORDERS} image", "port": 80, "description": ORDERS}
            self._answer(200, {"images": [image]})
        else:
            error = {"code": ORDERS, "details": [{"field": ORDERS, "message": ORDERS}]}
            self._answer(422, {"title": ORDERS, "detail": ORDERS, "error": error})

    def _answer(self, status: int, body: object) -> None:
        said = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def hostile_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server, served(server):
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    "command", ["images", "images --json", "deployments list", "history dpl-0000000000"]
)
def test_a_server_gives_a_terminal_no_orders(stranger: CommandLine, command: str) -> None:
    with hostile_server() as url:
        stranger.environment |= {"TALLYPORT_URL": url, "TALLYPORT_API_KEY": "tp_live_x"}
        with stranger.terminal(*command.split(), NO_COLOR="1") as terminal:
            terminal.end()
    assert "red" in terminal.shown
    shown = terminal.shown.replace("\r\n", "\n")
    assert not re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown), repr(shown)
