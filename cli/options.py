"""Arguments and options that many commands have."""

from pathlib import Path
from typing import Annotated

import typer

from cli.completion import deployment_names

Json = Annotated[bool, typer.Option("--json", help="Write the API's answer as JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100, help="How many rows at most.")]
Everything = Annotated[bool, typer.Option("--all", help="All rows, however many.")]
Team = Annotated[str | None, typer.Option("--team", help="Name or id of the team.")]
TeamName = Annotated[str, typer.Argument(metavar="TEAM", help="Name or id.")]
Deployment = Annotated[
    str,
    typer.Argument(metavar="DEPLOYMENT", help="Name or id.", autocompletion=deployment_names),
]
Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="The name, or its id.")]
OneDeployment = Annotated[
    str | None,
    typer.Option(
        "--deployment", help="Only this one, by name or id.", autocompletion=deployment_names
    ),
]
Key = Annotated[
    str, typer.Argument(metavar="KEY", help="Id, name, or the beginning of the secret.")
]
From = Annotated[str | None, typer.Option("--from", help="A time, or so long ago: 2h, 7d.")]
To = Annotated[str | None, typer.Option("--to", help="A time, or so long ago: 2h, 7d.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until it is so.")]
Seconds = Annotated[
    int, typer.Option("--timeout", min=1, help="For how many seconds to wait at most.")
]
EnvFile = Annotated[
    Path | None, typer.Option("--env-file", help="A file with a line NAME=VALUE for each variable.")
]
