"""Help in plain text, its commands under headings: quick to show, and fit to be piped."""

from typing import Any

from typer.core import TyperGroup

HEADING = "Commands"


class Grouped(TyperGroup):
    """A group of commands that shows each under the heading (`rich_help_panel`) it was given."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer keeps their types to itself
        """Write the commands, heading by heading, in the order they were added."""
        headings: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            heading = getattr(command, "rich_help_panel", None)
            rows = headings.setdefault(heading if isinstance(heading, str) else HEADING, [])
            rows.append((name, command.get_short_help_str(formatter.width)))
        for heading, rows in headings.items():
            with formatter.section(heading):
                formatter.write_dl(rows)
