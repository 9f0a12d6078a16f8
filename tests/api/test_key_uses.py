"""Which keys were used is noted once a minute, or once it can be."""

from datetime import UTC, datetime

from api.key_uses import KeyUses
from commands.bus import Bus, Command, Context, Receipt
from commands.metering import NoteKeyUse
from infrastructure.event_store import StoreUnavailable


class Log(Bus):
    """A bus whose log may be away."""

    def __init__(self) -> None:
        self.noted: list[NoteKeyUse] = []
        self.is_away = True

    async def dispatch(self, command: Command, context: Context) -> Receipt:
        if self.is_away or not isinstance(command, NoteKeyUse):
            raise StoreUnavailable
        self.noted.append(command)
        return Receipt(context.actor, {}, 0)


async def test_what_cannot_be_noted_now_is_noted_later_and_once() -> None:
    log = Log()
    uses = KeyUses(log, lambda: datetime(2026, 3, 14, 12, 7, 59, 5, tzinfo=UTC))
    for number in range(1500):
        uses.saw(f"key-{number % 1200:010d}")
    await uses.note()
    log.is_away = False
    for _ in range(2):
        await uses.note()
    assert [len(note.key_ids) for note in log.noted] == [1000, 200]
    assert len({key_id for note in log.noted for key_id in note.key_ids}) == 1200
    assert {note.at for note in log.noted} == {datetime(2026, 3, 14, 12, 7, tzinfo=UTC)}
