"""From a folder, or an image, to something that can be called."""

import shlex
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import names
from cli.connection import connect
from cli.failures import ExitCode, Failed
from cli.following import until_live
from cli.options import EnvFile, Json, NoWait, Seconds, Team, Yes
from cli.project import (
    FILE,
    Project,
    guessed_name,
    guessed_port,
    guessed_runtime,
    read_project,
    written,
)
from cli.terminal import bytes_text, confirm, put, put_json, say, uploading
from cli.variables import variables_of

if TYPE_CHECKING:
    from cli.client import Client

Runtime = Annotated[
    str | None, typer.Option(help="What runs the code: python, node or go; found out unless given.")
]
Port = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="Where the program listens.")
]
Name = Annotated[str | None, typer.Option("--name", help="What it is called, also in its URL.")]
Image = Annotated[
    str | None, typer.Option(help="An image instead of code; `tallyport images` lists some.")
]
Env = Annotated[
    list[str], typer.Option("--env", "-e", metavar="NAME=VALUE", help="A variable; repeatable.")
]
Replicas = Annotated[int | None, typer.Option(min=0, help="How many run.")]
Public = Annotated[
    bool | None, typer.Option("--public/--private", help="Callable without a key, or not.")
]
Health = Annotated[
    str | None, typer.Option(help="A path that answers 200 when it can take requests.")
]
HealthKind = Annotated[
    str | None,
    typer.Option("--health-kind", help="http, tcp, command, or image: what its HEALTHCHECK says."),
]
HealthCommand = Annotated[
    str | None, typer.Option("--health-command", help="A program in it that ends with 0 if so.")
]
Cpu = Annotated[str | None, typer.Option(help="What a replica may use: 250m is a quarter.")]
Memory = Annotated[str | None, typer.Option(help="What a replica may use: 256Mi.")]
Storage = Annotated[
    str | None, typer.Option(help="Room for files, which lie in that memory: 64Mi.")
]
Pids = Annotated[
    int | None, typer.Option(help="How many processes and threads a replica may have: 256.")
]


