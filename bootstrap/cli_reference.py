"""Writes docs/cli.md from the commands themselves, or tells that it is stale.

`python -m bootstrap.cli_reference --write` and `--check`, from the root of the checkout.
"""

import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from bootstrap.generated import write_or_check
from bootstrap.main import app
from cli.environment import API_KEY, URL, URL_DEFAULT
from cli.failures import ExitCode

_REMAKE = "python -m bootstrap.cli_reference --write"
_FILE = Path("docs/cli.md")
_PROGRAM = "tallyport"
_MEANINGS = {
    0: "It was done.",
    ExitCode.FAILED: "It was tried and did not succeed, or something unexpected happened.",
    ExitCode.USAGE: "The command line itself is wrong, or nobody is there to confirm.",
    ExitCode.NOT_SIGNED_IN: "Nobody is signed in, or the key is not valid.",
    ExitCode.NOT_FOUND: "There is no such thing among what you may see.",
    ExitCode.REFUSED: "You may not do this, or a value cannot be accepted.",
    ExitCode.CONFLICT: "It contradicts what is there: a name that is taken, a change meanwhile.",
    ExitCode.UNAVAILABLE: "You asked too often, or Tallyport cannot be reached: try again later.",
    ExitCode.INTERRUPTED: "Ctrl-C. What was asked for goes on without the command.",
}
_HEAD = f"""\
# The command line

`tallyport` is one command for whoever uses a platform and whoever operates it. Data goes to stdout,
talk to stderr; `--json` writes what the API answered. What does harm asks first, unless `--yes`.

Which platform: `{URL}` (`{URL_DEFAULT}` unless set). As whom: `{API_KEY}`, else the login that
`tallyport login` keeps in `~/.config/tallyport` (`XDG_CONFIG_HOME`), readable by its person only.
Where an id is wanted a name does too. Times are so long ago (`90s`, `2h`, `7d`) or written out
(`2026-11-23T14:00:00Z`). `tallyport --install-completion` teaches the shell, which then also
completes names of deployments. `NO_COLOR` is respected.

| exit code | meaning |
| - | - |
"""


def page() -> str:
    """Return docs/cli.md."""
    root: Any = typer.main.get_command(app)
    context = root.context_class(root, info_name=_PROGRAM)
    parts = [_HEAD + "".join(f"| {int(code)} | {text} |\n" for code, text in _MEANINGS.items())]
    heading = None
    for path, command in _commands(root, ()):
        panel = getattr(root.commands[path[0]], "rich_help_panel", None)
        if panel != heading:
            heading = panel
            parts.append(f"## {heading}\n")
        parts.append(_section(path, command, context))
    parts.append(f"Written by `{_REMAKE}`.\n")
    return "\n".join(parts)


def _commands(group: Any, path: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - typer's own
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        elif not command.hidden:
            yield (*path, name), command


def _section(path: Sequence[str], command: Any, context: Any) -> str:  # noqa: ANN401 - typer's own
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in shown if each.param_type_name == "argument"]
    options = [each for each in shown if each.param_type_name == "option"]
    usage = " ".join(
        [_PROGRAM, *path, *(word for each in arguments for word in each.get_usage_pieces(context))]
        + (["[OPTIONS]"] if options else [])
    )
    text = inspect.cleandoc(command.help or "")
    lines = [f"### {' '.join(path)}\n\n```text\n{usage}\n```\n\n{text}\n"]
    rows = [row for each in (*arguments, *options) if (row := _row(each, context))]
    if rows:
        lines.append("| | |\n| - | - |\n" + "".join(rows))
    return "\n".join(lines)


def _row(parameter: Any, context: Any) -> str | None:  # noqa: ANN401 - typer's own
    record = parameter.get_help_record(context)
    if record is None:
        return None
    name, text = (part.replace("|", "\\|") for part in record)
    return f"| `{name}` | {text} |\n"


def main() -> int:
    """Write or check; return the exit code."""
    return write_or_check(__doc__, {_FILE: page()}, remake=_REMAKE)


if __name__ == "__main__":
    sys.exit(main())
