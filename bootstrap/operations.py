"""What operators do to a running platform: rebuild a view, look at parked events, retry them."""

import psycopg

from bootstrap.embedded.home import Home
from bootstrap.embedded.ports import LOOPBACK, remembered_ports
from bootstrap.settings import Settings
from projections import upkeep
from projections.catalogue import VIEWS


async def request_rebuild(settings: Settings, view: str) -> str:
    """Ask the views worker to rebuild a view; it does so beside the present table."""
    known = {each.name for each in VIEWS}
    if view not in known:
        raise LookupError(f"There is no view {view!r}. There are: {', '.join(sorted(known))}.")
    async with await psycopg.AsyncConnection.connect(database_of(settings)) as connection:
        await upkeep.request_rebuild(connection, view)
    return f"{view} is being rebuilt from the log; it stays readable meanwhile."


async def parked_events(settings: Settings) -> list[dict[str, str | int]]:
    """Return the parked events, the first thousand of them."""
    async with await psycopg.AsyncConnection.connect(database_of(settings)) as connection:
        cursor = await connection.execute(
            "SELECT view, position, stream_id, topic, error FROM parked_events"
            " ORDER BY view, position LIMIT 1000"
        )
        rows = await cursor.fetchall()
    return [
        dict(zip(("view", "position", "stream", "type", "error"), row, strict=True)) for row in rows
    ]


async def retry_parked(settings: Settings, view: str) -> str:
    """Ask for a view's parked events to be applied again."""
    async with await psycopg.AsyncConnection.connect(database_of(settings)) as connection:
        count = await upkeep.retry_all(connection, view)
    if count == 0:
        raise LookupError(f"No event is parked for {view!r}.")
    return f"{count} parked events of {view} will be applied again within a second or two."


async def discard_parked(settings: Settings, view: str, position: int) -> str:
    """Ask a view to do without one of its parked events."""
    async with await psycopg.AsyncConnection.connect(database_of(settings)) as connection:
        if not await upkeep.discard_one(connection, view, position):
            raise LookupError(f"No event at position {position} is parked for {view!r}.")
    return f"{view} will do without the event at position {position}; what follows is applied."


def database_of(settings: Settings) -> str:
    """Return the database of the settings, or the one that `tallyport up` runs in this home.

    Raises `LookupError` when nothing was ever started there.
    """
    if settings.parts.database_url:
        return settings.parts.database_url
    home = Home.open(settings.home)
    port = remembered_ports(home).get("postgres")
    if port is None:
        raise LookupError(f"Nothing was started in {settings.home}; TALLYPORT_HOME names another.")
    password = home.secret("postgres-app")
    return f"postgresql://tallyport_app:{password}@{LOOPBACK}:{port}/tallyport"
