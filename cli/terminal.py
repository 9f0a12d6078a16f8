"""What is shown: data on stdout, talk on stderr; moving things only where somebody looks.

Text from elsewhere (names, log lines) may not move the cursor or rename the window: what a
terminal would take as an order is taken out before it is shown on one, and what would turn the
direction of writing round is written as its number.
"""

import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from cli.environment import surroundings
from cli.failures import ExitCode, Failed

COLORS: Mapping[str, str] = {
    "running": "green",
    "healthy": "green",
    "live": "green",
    "verified": "green",
    "failed": "red",
    "unhealthy": "red",
    "stopped": "bright_black",
    "superseded": "bright_black",
}
_ORDERS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, and where the cursor goes
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]"
)
_TURNS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What turns the direction of writing round, so that a line reads as something else."""
Column = tuple[str, Callable[[Mapping[str, Any]], object]]


def say(text: str) -> None:
    """Tell the person something."""
    typer.echo(plain(text), err=True)


def put(text: str) -> None:
    """Write data."""
    typer.echo(plain(text) if sys.stdout.isatty() else text)


def put_json(answer: object) -> None:
    """Write what the API answered; easier to read where somebody looks."""
    put(json_text(answer, indent=2 if sys.stdout.isatty() else None))


def json_text(answer: object, *, indent: int | None = None) -> str:
    """Return JSON that loses nothing on a terminal: what is no letter is escaped in it."""
    return _TURNS.sub(_escaped, json.dumps(answer, ensure_ascii=False, indent=indent))


def plain(text: str) -> str:
    """Return the text without anything that a terminal takes as an order, or that misleads."""
    return _TURNS.sub(_escaped, _ORDERS.sub("", text))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def table(rows: Sequence[Mapping[str, Any]], *columns: Column, none: str) -> None:
    """Write rows under headings, as wide as they are; say so when there are none."""
    if not rows:
        say(none)
        return
    cells = [[plain(text_of(value(row))) for _, value in columns] for row in rows]
    widths = [
        max(len(title), *(len(row[number]) for row in cells))
        for number, (title, _) in enumerate(columns)
    ]
    looked_at = sys.stdout.isatty() and surroundings().color
    heading = _line([title.upper() for title, _ in columns], widths)
    typer.echo(typer.style(heading, bold=True) if looked_at else heading)
    for row in cells:
        line = _line(row, widths)
        for word in row:
            if looked_at and word in COLORS:
                line = line.replace(word, typer.style(word, fg=COLORS[word]), 1)
        typer.echo(line)


def facts(*pairs: tuple[str, object]) -> None:
    """Write names with their values, one a line; what there is nothing of is left out."""
    shown = [(name, text_of(value)) for name, value in pairs if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        put(f"{name.ljust(width)}  {value}")


def text_of(value: object) -> str:
    """Return a value as people write it."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(text_of(each) for each in value) or "-"
        case Mapping():
            return ", ".join(f"{name}={text_of(each)}" for name, each in value.items()) or "-"
        case float():
            return f"{value:.1f}"
    return str(value)


def moment(name: str) -> Callable[[Mapping[str, Any]], str]:
    """Return what shows a field that is a time: how long ago, or when."""

    def shown(row: Mapping[str, Any]) -> str:
        return ago(row.get(name))

    return shown


def field(name: str) -> Callable[[Mapping[str, Any]], object]:
    """Return what shows a field as it is."""
    return lambda row: row.get(name)


def ago(text: str | None, *, now: datetime | None = None) -> str:
    """Return how long ago a time was, or the time itself when it is far or to come."""
    if not text:
        return "-"
    then = datetime.fromisoformat(text)
    seconds = int(((now or datetime.now(UTC)) - then).total_seconds())
    for size, word in ((60, "s"), (3600, "m"), (86400, "h"), (30 * 86400, "d")):
        if 0 <= seconds < size:
            unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}[word]
            return f"{seconds // unit}{word} ago"
    return then.strftime("%Y-%m-%d %H:%M")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is done; raises `Failed` when the answer is no, or nobody is there."""
    if yes:
        return
    _must_be_asked()
    if not typer.confirm(plain(question), err=True):
        raise Failed("Nothing was done.")


def confirm_by_name(question: str, name: str, *, yes: bool) -> None:
    """Ask for the name of what will be gone."""
    if yes:
        return
    _must_be_asked()
    say(question)
    if typer.prompt(f"Type {plain(name)} to go on", err=True, default="", show_default=False) != (
        name
    ):
        raise Failed("That is not its name. Nothing was done.")


def ask(question: str, *, hidden: bool = False) -> str:
    """Return what the person types; raises `Failed` when nobody is there."""
    if not sys.stdin.isatty():
        raise Failed(f"{question}: nobody is there to be asked.", code=ExitCode.USAGE)
    return str(typer.prompt(question, hide_input=hidden, err=True))


@contextlib.contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Show that something goes on, and call what is yielded with what it does now.

    Without a terminal each new text is a line.
    """
    if not sys.stderr.isatty():
        yield _lines_of(text)
        return
    from rich.console import Console  # noqa: PLC0415 - not before something moves
    from rich.status import Status  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    console = Console(stderr=True, no_color=not surroundings().color)
    with Status(Text(plain(text)), console=console) as status:
        yield lambda now: status.update(Text(plain(now)))


@contextlib.contextmanager
def uploading(total: int) -> Iterator[Callable[[int], None]]:
    """Show how much of so many bytes is sent; call what is yielded with each further number."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - not before something moves
    from rich.progress import (  # noqa: PLC0415 - the same
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True, no_color=not surroundings().color)
    columns = (TextColumn("Uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Uploading", total=total)
        yield lambda sent: progress.advance(task, sent)


def bytes_text(size: int) -> str:
    """Return a number of bytes as people write it."""
    number = float(size)
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:  # noqa: PLR2004 - the size of each unit
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def _lines_of(text: str) -> Callable[[str], None]:
    said = ""

    def tell(now: str) -> None:
        nonlocal said
        if now != said:
            say(now)
        said = now

    tell(text)
    return tell


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join(padded).rstrip()


def _must_be_asked() -> None:
    if not sys.stdin.isatty():
        raise Failed(
            "This does harm, and nobody is there to confirm it.",
            "Say --yes if it is meant.",
            code=ExitCode.USAGE,
        )
