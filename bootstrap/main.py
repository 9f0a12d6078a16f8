"""`tallyport`: the one command, for whoever operates the platform and whoever uses it.

People's commands come from `cli/`, which is a client of the API and knows nothing of what is here.

What a command needs is imported when it runs, so that help and completion are there at once.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from cli.grouping import Grouped
from cli.main import add_to, run
from cli.options import Json
from cli.terminal import put, put_json, say

if TYPE_CHECKING:
    from bootstrap.settings import Settings

PANEL = "Operating the platform"

app = typer.Typer(
    help="A self-hosted platform for API containers: URLs, keys, limits, metering and audit.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    cls=Grouped,
    rich_markup_mode=None,
)
add_to(app)

Kafka = Annotated[
    str | None,
    typer.Option(help="Put Kafka in the middle: `embedded`, or HOST:PORT of your own."),
]


def _group(name: str, about: str) -> typer.Typer:
    group = typer.Typer(name=name, help=about, no_args_is_help=True, cls=Grouped)
    app.add_typer(group, rich_help_panel=PANEL)
    return group


def main() -> None:
    """Run a command; what the user can mend is said in words and ends with an exit code."""
    run(app)


@app.command(rich_help_panel=PANEL)
def up(kafka: Kafka = None) -> None:
    """Start everything on this machine and keep it running until Ctrl-C."""
    from bootstrap.up import run_up  # noqa: PLC0415 - only what this command needs

    sys.exit(run_up(_load(kafka)))


@app.command(rich_help_panel=PANEL)
def demo(
    kafka: Kafka = None,
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running at the end.")
    ] = False,
) -> None:
    """Show the whole life of a first API: deploy, call, limit, meter, bill, audit."""
    from bootstrap.demo import run_demo  # noqa: PLC0415 - only what this command needs

    sys.exit(run_demo(_load(kafka), keep=keep))


@app.command(rich_help_panel=PANEL)
def api() -> None:
    """Run the REST API."""
    _run("api")


@app.command(rich_help_panel=PANEL)
def gateway() -> None:
    """Run the agent and the meter beside HAProxy."""
    _run("gateway")


@app.command(rich_help_panel=PANEL)
def haproxy() -> None:
    """Become HAProxy, configured from the last snapshot."""
    from bootstrap.haproxy import become_haproxy  # noqa: PLC0415 - only what this needs

    become_haproxy(_settings())


@app.command(rich_help_panel=PANEL)
def worker(
    name: Annotated[str, typer.Argument(help="relay, views, analytics, provisioner ...")],
) -> None:
    """Run one worker."""
    from bootstrap.processes import WORKERS  # noqa: PLC0415 - only what this command needs

    if name not in WORKERS:
        _fail(f"There is no worker {name!r}. There are: {', '.join(WORKERS)}.", code=2)
    _run(name)


@app.command(rich_help_panel=PANEL)
def migrate() -> None:
    """Make the tables and roles, or bring them to this version."""
    from bootstrap.migrate import migrate as migrate_all  # noqa: PLC0415 - only what this needs

    settings = _settings()
    if not settings.parts.database_url:
        _fail(
            "TALLYPORT_DATABASE_URL is not set. `tallyport up` migrates its own database.", code=2
        )
    _configure(settings, "migrate")
    _event_loop()(migrate_all(settings))
    typer.echo("The database has this version's tables.", err=True)


@app.command(rich_help_panel=PANEL)
def firewall(
    *,
    once: Annotated[bool, typer.Option("--once", help="Set it and end.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take it away and end.")] = False,
) -> None:
    """Shut this machine's own ports to the containers of teams, and keep them shut (as root)."""
    from bootstrap.firewall import keep_firewall, remove_firewall  # noqa: PLC0415 - only this
    from infrastructure.firewall import FirewallRefused  # noqa: PLC0415 - only this

    _configure(_settings(), "firewall")
    try:
        if remove:
            remove_firewall()
        else:
            keep_firewall(once=once)
    except FirewallRefused as error:
        _fail(f"The firewall could not be changed: {error}.", code=1)


@app.command("check-settings", rich_help_panel=PANEL)
def check_settings(*, json: Json = False) -> None:
    """Say whether the settings can be used, and which variables nobody reads."""
    from bootstrap.settings import unknown_names  # noqa: PLC0415 - only what this command needs

    settings = _settings()
    unread = list(unknown_names())
    if json:
        put_json({"home": str(settings.home), "warnings": unread})
        return
    for line in unread:
        typer.echo(line, err=True)
    typer.echo(f"The settings can be used. The home is {settings.home}.")


@app.command(rich_help_panel=PANEL)
def backup(folder: Annotated[str, typer.Argument(help="A new folder to write it to.")]) -> None:
    """Write what an embedded home cannot make again into a folder, also while it runs."""
    from bootstrap.backups import back_up  # noqa: PLC0415 - only what this needs

    _say(back_up, folder)


