"""What happened: the audit list, the history of one thing, and events as they come."""

import json as json_module
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import names
from cli.connection import connect
from cli.failures import ExitCode, Failed
from cli.options import Everything, From, Json, Limit, Team, To
from cli.terminal import field, put, put_json, say, table
from cli.times import moment_of

if TYPE_CHECKING:
    from cli.client import Client

RECONNECT_SECONDS = 1.0
MAY_NOT = 4400
"""From this closing code on, coming back does not help."""


def list_audit(
    *,
    actor: Annotated[str | None, typer.Option(help="Only what this person or key did.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only events of this type.")] = None,
    resource: Annotated[
        str | None, typer.Option(help="Only what happened to this one, by id or name.")
    ] = None,
    start: From = None,
    end: To = None,
    team: Team = None,
    limit: Limit = 50,
    everything: Everything = False,
    export: Annotated[
        bool, typer.Option("--export", help="All of them, one JSON object a line.")
    ] = False,
    json: Json = False,
) -> None:
    """List who did what, newest first."""
    with connect() as api:
        query = {
            "actor": actor,
            "type": kind,
            "streamId": names.resource_id(api, resource) if resource else None,
            "from": moment_of(start),
            "to": moment_of(end),
            "teamId": names.team_id(api, team),
        }
        if export:
            for event in api.each("/audit", "events", **query):
                put(json_module.dumps(event, ensure_ascii=False))
            return
        page = api.listed("/audit", "events", limit=limit, everything=everything, **query)
    if json:
        put_json(page.answer)
        return
    _table(page.rows)
    if page.total > len(page.rows):
        say(f"{len(page.rows)} of {page.total}; --all for all of them.")


def history(
    resource: Annotated[str, typer.Argument(help="An id, or the name of a deployment.")],
    *,
    json: Json = False,
) -> None:
    """Show all that happened to one thing, oldest first. What is gone still has its history."""
    with connect() as api:
        found = api.get(f"/history/{names.resource_id(api, resource)}")
    if json:
        put_json(found)
        return
    _table(found["events"])


def events(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", hidden=True)] = True,  # noqa: ARG001 - habit
    since: Annotated[
        str | None, typer.Option(help="Begin after this cursor or position of the log.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    json: Json = False,
) -> None:
    """Tell what happens, while it happens, until Ctrl-C."""
    with connect() as api:
        for number, event in enumerate(_told(api, since), start=1):
            put(json_module.dumps(event, ensure_ascii=False) if json else _text(event))
            if number == count:
                return


def _told(api: "Client", since: str | None) -> Iterator[dict[str, Any]]:
    """Yield what happens, over as many connections as it takes, each event once."""
    from websockets.exceptions import ConnectionClosed, InvalidHandshake  # noqa: PLC0415 - help
    from websockets.sync.client import connect as open_socket  # noqa: PLC0415 - and help is quick

    begun = False
    while True:
        url = f"{api.socket_url}/events" + (f"?since={since}" if since else "")
        try:
            with open_socket(url, additional_headers=api.credentials()) as socket:
                if not begun:
                    say("Listening; Ctrl-C ends it.")
                begun = True
                for text in socket:
                    event = json_module.loads(text)
                    since = event["cursor"]
                    yield event
        except ConnectionClosed as closed:
            _must_be_able_to_come_back(closed.rcvd.code if closed.rcvd else 0, closed)
        except (OSError, InvalidHandshake) as error:
            if not begun:
                raise Failed(
                    f"Nothing answers at {api.url} ({error}).", code=ExitCode.UNAVAILABLE
                ) from error
        time.sleep(RECONNECT_SECONDS)


def _must_be_able_to_come_back(code: int, closed: Exception) -> None:
    if code >= MAY_NOT:
        raise Failed(f"You may not listen: {closed}", code=ExitCode.NOT_SIGNED_IN)


def _text(event: dict[str, Any]) -> str:
    about = event.get("deploymentId") or event.get("keyId") or ""
    said = event.get("data") or {}
    more = " ".join(f"{name}={value}" for name, value in said.items() if value is not None)
    return f"{event['timestamp'][:19]}  {event['type']:<26}  {about}  {more}".rstrip()


def _table(rows: list[dict[str, Any]]) -> None:
    table(
        rows,
        ("when", lambda row: row["recordedAt"][:19].replace("T", " ")),
        ("who", field("actor")),
        ("from", field("address")),
        ("what", field("type")),
        ("to", field("streamId")),
        ("content", lambda row: _short(row["content"])),
        none="Nothing happened that fits.",
    )


def _short(content: dict[str, Any]) -> str:
    text = ", ".join(
        f"{name}={value}" for name, value in content.items() if value not in (None, "", [], {})
    )
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004 - fits on a screen
