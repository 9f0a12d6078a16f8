"""`tallyport`: the one command, for operators: start, migrate, rebuild, look after."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from bootstrap import settings as settings_module
from bootstrap.settings import Settings, SettingsError

app = typer.Typer(
    help="A self-hosted platform for API containers: URLs, keys, limits, metering and audit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Kafka = Annotated[
    str | None,
    typer.Option(help="Put Kafka in the middle: `embedded`, or HOST:PORT of your own."),
]


def main() -> None:
    """Run a command; what the user can mend is said in words and ends with exit code 1 or 2."""
    try:
        app()
    except SettingsError as error:
        _fail(str(error), code=2)


@app.command()
def up(kafka: Kafka = None) -> None:
    """Start everything on this machine and keep it running until Ctrl-C."""
    from bootstrap.up import run_up  # noqa: PLC0415 - only what this command needs

    sys.exit(run_up(_load(kafka)))


@app.command()
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


@app.command()
def api() -> None:
    """Run the REST API."""
    _run("api")


@app.command()
def gateway() -> None:
    """Run the agent and the meter beside HAProxy."""
    _run("gateway")


@app.command()
def haproxy() -> None:
    """Become HAProxy, configured from the last snapshot."""
    from bootstrap.haproxy import become_haproxy  # noqa: PLC0415 - only what this needs

    become_haproxy(settings_module.load())


@app.command()
def worker(
    name: Annotated[str, typer.Argument(help="relay, views, analytics, provisioner ...")],
) -> None:
    """Run one worker."""
    from bootstrap.processes import WORKERS  # noqa: PLC0415 - only what this command needs

    if name not in WORKERS:
        _fail(f"There is no worker {name!r}. There are: {', '.join(WORKERS)}.", code=2)
    _run(name)


@app.command()
def migrate() -> None:
    """Make the tables and roles, or bring them to this version."""
    from bootstrap.migrate import migrate as migrate_all  # noqa: PLC0415 - only what this needs

    settings = settings_module.load()
    if not settings.parts.database_url:
        _fail(
            "TALLYPORT_DATABASE_URL is not set. `tallyport up` migrates its own database.", code=2
        )
    _configure(settings, "migrate")
    asyncio.run(migrate_all(settings))
    typer.echo("The database has this version's tables.", err=True)


@app.command("check-settings")
def check_settings() -> None:
    """Say whether the settings can be used, and which variables nobody reads."""
    settings = settings_module.load()
    for line in settings_module.unknown_names():
        typer.echo(line, err=True)
    typer.echo(f"The settings can be used. The home is {settings.home}.")


@app.command()
def replay(view: Annotated[str, typer.Argument(help="Name of the view.")]) -> None:
    """Rebuild a view from the log, beside the present one; it stays readable meanwhile."""
    from bootstrap.operations import request_rebuild  # noqa: PLC0415 - only what this needs

    _say(request_rebuild, view)


dead_letters = typer.Typer(help="Events that a view could not apply.", no_args_is_help=True)
app.add_typer(dead_letters, name="dead-letters")


@dead_letters.command("list")
def list_dead_letters() -> None:
    """List them with the reason."""
    from bootstrap.operations import list_parked  # noqa: PLC0415 - only what this needs

    _say(list_parked)


@dead_letters.command("retry")
def retry_dead_letters(view: Annotated[str, typer.Argument(help="Name of the view.")]) -> None:
    """Apply a view's parked events again, in order."""
    from bootstrap.operations import retry_parked  # noqa: PLC0415 - only what this needs

    _say(retry_parked, view)


admin = typer.Typer(help="Who looks after the platform.", no_args_is_help=True)
app.add_typer(admin, name="admin")


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

    settings = settings_module.load()
    if not settings.parts.database_url:
        _fail(
            "TALLYPORT_DATABASE_URL is not set. To start everything here: `tallyport up`.", code=2
        )
    _configure(settings, name)

    async def run() -> None:
        await PROCESSES[name](settings, stop_on_signals())

    _loop_runner()(run())


def _say(operation: Callable[..., Awaitable[str]], *arguments: str) -> None:
    settings = settings_module.load()

    async def run() -> str:
        return await operation(settings, *arguments)

    try:
        typer.echo(asyncio.run(run()))
    except LookupError as error:
        _fail(str(error.args[0]), code=2)


def _load(kafka: str | None) -> Settings:
    overrides = {} if kafka is None else {"TALLYPORT_KAFKA": kafka}
    settings = settings_module.load(overrides=overrides)
    _configure(settings, "up")
    return settings


def _configure(settings: Settings, process: str) -> None:
    from bootstrap.log_format import configure_logging  # noqa: PLC0415 - after the settings

    configure_logging(settings.logs, process=process)


def _loop_runner() -> Callable[..., object]:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run
    return uvloop.run


def _fail(message: str, *, code: int) -> None:
    typer.echo(message, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