def init(
    folder: Annotated[Path, typer.Argument(help="The folder of the code.")] = Path(),
    *,
    name: Name = None,
    port: Port = None,
    runtime: Runtime = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Write a tallyport.toml that says how a folder is deployed."""
    from cli.packing import names_in  # noqa: PLC0415 - only what this command needs

    _must_be_folder(folder)
    file = folder / FILE
    if file.exists():
        confirm(f"{file} is there already. Write it anew?", yes=yes)
    chosen = name or guessed_name(folder)
    if chosen is None:
        raise Failed("No name can be made of the folder's: say --name.", code=ExitCode.USAGE)
    found = runtime or guessed_runtime(names_in(folder))
    listens = port or guessed_port(folder)
    file.write_text(written(name=chosen, runtime=found, port=listens), encoding="utf-8")
    if json:
        put_json({"file": str(file), "name": chosen, "runtime": found, "port": listens})
    else:
        put(str(file))
    if found is None:
        say("What runs the code is not clear from its files: add a line runtime, or a Procfile.")
    say("Next: `tallyport deploy`.")


def deploy(
    folder: Annotated[
        Path | None, typer.Argument(help="The folder of the code; this one unless --image.")
    ] = None,
    *,
    name: Name = None,
    image: Image = None,
    port: Port = None,
    env: Env = [],  # noqa: B006 - typer takes nothing else for a list
    env_file: EnvFile = None,
    replicas: Replicas = None,
    public: Public = None,
    runtime: Runtime = None,
    health: Health = None,
    health_kind: HealthKind = None,
    health_command: HealthCommand = None,
    cpu: Cpu = None,
    memory: Memory = None,
    storage: Storage = None,
    pids: Pids = None,
    team: Team = None,
    no_wait: NoWait = False,
    timeout: Seconds = 900,
    json: Json = False,
) -> None:
    """Deploy a folder or an image, follow it until it is live, and print its URL.

    A deployment of this name that is there already gets a new revision, without an interruption;
    what is not said, variables too, stays as it is.
    """
    said = Project(
        name=name,
        image=image,
        port=port,
        env=variables_of(env, env_file),
        replicas=replicas,
        public=public,
        runtime=runtime,
        health=health,
        health_kind=health_kind,
        health_command=health_command,
        cpu=cpu,
        memory=memory,
        storage=storage,
        pids=pids,
        team=team,
    )
    wanted = _wanted(folder, said)
    began = time.monotonic()
    with connect() as api:
        asked = _ask(api, folder or Path(), wanted)
        if no_wait:
            _shown(asked, json=json)
            return
        live = until_live(api, asked["id"], asked.get("revision", 1), seconds=timeout)
    say(f"{live['appName']} is live, after {time.monotonic() - began:.0f} s.")
    _shown(live, json=json)
    if live["visibility"] == "private":
        say("It asks for a key: `tallyport keys create NAME`, then")
        say(f"  curl -H 'X-API-Key: ...' {live['url']}")


def images(*, json: Json = False) -> None:
    """List the images that are known by name."""
    from cli.terminal import field, table  # noqa: PLC0415 - only what this command needs

    with connect() as api:
        answer = api.get("/images")
    if json:
        put_json(answer)
        return
    columns = [(each, field(each)) for each in ("image", "port", "description")]
    table(answer["images"], *columns, none="There are none.")


def _wanted(folder: Path | None, said: Project) -> Project:
    """Return what shall be: what was said, over what stands in the folder's file."""
    here = folder or Path()
    _must_be_folder(here)
    if folder is not None and said.image is not None:
        raise Failed("Say a folder or --image, not both.", code=ExitCode.USAGE)
    wanted = said.over(read_project(here))
    if folder is not None:
        wanted = replace(wanted, image=None)
    if wanted.name is None and wanted.image is None:
        wanted = replace(wanted, name=guessed_name(here))
    if wanted.name is None:
        raise Failed("Say with --name what it is called.", code=ExitCode.USAGE)
    return wanted


def _ask(api: "Client", folder: Path, wanted: Project) -> dict[str, Any]:
    """Have it made, or changed when there is one of this name."""
    found = names.find_deployment(api, str(wanted.name))
    team = names.team_id(api, wanted.team)
    if found is None:
        image, port = _image(api, folder, wanted, team_id=team)
        body = {"appName": wanted.name, "image": image, "port": port, "teamId": team}
        asked = api.post("/deployments", _without_none(body | _settings(wanted, {})))
        say(f"{wanted.name} is being deployed ({asked['id']}).")
        return dict(asked)
    known = api.get(f"/deployments/{found['id']}")
    image, port = _image(api, folder, wanted, team_id=known["teamId"], port=known["port"])
    settings = _settings(wanted, known)
    body = {"image": image, "port": port, "envVarChanges": settings.pop("envVars"), **settings}
    changed = api.put(f"/deployments/{found['id']}", _without_none(body))
    say(f"{wanted.name} is there already: it gets revision {changed['revision']} ({known['id']}).")
    return {"url": known["url"], **changed}


def _image(
    api: "Client", folder: Path, wanted: Project, *, team_id: str | None, port: int | None = None
) -> tuple[str, int]:
    """Return what to run and where it listens; uploads the folder unless an image is named."""
    if wanted.image is None:
        return _uploaded(api, folder, wanted, team_id=team_id), wanted.port or port or (
            guessed_port(folder)
        )
    chosen = wanted.port or port
    if chosen is None:
        known = {each["image"]: each["port"] for each in api.get("/images")["images"]}
        chosen = known.get(wanted.image.partition(":")[0])
    if chosen is None:
        raise Failed("Say with --port where the image listens.", code=ExitCode.USAGE)
    return wanted.image, int(chosen)


def _uploaded(api: "Client", folder: Path, wanted: Project, *, team_id: str | None) -> str:
    from cli.packing import packed  # noqa: PLC0415 - only what this command needs

    with packed(folder) as archive:
        say(f"Packed {bytes_text(archive.size)}, files: {archive.files}.")
        with uploading(archive.size) as sent:

            def chunks() -> Iterator[bytes]:
                for chunk in archive.chunks():
                    yield chunk
                    sent(len(chunk))

            source = api.upload("/sources", chunks, runtime=wanted.runtime, teamId=team_id)
    return str(source["image"])


def _settings(wanted: Project, known: dict[str, Any]) -> dict[str, Any]:
    """Return what the deployment shall be like, as far as it was said."""
    settings: dict[str, Any] = {"envVars": wanted.env, "replicas": wanted.replicas}
    if wanted.public is not None:
        settings["visibility"] = "public" if wanted.public else "private"
    if check := _health_check(wanted):
        settings["healthCheck"] = check
    names = ("cpu", "memory", "storage", "pids")
    if said := _without_none({name: getattr(wanted, name) for name in names}):
        settings["resources"] = {**known.get("resources", {}), **said}
    return settings


def _health_check(wanted: Project) -> dict[str, Any]:
    try:
        command = None if wanted.health_command is None else shlex.split(wanted.health_command)
    except ValueError as error:
        raise Failed(f"{wanted.health_command!r}: {error}.", code=ExitCode.USAGE) from error
    return _without_none({"type": wanted.health_kind, "path": wanted.health, "command": command})


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _shown(answer: dict[str, Any], *, json: bool) -> None:
    if json:
        put_json(answer)
    else:
        put(answer["url"])


def _must_be_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise Failed(f"{folder} is no folder.", code=ExitCode.USAGE)
