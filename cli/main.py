"""Which commands there are, under which names, and how they end."""

import os
import sys
from collections.abc import Callable

import typer

from cli.commands import (
    account,
    alerts,
    certificates,
    deploy,
    deployments,
    domains,
    environment,
    keys,
    logs,
    numbers,
    portal,
    record,
    sessions,
    teams,
    webhooks,
)
from cli.failures import ExitCode, Failed
from cli.grouping import Grouped
from cli.terminal import say

PROGRAM = "tallyport"
PANEL = "Your APIs"

Commands = tuple[tuple[str, Callable[..., None]], ...]

TOP: Commands = (
    ("login", account.login),
    ("logout", account.logout),
    ("whoami", account.whoami),
    ("status", account.status),
    ("open", account.open_page),
    ("init", deploy.init),
    ("deploy", deploy.deploy),
    ("logs", logs.logs),
    ("images", deploy.images),
    ("usage", numbers.usage),
    ("estimate", numbers.estimate),
    ("history", record.history),
    ("events", record.events),
)
GROUPS: tuple[tuple[str, str, Commands], ...] = (
    (
        "deployments",
        "What runs: look at it, scale it, roll it back, delete it.",
        (
            ("list", deployments.list_deployments),
            ("show", deployments.show),
            ("status", deployments.show_status),
            ("scale", deployments.scale),
            ("stop", deployments.stop),
            ("start", deployments.start),
            ("restart", deployments.restart),
            ("rollback", deployments.roll_back),
            ("transfer", deployments.transfer),
            ("revisions", deployments.revisions),
            ("metrics", deployments.metrics),
            ("delete", deployments.delete),
        ),
    ),
    (
        "env",
        "Variables of a deployment, one by one.",
        (
            ("list", environment.list_variables),
            ("set", environment.set_variables),
            ("unset", environment.unset),
        ),
    ),
    (
        "keys",
        "API keys: make, rotate and revoke them.",
        (
            ("list", keys.list_keys),
            ("create", keys.create),
            ("show", keys.show),
            ("update", keys.update),
            ("rotate", keys.rotate),
            ("revoke", keys.revoke),
        ),
    ),
    (
        "domains",
        "Names of your own under which a deployment answers.",
        (
            ("add", domains.add),
            ("list", domains.list_domains),
            ("show", domains.show),
            ("verify", domains.verify),
            ("move", domains.move),
            ("remove", domains.remove),
        ),
    ),
    (
        "certificates",
        "Certificates of these names: ordered for you, or your own.",
        (
            ("show", certificates.show),
            ("bring", certificates.bring),
            ("remove", certificates.remove),
        ),
    ),
    (
        "portal",
        "The page on which people read how a deployment is called.",
        (
            ("show", portal.show),
            ("publish", portal.publish),
            ("visibility", portal.visibility),
            ("document", portal.document),
            ("changelog", portal.changelog),
            ("withdraw", portal.withdraw),
        ),
    ),
    (
        "teams",
        "Teams and who is in them.",
        (
            ("list", teams.list_teams),
            ("create", teams.create),
            ("rename", teams.rename),
            ("quota", teams.quota),
            ("members", teams.members),
            ("invite", teams.invite),
            ("role", teams.change_role),
            ("remove", teams.remove),
            ("delete", teams.delete),
        ),
    ),
    (
        "invitations",
        "Who is asked to join a team, and joining one.",
        (
            ("list", teams.list_invitations),
            ("revoke", teams.revoke_invitation),
            ("accept", teams.accept_invitation),
        ),
    ),
    (
        "alerts",
        "Trouble with what runs, and what counts as trouble.",
        (
            ("list", alerts.list_alerts),
            ("rules", alerts.rules),
            ("set", alerts.set_rule),
            ("mail", alerts.mail),
        ),
    ),
    (
        "analytics",
        "How requests went.",
        (("overview", numbers.overview), ("requests", numbers.requests)),
    ),
    (
        "webhooks",
        "Your own servers, told of what happens.",
        (
            ("list", webhooks.list_webhooks),
            ("create", webhooks.create),
            ("show", webhooks.show),
            ("update", webhooks.update),
            ("delete", webhooks.delete),
            ("rotate-secret", webhooks.rotate_secret),
            ("deliveries", webhooks.deliveries),
            ("delivery", webhooks.delivery),
            ("retry", webhooks.retry),
            ("replay", webhooks.replay),
            ("test", webhooks.send_test),
            ("types", webhooks.event_types),
        ),
    ),
    (
        "sessions",
        "Where you are signed in.",
        (("list", sessions.list_sessions), ("end", sessions.end)),
    ),
    ("audit", "Who did what, when, and from where.", (("list", record.list_audit),)),
)


def add_to(app: typer.Typer) -> None:
    """Add people's commands to the one command line there is."""
    for name, command in TOP:
        app.command(name, rich_help_panel=PANEL)(command)
    for name, about, commands in GROUPS:
        group = typer.Typer(
            name=name, help=about, no_args_is_help=True, cls=Grouped, rich_markup_mode=None
        )
        for own_name, command in commands:
            group.command(own_name)(command)
        app.add_typer(group, rich_help_panel=PANEL)


def run(app: typer.Typer) -> None:
    """Run a command line to its end: what went wrong is said in words, with its exit code."""
    try:
        app(prog_name=PROGRAM)
    except Failed as failed:
        for line in (failed.message, *failed.more):
            say(line)
        sys.exit(failed.code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except OSError as error:
        say(f"{error.strerror}: {error.filename}" if error.filename else str(error))
        sys.exit(ExitCode.FAILED)
    finally:
        _flush()


def _flush() -> None:
    """End quietly, as other tools do, when nobody reads on: `tallyport ... | head`."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
