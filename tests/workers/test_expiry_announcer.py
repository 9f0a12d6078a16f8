"""A team hears of a key that expires while there is time to do something about it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commands.api_keys import AnnounceKeyExpiry, ChangeApiKey, RevokeApiKey
from commands.bus import Bus, Command, Context, Receipt
from domain.api_keys.events import ApiKeyExpiryAnnounced
from domain.kernel.errors import NotFound
from projections.api_keys import API_KEYS
from projections.catalogue import VIEWS
from projections.reading import Reader
from tests.wiring import Installation
from workers.expiry_announcer import ExpiryAnnouncer

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


class Almanac:
    """Looks at the keys on one day after the other."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._reader = Reader(installation.pool, installation.conninfo, VIEWS)

    async def look(self, days: float, *, through: Callable[[Bus], Bus] = lambda bus: bus) -> None:
        now = NOW + days * DAY
        bus = through(self._installation.another_bus(clock=lambda: now))
        await self._installation.caught_up([API_KEYS])
        await ExpiryAnnouncer(bus, self._reader, clock=lambda: now).look()

    async def announced(self, key_id: str) -> list[int]:
        events = await self._installation.codec.decode_all(
            await self._installation.store.read_stream(key_id)
        )
        return [each.days_before for each in events if isinstance(each, ApiKeyExpiryAnnounced)]


@pytest.fixture
async def almanac(installation: Installation) -> Almanac:
    installation.start_views([API_KEYS])
    return Almanac(installation)


async def asked_for(installation: Installation) -> list[dict[str, Any]]:
    return await installation.query("SELECT 1 FROM events WHERE topic ~ 'MailRequested'")


async def test_the_owners_are_told_two_weeks_three_days_and_a_day_before(
    installation: Installation, almanac: Almanac
) -> None:
    anna = await installation.register()
    key = await installation.create_key(anna, expires_at=NOW + 30 * DAY)
    other = await installation.create_key(anna)
    told: list[int] = []
    for days, says in (
        (0, None),
        (15.9, None),
        (16, 14),
        (16, None),
        (26.9, None),
        (27, 3),
        (29.5, 1),
        (29.9, None),
        (30, None),
        (31, None),
    ):
        told += [says] if says is not None else []
        for _ in range(2):
            await almanac.look(days)
            assert await almanac.announced(key.key_id) == told, days
    assert len(await asked_for(installation)) == 3
    assert await almanac.announced(other.key_id) == []


async def test_who_sets_an_expiry_to_soon_is_not_told_what_they_know(
    installation: Installation, almanac: Almanac
) -> None:
    anna = await installation.register()
    key = await installation.create_key(anna, expires_at=NOW + 2 * DAY)
    await almanac.look(0.5)
    assert await almanac.announced(key.key_id) == []
    await almanac.look(1.5)
    assert await almanac.announced(key.key_id) == [1]


async def test_after_a_long_pause_only_the_nearest_day_is_told(
    installation: Installation, almanac: Almanac
) -> None:
    anna = await installation.register()
    key = await installation.create_key(anna, expires_at=NOW + 30 * DAY)
    await almanac.look(29.5)
    assert await almanac.announced(key.key_id) == [1]
    later = ChangeApiKey(key_id=key.key_id, expires_at=NOW + 60 * DAY)
    await installation.dispatch(later, anna.context)
    await almanac.look(29.6)
    await almanac.look(46)
    assert await almanac.announced(key.key_id) == [1, 14]


async def test_a_revoked_key_is_not_missed(installation: Installation, almanac: Almanac) -> None:
    anna = await installation.register()
    key = await installation.create_key(anna, expires_at=NOW + 30 * DAY)
    await installation.dispatch(RevokeApiKey(key_id=key.key_id), anna.context)
    await almanac.look(29.5)
    assert await almanac.announced(key.key_id) == []


class Refusing(Bus):
    """Refuses the first of the keys."""

    def __init__(self, bus: Bus) -> None:
        self._bus, self._asked = bus, 0

    async def dispatch(self, command: Command, context: Context) -> Receipt:
        self._asked += 1
        if self._asked == 1:
            raise NotFound
        return await self._bus.dispatch(command, context)


async def test_one_key_that_cannot_be_announced_keeps_no_other_waiting(
    installation: Installation, almanac: Almanac
) -> None:
    anna = await installation.register()
    keys = [await installation.create_key(anna, expires_at=NOW + 30 * DAY) for _ in range(3)]
    await almanac.look(29.5, through=Refusing)
    assert sum([len(await almanac.announced(key.key_id)) for key in keys]) == 2
    await almanac.look(29.5)
    assert [await almanac.announced(key.key_id) for key in keys] == [[1]] * 3


async def test_an_announcement_that_is_not_due_is_none(
    installation: Installation, almanac: Almanac
) -> None:
    anna = await installation.register()
    key = await installation.create_key(anna, expires_at=NOW + 30 * DAY)
    command = AnnounceKeyExpiry(key_id=key.key_id, days_before=14)
    await installation.dispatch(command, anna.context)
    assert await almanac.announced(key.key_id) == []
