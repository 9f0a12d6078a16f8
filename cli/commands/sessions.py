"""Where you are signed in, and ending it."""

from typing import Annotated

import typer

from cli.connection import connect
from cli.failures import ExitCode, Failed
from cli.options import Everything, Json, Limit, Yes
from cli.terminal import confirm, field, moment, put_json, say, table


def list_sessions(
    *, limit: Limit = 100, everything: Everything = False, json: Json = False
) -> None:
    """List where you are signed in."""
    with connect() as api:
        page = api.listed("/user/sessions", "sessions", limit=limit, everything=everything)
    if json:
        put_json(page.answer)
        return
    table(
        page.rows,
        ("id", field("id")),
        ("from", field("address")),
        ("with", field("userAgent")),
        ("since", moment("createdAt")),
        ("used", moment("lastUsedAt")),
        ("this one", field("current")),
        none="You are signed in nowhere.",
    )


def end(
    session: Annotated[
        str | None, typer.Argument(metavar="SESSION", help="Its id in the list.")
    ] = None,
    *,
    others: Annotated[bool, typer.Option("--others", help="All but this one.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Sign out elsewhere: in one session, or in all others."""
    if (session is None) != others:
        raise Failed("Name a session, or say --others.", code=ExitCode.USAGE)
    with connect() as api:
        confirm("Sign out everywhere else?" if others else f"End {session}?", yes=yes)
        answer = api.delete("/user/sessions" if others else f"/user/sessions/{session}")
    if json:
        put_json(answer)
    else:
        say(f"{answer['message']}.")
