"""`--json` on every command: what the API says, on stdout, and nothing else there."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from typing import Any

import httpx
import msgspec
import pytest
import typer

from bootstrap.main import app
from cli.main import GROUPS, TOP
from tests.cli.conftest import Answer, CommandLine
from tests.platform import PASSWORD, Person, Platform

RUNNING_ON = {"up", "demo", "api", "gateway", "haproxy", "worker", "migrate"}
"""Processes, whose stdout is their log."""

CALLS = """
    init {folder} --name told
    login --email teller@example.com --password-stdin
    whoami
    status
    open
    open {app}
    images
    portal publish {app} --fetch /openapi.json
    portal show {app}
    portal visibility {app} team
    portal document {app}
    portal document {app} --as yaml
    portal document {app} --as postman
    portal changelog {app}
    portal withdraw {app} --yes
    deployments list
    deployments show {app}
    deployments status {app}
    deployments revisions {app}
    deployments metrics {app}
    env list {app}
    env set {app} TOLD=again --no-wait
    env unset {app} TOLD --no-wait
    deployments scale {app} 2 --no-wait
    deployments restart {app} --no-wait
    deployments rollback {app} 1 --no-wait
    logs {app}
    usage
    estimate
    estimate {app} --replicas 4 --requests 1000000
    estimate --new --cpu 500m
    analytics overview
    analytics requests
    history {app}
    audit list
    audit list --export
    events --count 1 --since 0
    keys list
    keys create told
    keys show told
    keys update told --description more --limit 7 --expires never --network any
    keys rotate told
    keys revoke told --yes
    domains add {app} told.example.com
    domains list {app}
    domains show {app} told.example.com
    domains verify {app} told.example.com --no-wait
    certificates show {app} told.example.com
    certificates bring {app} told.example.com {folder}/certificate.pem {folder}/key.pem
    certificates remove {app} told.example.com --yes
    domains move {app} told.example.com {app}
    domains remove {app} told.example.com --yes
    teams list
    teams create Tellers
    teams rename Tellers Told
    teams quota Told
    teams members Told
    teams role Told me owner
    teams invite Told friend@example.com
    invitations list Told
    deployments transfer {app} Told --yes --no-wait
    deployments stop {app} --no-wait --yes
    deployments start {app} --no-wait
    deployments delete {app} --yes
    deploy --name told-again --image tallyport/echo --no-wait
    deployments delete told-again --yes
    sessions list
    sessions end {session} --yes
    sessions end --others --yes
    alerts list
    alerts rules
    alerts set error_rate --threshold 10
    alerts mail
    alerts mail --off
    webhooks types
    webhooks create https://hooks.example.com/told --event key.* --description told
    webhooks list
    webhooks show told
    webhooks update told --description tells
    webhooks rotate-secret tells
    webhooks test tells --no-wait
    webhooks deliveries tells
    webhooks delivery {message}
    webhooks retry {message}
    webhooks replay tells --since 1h
    webhooks delete tells --yes
    check-settings
    dead-letters list
"""
MORE = """
    invitations revoke Told {invitation} --yes
    invitations accept {token}
    teams remove Askers me --yes
    teams create Empty
    teams delete Empty --yes
    logout
