"""Note which keys were used at the REST API. What the gateways serve comes from the meter."""

from datetime import datetime

from commands.bus import Command, Handlers
from commands.work import Work
from domain.metering.events import ApiKeysUsed
from domain.metering.key_use import KEY_USE


class NoteKeyUse(Command, frozen=True, kw_only=True):
    """Say which keys were used. Comes from an API process, once a minute."""

    at: datetime
    key_ids: tuple[str, ...]


async def note_key_use(command: NoteKeyUse, work: Work) -> None:
    """Note it. A note of the same use twice does no harm: the later one counts."""
    note = work.create(KEY_USE, work.new_id("use"))
    work.record(note, [ApiKeysUsed(at=command.at, key_ids=command.key_ids)])


HANDLERS: Handlers = {NoteKeyUse: note_key_use}
