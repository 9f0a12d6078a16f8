"""The portal of a deployment: its OpenAPI document, and who reads there how it is called."""

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import names
from cli.connection import connect
from cli.failures import ExitCode, Failed
from cli.options import Deployment, Json, NoWait, Seconds, Yes
from cli.terminal import ago, confirm, facts, field, moment, put, put_json, say, table, working

if TYPE_CHECKING:
    from cli.client import Client

JSON_TYPE, YAML_TYPE = "application/json", "application/yaml"
POLL_SECONDS = 0.5


class Visibility(StrEnum):
    """Who sees a portal."""

    OFF = "off"
    TEAM = "team"
    PUBLIC = "public"


class Form(StrEnum):
    """As what a document is written."""

    JSON = "json"
    YAML = "yaml"
    POSTMAN = "postman"


def show(deployment: Deployment, *, json: Json = False) -> None:
    """Show who sees the portal, where it is, and which document it shows."""
    with connect() as api:
        found = api.get(f"{_path(api, deployment)}/portal")
    if json:
        put_json(found)
        return
    document = found["document"] or {}
    facts(
        ("Seen by", _seen_by(found["visibility"])),
        ("URL", found["url"]),
        ("Document", document.get("title")),
        ("Version", document.get("version")),
        ("Operations", document.get("operations")),
        ("Published", ago(document["publishedAt"]) if document else None),
        ("Fetched from", found["fetchFrom"]),
        ("Fetching failed", found["fetchFailure"]),
    )
    if not document and not found["fetchFrom"]:
        say(f"It has no document. `tallyport portal publish {deployment} FILE` publishes one.")


def publish(
    deployment: Deployment,
    file: Annotated[
        Path | None, typer.Argument(help="An OpenAPI document, JSON or YAML; - for stdin.")
    ] = None,
    *,
    fetch: Annotated[
        str | None,
        typer.Option("--fetch", help="A path where the deployment itself has it: /openapi.json."),
    ] = None,
    no_wait: NoWait = False,
    timeout: Seconds = 60,
    json: Json = False,
) -> None:
    """Publish an OpenAPI document, or have it fetched from each revision that goes live."""
    if (file is None) == (fetch is None):
        raise Failed("Name a file, or a path with --fetch.", code=ExitCode.USAGE)
    with connect() as api:
        path = _path(api, deployment)
        if file is not None:
            document = _read(file)
            kind = JSON_TYPE if document.lstrip()[:1] in {b"{", b"["} else YAML_TYPE
            answer = api.send(f"{path}/openapi", document, kind=kind)
        else:
            answer = api.put(f"{path}/openapi", {"fetchFrom": fetch})
            if not no_wait:
                _fetched(api, f"{path}/portal", seconds=timeout)
    if json:
        put_json(answer)
    elif fetch is not None and no_wait:
        say(f"{answer['message']}. `tallyport portal show {deployment}` says what came of it.")
    else:
        say(f"Published. `tallyport portal visibility {deployment} public` shows it to everybody.")


def visibility(
    deployment: Deployment,
    who: Annotated[Visibility, typer.Argument(help="Nobody (off), the team, or everybody.")],
    *,
    json: Json = False,
) -> None:
    """Let nobody, the team or everybody see the portal; print where it is."""
    with connect() as api:
        answer = api.put(f"{_path(api, deployment)}/portal", {"visibility": who.value})
    if json:
        put_json(answer)
        return
    say(f"{answer['message']}.")
    if who is not Visibility.OFF:
        put(answer["url"])


def document(
    deployment: Deployment,
    *,
    form: Annotated[Form, typer.Option("--as", help="As what it is written.")] = Form.JSON,
    json: Json = False,
) -> None:
    """Write the document to stdout: as JSON, as YAML, or as a Postman collection."""
    with connect() as api:
        path = f"{_path(api, deployment)}/openapi"
        if form is Form.YAML and not json:
            put(api.text(path, format="yaml").rstrip("\n"))
        else:
            put_json(api.get(f"{path}/postman" if form is Form.POSTMAN else path))


def changelog(deployment: Deployment, *, json: Json = False) -> None:
    """List what each publication of the document changed, newest first."""
    with connect() as api:
        found = api.get(f"{_path(api, deployment)}/openapi/changelog")
    if json:
        put_json(found)
        return
    table(
        found["changes"],
        ("version", field("version")),
        ("published", moment("publishedAt")),
        ("revision", field("revision")),
        ("added", field("added")),
        ("removed", field("removed")),
        ("changed", field("changed")),
        ("deprecated", field("deprecated")),
        none="Nothing was published so far.",
    )


def withdraw(deployment: Deployment, *, yes: Yes = False, json: Json = False) -> None:
    """Withdraw the document; none is fetched any more."""
    with connect() as api:
        path = _path(api, deployment)
        confirm(f"Withdraw the document of {deployment}? Its portal shows none then.", yes=yes)
        answer = api.delete(f"{path}/openapi")
    if json:
        put_json(answer)
    else:
        say(f"{answer['message']}.")


def _fetched(api: "Client", path: str, *, seconds: int) -> None:
    """Return once there is a document; raises `Failed` with why there is none."""
    deadline = time.monotonic() + seconds
    with working("Asking the deployment for its document ..."):
        while True:
            found: dict[str, Any] = api.get(path)
            if found["fetchFailure"]:
                raise Failed(f"It was not fetched: {found['fetchFailure']}")
            if found["document"]:
                return
            if time.monotonic() > deadline:
                raise Failed(f"It was not there within {seconds} s; it is still wanted.")
            time.sleep(POLL_SECONDS)


def _read(file: Path) -> bytes:
    return sys.stdin.read().encode() if str(file) == "-" else file.read_bytes()


def _seen_by(who: str) -> str:
    return {"off": "nobody", "team": "the team", "public": "everybody"}[who]


def _path(api: "Client", deployment: str) -> str:
    return f"/deployments/{names.deployment_id(api, deployment)}"
