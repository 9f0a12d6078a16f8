"""What a person sees at a terminal, and what a script sees in a pipe."""

import json
import subprocess
import sys

import pytest

from cli.terminal import plain
from tests.cli.conftest import CommandLine
from tests.platform import PASSWORD, Person

BOLD = "\x1b[1m"


def test_signing_in_asks_for_what_it_needs_and_shows_no_password(
    stranger: CommandLine, anna: Person
) -> None:
    with stranger.terminal("login") as terminal:
        terminal.until("E-mail: ")
        terminal.type(f"{anna.get('/user/profile')['email']}\n")
        terminal.until("Password: ")
        terminal.type(f"{PASSWORD}\n")
        terminal.until("Signed in")
        assert terminal.end() == 0
    assert PASSWORD not in terminal.shown
    assert stranger.ok("whoami", "--json").json["username"] == "anna"


def test_a_device_is_signed_in_by_its_code(stranger: CommandLine, anna: Person) -> None:
    with stranger.terminal("login", "--device", BROWSER="true") as terminal:
        code = terminal.until(r"[B-Z]{4}-[B-Z]{4}")[-9:]
        anna.post("/auth/device/approve", userCode=code)
        terminal.until("as anna")
        assert terminal.end() == 0
    assert stranger.ok("whoami", "--json").json["username"] == "anna"


def test_deleting_asks_for_the_name(tallyport: CommandLine) -> None:
    tallyport.ok("deploy", "--name", "precious", "--image", "tallyport/echo", "--no-wait")
    with tallyport.terminal("deployments", "delete", "precious") as terminal:
        terminal.until("Type precious to go on: ")
        terminal.type("precios\n")
        assert terminal.end() == 1
    assert "Nothing was done" in terminal.shown
    with tallyport.terminal("deployments", "delete", "precious") as terminal:
        terminal.until("Type precious to go on: ")
        terminal.type("precious\n")
        assert terminal.end() == 0
    assert tallyport.run("deployments", "show", "precious").code == 4


def test_a_deployment_is_followed_and_ctrl_c_lets_it_go_on(tallyport: CommandLine) -> None:
    arguments = ("--image", "tallyport/echo", "--health", "/status/500")
    with tallyport.terminal("deploy", "--name", "slow", *arguments) as terminal:
        terminal.until("slow is pending")
        terminal.type("\x03")
        assert terminal.end() == 130
    assert "goes on" in terminal.shown
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l")  # the cursor
    assert tallyport.ok("deployments", "show", "slow", "--json").json["status"] == "pending"
    tallyport.ok("deployments", "delete", "slow", "--yes")


def test_colour_is_for_terminals_that_want_it(tallyport: CommandLine) -> None:
    with tallyport.terminal("images") as terminal:
        assert terminal.end() == 0
    assert BOLD in terminal.shown
    with tallyport.terminal("images", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert "\x1b" not in terminal.shown
    assert "tallyport/echo" in terminal.shown
    assert "\x1b" not in tallyport.ok("images").out


@pytest.mark.usefixtures("hello")
def test_followed_lines_come_until_ctrl_c(tallyport: CommandLine) -> None:
    with tallyport.terminal("logs", "hello", "-f") as terminal:
        terminal.until("listening on")
        terminal.type("\x03")
        assert terminal.end() == 130
    assert terminal.shown.endswith("^C")


@pytest.mark.usefixtures("hello")
def test_what_a_program_writes_is_nothing_but_text_on_a_terminal(tallyport: CommandLine) -> None:
    with tallyport.terminal("logs", "hello") as terminal:
        assert terminal.end() == 0
    assert "coloured link ended" in terminal.shown
    assert "admin\\u202etxt.exe" in terminal.shown
    assert not set(terminal.shown) & set("\x1b\x07\x9b\u202e")
    with tallyport.terminal("logs", "hello", "--json") as terminal:
        assert terminal.end() == 0
    assert not set(terminal.shown) & set("\x1b\x07\x9b\u202e")
    said = [line["message"] for line in json.loads(terminal.shown)["logs"]]
    assert any(text.endswith("\x1bc admin\u202etxt.exe") for text in said), "nothing is lost"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[1;31mb\x1b[0mc\x1b[?25l", "abc"),
        ("\x1b]0;title\x07a\x1b]8;;http://evil\x1b\\b", "ab"),
        ("\x1bPq#0\x1b\\a\x1b_command\x1b\\b\x1bc", "ab"),
        ("\x1b\x1b[0m[2Ja\x1b[9", "[2Ja9"),
        ("a\x9b2J\x00\x08\x7f\r\u2028", "a2J"),
        ("\x1b]unterminated\nnext", "\nnext"),
        ("a\u202eb\u2066\u200f", "a\\u202eb\\u2066\\u200f"),
        ("tabs\tand é 漢 🦊", "tabs\tand é 漢 🦊"),
    ],
)
def test_orders_are_left_out_and_what_turns_the_writing_is_named(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_events_are_told_as_they_happen(tallyport: CommandLine) -> None:
    with tallyport.terminal("events", "--count", "1") as terminal:
        terminal.until("Listening")
        made = tallyport.ok("keys", "create", "heard of", "--json").json
        assert made["id"] in terminal.until(r"key\.created\s+key-\w+")
        assert terminal.end() == 0


def test_a_pipe_gets_data_only_and_may_close_early(tallyport: CommandLine) -> None:
    piped = tallyport.shell("tallyport audit list --export | head -n 1")
    assert "type" in json.loads(piped.out)
    assert "Traceback" not in piped.err
    assert "BrokenPipe" not in piped.err
    status = tallyport.shell("tallyport deployments show nothing-here; echo $?")
    assert status.out == "4\n"
    secret = tallyport.shell("key=$(tallyport keys create piped -q) && echo ${#key}")
    assert secret.out == "57\n"


@pytest.mark.usefixtures("hello")
def test_the_shell_completes_names_of_deployments(tallyport: CommandLine) -> None:
    words = "COMP_WORDS='tallyport deployments show hel' COMP_CWORD=3"
    offered = tallyport.shell(f"_TALLYPORT_COMPLETE=complete_bash {words} tallyport")
    assert offered.out.split() == ["hello"]


@pytest.mark.parametrize("command", ["--help", "deploy --help", "keys --help"])
def test_help_is_there_without_a_platform(stranger: CommandLine, command: str) -> None:
    stranger.environment["TALLYPORT_URL"] = "nonsense"
    assert "Usage: tallyport" in stranger.ok(*command.split()).out


def test_help_groups_what_is_yours_and_what_operates_the_platform(stranger: CommandLine) -> None:
    text = stranger.ok("--help").out
    assert text.index("Your APIs:") < text.index("  deploy ") < text.index("Operating the platform")
    assert text.index("Operating the platform") < text.index("  up ")


def test_help_imports_nothing_that_takes_long() -> None:
    program = (
        "import sys; import bootstrap.main;"
        "print(*{'httpx', 'rich', 'asyncio', 'msgspec', 'psycopg', 'fastapi'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == []
