"""Single variables of a deployment: what is not named stays."""

from typing import Annotated

import typer

from cli import names
from cli.connection import connect
from cli.failures import ExitCode, Failed
from cli.following import until_live
from cli.options import Deployment, EnvFile, Json, NoWait, Seconds
from cli.terminal import put_json, say, table
from cli.variables import variables_of

Variables = Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="Variables.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of variables.")]


def list_variables(deployment: Deployment, *, json: Json = False) -> None:
    """List the names of a deployment's variables. Values are never shown."""
    with connect() as api:
        found = api.get(f"/deployments/{names.deployment_id(api, deployment)}")["envVars"]
    if json:
        put_json(found)
        return
    rows = [{"name": name} for name in sorted(found)]
    table(rows, ("name", lambda row: row["name"]), none="It has no variables.")


def set_variables(
    deployment: Deployment,
    variables: Variables = [],  # noqa: B006 - typer takes nothing else for a list
    *,
    env_file: EnvFile = None,
    no_wait: NoWait = False,
    timeout: Seconds = 300,
    json: Json = False,
) -> None:
    """Set variables of a deployment; all others stay as they are."""
    wanted = variables_of(variables, env_file)
    if not wanted:
        raise Failed("Name a variable, or a file of them.", code=ExitCode.USAGE)
    _change(deployment, dict(wanted), seconds=None if no_wait else timeout, json=json)


def unset(
    deployment: Deployment,
    variables: Names,
    *,
    no_wait: NoWait = False,
    timeout: Seconds = 300,
    json: Json = False,
) -> None:
    """Take variables out of a deployment's environment; all others stay as they are."""
    wanted = dict.fromkeys(variables)
    _change(deployment, wanted, seconds=None if no_wait else timeout, json=json)


def _change(
    deployment: str, changes: dict[str, str | None], *, seconds: int | None, json: bool
) -> None:
    with connect() as api:
        deployment_id = names.deployment_id(api, deployment)
        answer = api.put(f"/deployments/{deployment_id}", {"envVarChanges": changes})
        if answer["status"] == "updating" and seconds is not None:
            until_live(api, deployment_id, answer["revision"], seconds=seconds)
    if json:
        put_json(answer)
    else:
        say(f"{deployment} has revision {answer['revision']}.")
