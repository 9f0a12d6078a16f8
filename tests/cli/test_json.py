"""`--json` on every command: what the API says, on stdout, and nothing else there."""

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from bootstrap.main import app
from cli.main import GROUPS, TOP
from tests.cli.conftest import CommandLine
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
    domains move {app} told.example.com {app}
    domains remove {app} told.example.com --yes
    teams list
    teams create Tellers
    teams rename Tellers Told
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
    webhooks test tells
    webhooks deliveries tells
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


def test_stdout_is_json_and_nothing_else(
    stranger: CommandLine, platform: Platform, tmp_path: Path
) -> None:
    person = Person(platform, "teller")
    person.deploy("telling")
    person.close()
    stranger.environment["TALLYPORT_HOME"] = str(platform.home)
    folder = tmp_path / "told"
    folder.mkdir()
    values = {"app": "telling", "folder": str(folder)}
    for line in lines_of(CALLS):
        said = said_by(stranger, line.format(**values))
        if line.startswith("teams invite"):
            values["invitation"] = said[0]["id"]
        elif line.startswith("webhooks test"):
            values["message"] = said[0]["deliveryId"]
    values["token"] = token_in_mail(platform)
    for line in lines_of(MORE):
        said_by(stranger, line.format(**values))


def lines_of(calls: str) -> list[str]:
    return [line.strip() for line in calls.strip().splitlines()]


def said_by(line: CommandLine, command: str) -> list[Any]:
    stdin = f"{PASSWORD}\n" if "password-stdin" in command else ""
    answer = line.run(*command.split(), "--json", stdin=stdin)
    assert answer.code == 0, (command, answer)
    said = [msgspec.json.decode(each) for each in answer.out.splitlines()]
    assert said if "--export" in command else len(said) == 1, (command, answer)
    return said


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
