"""How code is recognised and started: by the names of its files, as its language has them.

A `Procfile` with a line `web: COMMAND` says it all. Else: Python starts `main.py`, or `app.py`,
which uvicorn runs as `app:app` where `requirements.txt` names uvicorn; Node.js starts what
`package.json` says, else `server.js` or `index.js`; Go builds the package in the top folder.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from domain.kernel.errors import RuleViolated
from infrastructure.sources import Runtime

READ = ("Procfile", "requirements.txt", "package.json", "go.mod")
"""The files that are looked into, all in the top folder."""
READ_BYTES_MAX = 256 * 1024
GO_PROGRAM = "./.tallyport-program"
_WEB = re.compile(r"^web:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_REQUIRED = re.compile(r"^[ \t]*[^#\s]", re.MULTILINE)
_UVICORN = re.compile(r"^[ \t]*uvicorn\b", re.MULTILINE | re.IGNORECASE)
_GO_REQUIRES = re.compile(r"^require\b", re.MULTILINE)
_PLAIN_START = re.compile(r"node (?!-)([A-Za-z0-9_./-]+)")
_SERVE = 'exec {python} -m uvicorn app:app --host "${{HOST:-0.0.0.0}}" --port "$PORT"'


class NotStartable(RuleViolated):
    """It is not clear how this code is started."""


class StartPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What runs the code, and how."""

    runtime: Runtime
    argv: tuple[str, ...]
    """Started in the code's folder; the first word is the runtime's own name for its program."""
    fetches: bool
    """Whether something has to be fetched before it can start."""


def start_plan(
    names: Iterable[str], read: Mapping[str, bytes], *, runtime: Runtime | None = None
) -> StartPlan:
    """Return how to start code with these files; raises `NotStartable`.

    `read` has the content of those `READ` files that are there. Without a runtime it is found out.
    """
    top = {name for name in names if "/" not in name}
    texts = {name: content.decode(errors="replace") for name, content in read.items()}
    found = runtime or _runtime_of(top)
    web = _WEB.search(texts.get("Procfile", ""))
    fetches = _fetches(found, texts)
    if found == "go" and "go.mod" not in top:
        raise NotStartable("Go code needs a go.mod in its top folder.")
    if web is not None:
        return StartPlan(runtime=found, argv=("/bin/sh", "-c", f"exec {web[1]}"), fetches=fetches)
    return StartPlan(runtime=found, argv=_argv(found, top, texts), fetches=fetches)


def _runtime_of(top: set[str]) -> Runtime:
    signs: dict[Runtime, set[str]] = {
        "go": {"go.mod"},
        "node": {"package.json", "server.js", "index.js"},
        "python": {"requirements.txt", "main.py", "app.py"},
    }
    found = [runtime for runtime, names in signs.items() if names & top]
    if len(found) != 1:
        raise NotStartable("Say with `runtime` whether this is python, node or go.")
    return found[0]


def _argv(runtime: Runtime, top: set[str], texts: Mapping[str, str]) -> tuple[str, ...]:
    match runtime:
        case "python":
            return _python_argv(top, texts)
        case "node":
            return _node_argv(top, texts)
        case "go":
            return (GO_PROGRAM,)


def _python_argv(top: set[str], texts: Mapping[str, str]) -> tuple[str, ...]:
    if "main.py" in top:
        return ("python3", "-u", "main.py")
    if "app.py" not in top:
        raise NotStartable("Python code needs main.py, app.py or a Procfile in its top folder.")
    if _UVICORN.search(texts.get("requirements.txt", "")):
        return ("/bin/sh", "-c", _SERVE.format(python="python3"))
    return ("python3", "-u", "app.py")


def _node_argv(top: set[str], texts: Mapping[str, str]) -> tuple[str, ...]:
    start = _package(texts).get("scripts", {})
    script = start.get("start") if isinstance(start, dict) else None
    if isinstance(script, str):
        plain = _PLAIN_START.fullmatch(script.strip())
        return ("node", plain[1]) if plain is not None else ("npm", "start", "--silent")
    for name in ("server.js", "index.js"):
        if name in top:
            return ("node", name)
    raise NotStartable(
        "Node.js code needs a start script in package.json, server.js, index.js or a Procfile."
    )


def _fetches(runtime: Runtime, texts: Mapping[str, str]) -> bool:
    match runtime:
        case "python":
            return _REQUIRED.search(texts.get("requirements.txt", "")) is not None
        case "node":
            return bool(_package(texts).get("dependencies"))
        case "go":
            return _GO_REQUIRES.search(texts.get("go.mod", "")) is not None


def _package(texts: Mapping[str, str]) -> dict[str, object]:
    if "package.json" not in texts:
        return {}
    try:
        return msgspec.json.decode(texts["package.json"], type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        raise NotStartable("The package.json cannot be read.") from None
