"""Alerts, open and past, and what counts as trouble."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from cli import names
from cli.connection import connect
from cli.failures import ExitCode, Failed
from cli.options import Everything, Json, Limit, Team
from cli.terminal import facts, field, moment, put_json, say, table


class State(StrEnum):
    """Which alerts."""

    OPEN = "open"
    RESOLVED = "resolved"


def list_alerts(
    *,
    state: Annotated[State | None, typer.Option(help="Only open ones, or only past ones.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only those of this rule.")] = None,
    team: Team = None,
    limit: Limit = 50,
    everything: Everything = False,
    json: Json = False,
) -> None:
    """List alerts, newest first."""
    with connect() as api:
        page = api.listed(
            "/alerts",
            "alerts",
            limit=limit,
            everything=everything,
            state=state.value if state is not None else None,
            rule=rule,
            teamId=names.team_id(api, team),
        )
    if json:
        put_json(page.answer)
        return
    table(
        page.rows,
        ("since", moment("raisedAt")),
        ("state", field("state")),
        ("severity", field("severity")),
        ("what", field("title")),
        ("detail", field("detail")),
        ("subject", field("subject")),
        none="Nothing is wrong." if state is State.OPEN else "There are no alerts.",
    )


def rules(*, team: Team = None, json: Json = False) -> None:
    """List what counts as trouble, and who is told."""
    with connect() as api:
        found = api.get("/alerts/rules", teamId=names.team_id(api, team))
    if json:
        put_json(found)
        return
    table(
        found["rules"],
        ("rule", field("rule")),
        ("on", field("enabled")),
        ("threshold", _threshold),
        ("mail", field("mail")),
        ("meaning", field("meaning")),
        none="There are no rules.",
    )


def set_rule(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Its name in the list of rules.")],
    *,
    threshold: Annotated[int | None, typer.Option(min=1, help="From where on it counts.")] = None,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Turn it on or off.")] = None,
    mail: Annotated[bool | None, typer.Option("--mail/--no-mail", help="Tell by mail.")] = None,
    team: Team = None,
    json: Json = False,
) -> None:
    """Set what counts as trouble. What is not named stays."""
    wanted = {"threshold": threshold, "enabled": on, "mail": mail}
    body: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    if not body:
        raise Failed("Name what is to be different; see --help.", code=ExitCode.USAGE)
    with connect() as api:
        if (team_id := names.team_id(api, team)) is not None:
            body["teamId"] = team_id
        found = api.patch(f"/alerts/rules/{rule}", body)
    if json:
        put_json(found)
        return
    say(f"The rule {found['rule']} is set.")
    facts(("On", found["enabled"]), ("Threshold", _threshold(found)), ("Mail", found["mail"]))


def mail(
    *,
    on: Annotated[
        bool | None, typer.Option("--on/--off", help="Let them come to you, or not.")
    ] = None,
    team: Team = None,
    json: Json = False,
) -> None:
    """Show whether mails about a team's alerts come to you, or turn them on or off."""
    with connect() as api:
        team_id = names.team_id(api, team)
        if on is None:
            found = api.get("/alerts/preferences", teamId=team_id)
        else:
            body = {"mail": on} | ({"teamId": team_id} if team_id is not None else {})
            found = api.put("/alerts/preferences", body)
    if json:
        put_json(found)
        return
    facts(("Team", found["teamId"]), ("Mails to you", found["mail"]))


def _threshold(rule: Any) -> str:  # noqa: ANN401  a row as the API has it
    return "-" if rule["threshold"] is None else f"{rule['threshold']} {rule['unit']}"