"""
"""With what was said before."""
REFUSED_HERE = ("certificates bring", "certificates remove")
"""What they need is not at hand: a domain that is active."""
WITHOUT: Mapping[str, str] = {
    "one's account is made and looked after in the browser, where its second factor is": """
        POST /v1/auth/register
        POST /v1/auth/verify-email
        POST /v1/auth/verify-email/resend
        POST /v1/auth/forgot-password
        POST /v1/auth/reset-password
        PUT /v1/user/profile
        PUT /v1/user/password
        GET /v1/user/2fa
        POST /v1/user/2fa
        DELETE /v1/user/2fa
        POST /v1/user/2fa/confirm
        POST /v1/user/2fa/recovery-codes
        DELETE /v1/user
        GET /v1/user/export
        POST /v1/user/passkeys/options
        POST /v1/user/passkeys
        GET /v1/user/passkeys
        DELETE /v1/user/passkeys/{passkey_id}
        POST /v1/auth/passkeys/options
        POST /v1/auth/passkeys
        POST /v1/auth/device/approve
        POST /v1/auth/device/deny
        GET /v1/invitations/{token}
        POST /v1/setup
        DELETE /v1/impersonation
    """,
    "commands ask for it where a session is old, or begun with --device": """
        POST /v1/auth/refresh
        POST /v1/auth/step-up
        POST /v1/auth/device
        POST /v1/auth/device/token
    """,
    "it is what a page begins with": """
        GET /v1/portals/{portal}
    """,
    "another route tells or does the same, and a command asks that one": """
        POST /v1/api-keys/{key_id}/regenerate
        GET /v1/deployments/{deployment_id}/estimate
        POST /v1/events/ticket
    """,
    "`deploy FOLDER` asks for it, in test_commands.py": """
        POST /v1/sources
    """,
    "programs ask for it": """
        POST /token
        POST /v1/leaks
        POST /v1/leaks/github
        POST /v1/leaks/google
        GET /health/live
        GET /metrics
    """,
}
"""Why there is no command for it. Admins have pages; operators have commands of their own."""


def having_json() -> Iterator[str]:
    """Yield every command that takes `--json`."""
    root: Any = typer.main.get_command(app)

    def walk(group: Any, path: tuple[str, ...]) -> Iterator[str]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, (*path, name))
            elif any("--json" in each.opts for each in command.params):
                yield " ".join((*path, name))

    return walk(root, ())


def test_every_command_has_it() -> None:
    every = {name for name, _ in TOP} | {
        f"{group} {name}" for group, _, commands in GROUPS for name, _ in commands
    }
    assert set(having_json()) >= every
    operators = {"check-settings", "dead-letters list"}
    assert set(having_json()) == every | operators
    root: Any = typer.main.get_command(app)
    alone = {name for name, each in root.commands.items() if not hasattr(each, "commands")}
    assert alone - every - operators == RUNNING_ON | {"firewall", "replay", "backup", "restore"}


def test_every_command_is_called_here() -> None:
    called = [*lines_of(CALLS), *lines_of(MORE)]
    for name in having_json():
        assert any(f"{each} ".startswith(f"{name} ") for each in called), f"CALLS lacks {name}"


@dataclass
class Told:
    """Every command once with `--json`: what it said, and what the API was asked for."""

    line: CommandLine
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: set[tuple[str, str]] = field(default_factory=set)

    def tell(self, command: str) -> dict[str, Any]:
        """Run a command; return what it said first."""
        stdin = f"{PASSWORD}\n" if "password-stdin" in command else ""
        with pytest.MonkeyPatch.context() as patch:
            send = httpx.Client.send

            def overheard(client: httpx.Client, request: httpx.Request, **more: Any) -> Any:
                self.asked.add((request.method, request.url.path))
                return send(client, request, **more)

            patch.setattr(httpx.Client, "send", overheard)
            answer = self.line.run(*command.split(), "--json", stdin=stdin)
        self.answers[command] = answer
        return msgspec.json.decode(answer.out.splitlines()[0]) if answer.code == 0 else {}


@pytest.fixture(scope="module")
def told(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Told:
    person = Person(platform, "teller")
    person.deploy("telling")
    person.close()
    home = tmp_path_factory.mktemp("told")
    for name in ("certificate.pem", "key.pem"):
        (home / name).write_text("not one")
    told = Told(CommandLine(platform, home))
    told.line.environment["TALLYPORT_HOME"] = str(platform.home)
    values = {"app": "telling", "folder": str(home)}
    for call in lines_of(CALLS):
        said = told.tell(call.format(**values))
        if call.startswith("teams invite"):
            values["invitation"] = said["id"]
        elif call == "sessions list":
            values["session"] = next(each["id"] for each in said["sessions"] if not each["current"])
        elif call.startswith("webhooks test"):
            values["message"] = said["deliveryId"]
            platform.wait_until(lambda: is_sent(told, values["message"]), 60, "it is not sent")
    values["token"] = token_in_mail(platform)
    for call in lines_of(MORE):
        told.tell(call.format(**values))
    return told


def is_sent(told: Told, message: str) -> bool:
    return told.line.run("webhooks", "delivery", message).code == 0


def test_stdout_is_json_and_nothing_else(told: Told) -> None:
    for command, answer in told.answers.items():
        said = [msgspec.json.decode(each) for each in answer.out.splitlines()]
        if any(command.startswith(each) for each in REFUSED_HERE):
            assert (answer.code, said) == (5, []), (command, answer)
            continue
        assert answer.code == 0, (command, answer)
        assert said if "--export" in command else len(said) == 1, (command, answer)


def test_every_route_that_people_need_has_a_command(told: Told, platform: Platform) -> None:
    document = httpx.get(f"{platform.api_url}/openapi.json").json()
    routes = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    without = {tuple(each.split()) for routes in WITHOUT.values() for each in lines_of(routes)}
    admins = {(method, path) for method, path in routes if path.startswith("/v1/admin/")}
    assert without <= routes, "gone from the API"
    # Of two routes that a path may mean, the one with fewer names left open is meant.
    patterns = sorted(routes, key=lambda route: route[1].count("{"))
    used = {
        next(
            (method, path)
            for method, path in patterns
            if method == asked and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), where)
        )
        for asked, where in told.asked
    }
    assert not used & (without | admins), "has a command: take it out of the list"
    assert routes - used - without - admins == set(), "make a command, or say why there is none"


def lines_of(calls: str) -> list[str]:
    return [line.strip() for line in calls.strip().splitlines()]


def token_in_mail(platform: Platform) -> str:
    """Have the person asked to join somebody else's team; return what the mail's link ends with."""
    asker = Person(platform, "asker")
    team = asker.post("/teams", name="Askers")["id"]
    asker.post(f"/teams/{team}/invitations", email="teller@example.com", role="viewer")
    asker.close()
    found: list[str] = []

    def came() -> bool:
        for mail in (platform.home / "mail").glob("*.eml"):
            text = message_from_bytes(mail.read_bytes(), policy=default).get_body(("plain",))
            if text is not None and "Askers" in text.get_content():
                found.extend(re.findall(r"/invitations/(\S+)", text.get_content()))
        return bool(found)

    platform.wait_until(came, 60, "the invitation did not come")
    return found[0]


@pytest.mark.parametrize("arguments", ["deployments show nothing-here", "keys show dpl-x"])
def test_a_failure_leaves_stdout_empty(tallyport: CommandLine, arguments: str) -> None:
    answer = tallyport.run(*arguments.split(), "--json")
    assert answer.code == 4
    assert answer.out == ""
    assert answer.err
