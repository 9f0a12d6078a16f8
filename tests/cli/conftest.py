"""One platform for the session, a person who is signed in, and the command line in three ways.

`run` is a call in this process: quick, for what a command does. `shell` is a process of its own,
for what a script sees. `terminal` is a process at a real terminal, for what a person sees.
"""

import contextlib
import fcntl
import io
import os
import re
import select
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from bootstrap.main import main
from tests.architecture.source_tree import ROOT
from tests.platform import PASSWORD, Person, Platform

COMMAND = [sys.executable, "-P", "-m", "bootstrap.main"]
TAKE_THE_TERMINAL = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    # A shell starts what it does not wait for with SIGINT ignored, and that is handed down.
    "signal.signal(signal.SIGINT, signal.SIG_DFL);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
PATIENCE_SECONDS = 60.0
HOSTILE = r"""
import sys
sys.stdout.buffer.write(
    "\x1b[2J\x1b[31mcoloured\x1b[0m \x1b]8;;https://evil.example\x07link\x1b]8;;\x07 ended\n"
    "\x1b]0;new title\x07\x1b]52;c;ZXZpbA==\x1b\\ bell\x07 \x9b2J"
    " \x1bc admin\u202etxt.exe\n".encode()
)
"""
"""What a program writes that wants to do more than be read."""


@dataclass
class Answer:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


class CommandLine:
    """The command line of one person, with a folder for their logins."""

    def __init__(self, platform: Platform | None, home: Path) -> None:
        self.home = home
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "TERM": "xterm-256color",
        }
        if platform is not None:
            self.environment["TALLYPORT_URL"] = platform.api_url

    @property
    def logins(self) -> Path:
        return self.home / "config" / "tallyport" / "logins.json"

    def run(self, *arguments: str, stdin: str = "") -> Answer:
        """Run a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for name in list(os.environ):
                if name.startswith(("TALLYPORT_", "XDG_")):
                    patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["tallyport", *arguments])
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main()
                except SystemExit as ended:
                    code = int(ended.code or 0)
        return Answer(code, out.getvalue(), err.getvalue())

    def ok(self, *arguments: str, stdin: str = "") -> Answer:
        """Run a command that must succeed."""
        answer = self.run(*arguments, stdin=stdin)
        assert answer.code == 0, answer
        return answer

    def shell(self, script: str) -> Answer:
        """Run a line of a shell in which `tallyport` is the command."""
        line = f'tallyport() {{ {shlex.join(COMMAND)} "$@"; }}; {script}'
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def terminal(self, *arguments: str, **more: str) -> "Terminal":
        """Begin a command at a terminal."""
        return Terminal([*COMMAND, *arguments], self.environment | more)


class Terminal:
    """A command at a real terminal: what it shows is read, what one types is written."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE_THE_TERMINAL, *command],
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""
        self._read_up_to = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    def until(self, pattern: str) -> str:
        """Read until this is shown, after what was waited for before; return all that is new."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            if found := re.search(pattern, self.shown[self._read_up_to :]):
                new = self.shown[self._read_up_to :][: found.end()]
                self._read_up_to += found.end()
                return new
            assert time.monotonic() < deadline, f"{pattern!r} was not shown: {self.shown!r}"
            assert self._read(), f"it ended without {pattern!r}: {self.shown!r}"

    def type(self, text: str) -> None:
        """Type."""
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Read to the end; return the exit code."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._read():
            assert time.monotonic() < deadline, f"it does not end: {self.shown!r}"
        return self._process.wait(PATIENCE_SECONDS)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 1.0)
        if not ready:
            return True
        try:
            text = os.read(self._master, 65536)
        except OSError:  # how a terminal says that nobody is there any more
            return False
        self.shown += text.decode(errors="replace")
        return bool(text)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("cli") / "home") as started:
        yield started


@pytest.fixture(scope="session")
def anna(platform: Platform) -> Iterator[Person]:
    """Somebody with an account."""
    person = Person(platform, "anna")
    yield person
    person.close()


@pytest.fixture
def stranger(platform: Platform, tmp_path: Path) -> CommandLine:
    """The command line of somebody who is not signed in."""
    return CommandLine(platform, tmp_path)


@pytest.fixture(scope="session")
def tallyport(
    platform: Platform, anna: Person, tmp_path_factory: pytest.TempPathFactory
) -> CommandLine:
    """The command line of Anna, who is signed in."""
    assert anna.get("/user/profile")["username"] == "anna"
    signed_in = CommandLine(platform, tmp_path_factory.mktemp("anna"))
    sign_in(signed_in, "anna")
    return signed_in


def sign_in(line: CommandLine, name: str) -> None:
    """Sign in as somebody that `Person` registered."""
    email = f"{name}@example.com"
    line.ok("login", "--email", email, "--password-stdin", stdin=f"{PASSWORD}\n")


@pytest.fixture(scope="session")
def hello(tallyport: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of code that is deployed under the name hello."""
    folder = tmp_path_factory.mktemp("code") / "hello"
    shutil.copytree(ROOT / "examples" / "python", folder)
    program = (folder / "main.py").read_text()
    (folder / "main.py").write_text(HOSTILE + program)
    tallyport.ok("init", str(folder), "--port", "8080")
    deployed = tallyport.ok("deploy", str(folder), "--env", "GREETING=hi")
    assert deployed.out == f"{url_of(tallyport, 'hello')}\n"
    assert "hello is live" in deployed.err
    yield folder
    tallyport.ok("deployments", "delete", "hello", "--yes")
    assert tallyport.run("deployments", "show", "hello").code == 4


def url_of(tallyport: CommandLine, name: str) -> str:
    return str(tallyport.ok("deployments", "show", name, "--json").json["url"])
