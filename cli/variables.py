"""Environment variables of a deployment, from options and from files."""

import re
from collections.abc import Iterable
from pathlib import Path

from cli.failures import ExitCode, Failed

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def variables_of(given: Iterable[str], file: Path | None) -> dict[str, str] | None:
    """Return the variables, those of options over those of the file; None when none is named."""
    given = list(given)
    if not given and file is None:
        return None
    found = _read(file) if file is not None else {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise Failed(f"--env {each!r} is not NAME=VALUE.", code=ExitCode.USAGE)
        found[name] = value
    return found


def _read(file: Path) -> dict[str, str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise Failed(f"{file} cannot be read: {error}.", code=ExitCode.USAGE) from error
    found = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not _NAME.fullmatch(name.strip()):
            raise Failed(f"{file}:{number} is not NAME=VALUE.", code=ExitCode.USAGE)
        found[name.strip()] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), value[1:-1])
    return re.sub(r"\s+#.*", "", value)
