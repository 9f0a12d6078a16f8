"""`tallyport.toml`: how the code of a folder is deployed, kept beside it."""

import re
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from cli.failures import ExitCode, Failed

FILE = "tallyport.toml"
PORT_DEFAULT = 8080
_SIGNS = {
    "go": {"go.mod"},
    "node": {"package.json", "server.js", "index.js"},
    "python": {"requirements.txt", "main.py", "app.py"},
}
_PORT = re.compile(rb"^\s*EXPOSE\s+(\d{1,5})\b", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Project:
    """What the file says; what it does not say is the API's to decide."""

    name: str | None = None
    image: str | None = None
    runtime: str | None = None
    port: int | None = None
    replicas: int | None = None
    public: bool | None = None
    team: str | None = None
    health: str | None = None
    health_kind: str | None = None
    health_command: str | None = None
    cpu: str | None = None
    memory: str | None = None
    storage: str | None = None
    pids: int | None = None
    env: dict[str, str] | None = None

    def over(self, base: "Project") -> "Project":
        """Return this where it says something, else the base; of variables, both."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.env is not None:
            said["env"] = {**(base.env or {}), **self.env}
        return replace(base, **{name: value for name, value in said.items() if value is not None})


def read_project(folder: Path) -> Project:
    """Return what the folder's file says; raises `Failed` for what it may not say."""
    file = folder / FILE
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Project()
    except (OSError, ValueError) as error:
        raise _wrong(file, str(error)) from error
    known = {each.name for each in fields(Project)}
    if unknown := sorted(said.keys() - known):
        raise _wrong(
            file, f"{', '.join(unknown)}: no such name; there are {', '.join(sorted(known))}"
        )
    _check(file, said)
    return Project(**said)


def written(*, name: str, runtime: str | None, port: int) -> str:
    """Return the file for a folder that has none."""
    lines = [
        "# How `tallyport deploy` deploys this folder; options on the command line go before it.",
        f'name = "{name}"',
        f"port = {port}" + "  # where the program listens; it is told by the variable PORT too",
    ]
    if runtime is not None:
        lines.append(f'runtime = "{runtime}"')
    lines += [
        "# replicas = 2",
        "# public = true  # callable without a key",
        '# health = "/health"',
        "# [env]",
        '# GREETING = "hello"',
    ]
    return "\n".join(lines) + "\n"


def guessed_runtime(names: set[str]) -> str | None:
    """Return what runs a folder with these files, None when it is not clear."""
    found = [runtime for runtime, signs in _SIGNS.items() if signs & names]
    return found[0] if len(found) == 1 else None


def guessed_port(folder: Path) -> int:
    """Return the port that the folder's Dockerfile names, else the usual one."""
    try:
        found = _PORT.search((folder / "Dockerfile").read_bytes())
    except OSError:
        return PORT_DEFAULT
    return int(found[1]) if found is not None and 0 < int(found[1]) < 2**16 else PORT_DEFAULT


def guessed_name(folder: Path) -> str | None:
    """Return the folder's name as an app may be called, None when nothing is left of it."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).lstrip("-0123456789")
    name = name[:40].rstrip("-")
    return name if len(name) >= 3 else None  # noqa: PLR2004 - as the API has it


def _check(file: Path, said: dict[str, Any]) -> None:
    kinds: dict[str, type] = {
        "port": int,
        "replicas": int,
        "pids": int,
        "public": bool,
        "env": dict,
    }
    for name, value in said.items():
        kind = kinds.get(name, str)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise _wrong(file, f"{name} is not {_KIND_NAMES[kind]}")
    env = said.get("env", {})
    for name, value in env.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _wrong(file, f"env.{name} is not a text")
        env[name] = str(value)


_KIND_NAMES = {int: "a number", str: "a text", bool: "true or false", dict: "a table"}


def _wrong(file: Path, why: str) -> Failed:
    return Failed(f"{file}: {why}.", code=ExitCode.USAGE)