@app.command(rich_help_panel=PANEL)
def restore(folder: Annotated[str, typer.Argument(help="The folder of a backup.")]) -> None:
    """Make a new home, which TALLYPORT_HOME names, of a backup."""
    from bootstrap.backups import restore as restore_all  # noqa: PLC0415 - only what this needs

    _say(restore_all, folder)


@app.command(rich_help_panel=PANEL)
def replay(view: Annotated[str, typer.Argument(help="Name of the view.")]) -> None:
    """Rebuild a view from the log, beside the present one; it stays readable meanwhile."""
    from bootstrap.operations import request_rebuild  # noqa: PLC0415 - only what this needs

    _say(request_rebuild, view)


dead_letters = _group("dead-letters", "Events that a view could not apply.")


@dead_letters.command("list")
def list_dead_letters(*, json: Json = False) -> None:
    """List them with the reason."""
    from bootstrap.operations import parked_events  # noqa: PLC0415 - only what this needs

    rows = _outcome(parked_events)
    if json:
        put_json(rows)
        return
    for row in rows:
        put(f"{row['view']}  position {row['position']}  {row['stream']}  {row['type']}")
        put(f"    {row['error']}")
    if not rows:
        say("No event is parked: every view could apply everything.")


@dead_letters.command("retry")
def retry_dead_letters(view: Annotated[str, typer.Argument(help="Name of the view.")]) -> None:
    """Apply a view's parked events again, in order."""
    from bootstrap.operations import retry_parked  # noqa: PLC0415 - only what this needs

    _say(retry_parked, view)


@dead_letters.command("discard")
def discard_dead_letter(
    view: Annotated[str, typer.Argument(help="Name of the view.")],
    position: Annotated[int, typer.Argument(help="Of the event, as the list has it.")],
) -> None:
    """Let a view do without one event for ever; the log keeps it, and a replay meets it again."""
    from bootstrap.operations import discard_parked  # noqa: PLC0415 - only what this needs

    _say(discard_parked, view, position)


admin = _group("admin", "Who looks after the platform.")


@admin.command("create")
def create_admin(
    username: Annotated[str | None, typer.Option(help="Of an account to be made.")] = None,
    email: Annotated[str | None, typer.Option(help="Of an account to be made.")] = None,
) -> None:
    """Print a link that makes one person an admin, or make an admin's account."""
    from bootstrap import admins  # noqa: PLC0415 - only what this needs

    if username is None and email is None:
        _say(admins.another_admin_link)
        return
    if username is None or email is None:
        _fail("An account needs both --username and --email.", code=2)
    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    _say(admins.create_admin, str(username), str(email), password)


def _run(name: str) -> None:
    from bootstrap.embedded.supervisor import stop_on_signals  # noqa: PLC0415 - only processes
    from bootstrap.processes import PROCESSES  # noqa: PLC0415 - only processes

    settings = _settings()
    if not settings.parts.database_url:
        _fail(
            "TALLYPORT_DATABASE_URL is not set. To start everything here: `tallyport up`.", code=2
        )
    _configure(settings, name)

    async def run() -> None:
        await PROCESSES[name](settings, stop_on_signals())

    _event_loop()(run())


def _say(operation: Callable[..., Awaitable[str]], *arguments: object) -> None:
    typer.echo(_outcome(operation, *arguments))


def _outcome(operation: Callable[..., Awaitable[Any]], *arguments: object) -> Any:  # noqa: ANN401 - the operation's
    import psycopg  # noqa: PLC0415 - only who asks it

    settings = _settings()

    async def run() -> object:
        return await operation(settings, *arguments)

    try:
        return _event_loop()(run())
    except LookupError as error:
        _fail(str(error.args[0]), code=2)
    except psycopg.OperationalError as error:
        _fail(f"PostgreSQL cannot be asked: {error}", code=7)


def _settings(overrides: dict[str, str] | None = None) -> "Settings":
    from bootstrap.settings import SettingsError, load  # noqa: PLC0415 - only who runs a part

    try:
        return load(overrides=overrides)
    except SettingsError as error:
        _fail(str(error), code=2)


def _load(kafka: str | None) -> "Settings":
    overrides = {} if kafka is None else {"TALLYPORT_KAFKA": kafka}
    settings = _settings(overrides)
    _configure(settings, "up")
    return settings


def _configure(settings: "Settings", process: str) -> None:
    from bootstrap.log_format import configure_logging  # noqa: PLC0415 - after the settings

    configure_logging(settings.logs, process=process)


def _event_loop() -> Callable[..., Any]:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        import asyncio  # noqa: PLC0415 - only who runs something

        return asyncio.run
    return uvloop.run


def _fail(message: str, *, code: int) -> NoReturn:
    typer.echo(message, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
