"""`tallyport up`: start, say where to go, stay until Ctrl-C."""

import asyncio
import sys

import psycopg
import typer

from bootstrap.admins import first_admin_link
from bootstrap.embedded.haproxy import HAProxyMissing
from bootstrap.embedded.home import Home, HomeError
from bootstrap.embedded.parts import PartFailed
from bootstrap.embedded.supervisor import HomeInUse, Supervisor, stop_on_signals
from bootstrap.embedded.wheels import ServerMissing
from bootstrap.mail import mailbox_folder
from bootstrap.platform import start_platform, stop_platform
from bootstrap.settings import Settings

MENDABLE = (HomeError, HomeInUse, PartFailed, HAProxyMissing, ServerMissing, psycopg.Error)
"""What can go wrong at a start and says itself what to do."""


def run_up(settings: Settings) -> int:
    """Run the platform; return the exit code."""
    try:
        return asyncio.run(_up(settings))
    except MENDABLE as error:
        typer.echo(f"\nTallyport could not start.\n{error}", err=True)
        return 1


async def _up(settings: Settings) -> int:
    stop = stop_on_signals()
    home = Home.open(settings.home)
    async with Supervisor(home) as supervisor:
        in_force = await start_platform(supervisor, home, settings, tell, stop)
        if not stop.is_set():
            typer.echo(where_to_go(in_force))
            await say_how_to_look_after_it(in_force)
            await supervisor.run_until(stop)
        typer.echo("Stopping ...", err=True)
        await stop_platform(supervisor, in_force)
    return 0


def tell(part: str, happened: str) -> None:
    """Show one step of the start or a trouble later."""
    typer.echo(f"  {part:<12} {happened}", err=True)
    sys.stderr.flush()


async def say_how_to_look_after_it(settings: Settings) -> None:
    """Print the link for the first admin, as long as there is none."""
    link = await first_admin_link(settings)
    if link is not None:
        typer.echo(f"""
Nobody looks after this platform yet. Who follows this link first does, within 24 hours:
  {link}
Another link: `tallyport admin create`.""")


def where_to_go(settings: Settings) -> str:
    """Return what a newcomer needs to know next."""
    api = settings.api.public_url
    mails = "sent by your mail server" if settings.mail.url else mailbox_folder(settings)
    return f"""
Tallyport runs. Everything it keeps is in {settings.home}.

  Begin here       {api}

  The API          {api}/v1
  Try it out       {api}/docs
  Its health       {api}/health/ready
  Its mails        {mails}
  Deployed APIs    {settings.gateway.url_of("<app name>")}

`bin/demo` shows the whole way in another home. Ctrl-C stops everything."""
