"""The database dies in the middle: acknowledged appends are there once, unknown ones resolved."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from infrastructure.event_store import Conflict, StoreUnavailable
from infrastructure.event_store.postgres import PostgresEventStore
from tests.infrastructure.event_store.making import new_event
from tests.servers import PostgresServer
from tests.wiring import SCHEMAS, Installation, open_installation

KILLS = 6
KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'tallyport append' AND datname = current_database()"
)


async def test_appends_survive_the_killing_of_their_connection(
    installation: Installation,
) -> None:
    acknowledged: dict[str, int] = {}
    conflicts: list[str] = []
    done = False

    async def appender(name: str) -> None:
        version = 0
        while not done:
            version += 1
            try:
                acknowledged[name] = await installation.store.append([new_event(name, version)])
            except Conflict:  # nobody else writes this stream: this must never happen
                conflicts.append(name)

    async def killer() -> int:
        killed = 0
        async with asyncio.timeout(60):
            while killed < KILLS:
                await asyncio.sleep(0.02)
                killed += len(await installation.as_admin(KILL))
        return killed

    appenders = [asyncio.create_task(appender(f"s{n}")) for n in range(8)]
    killed = await killer()
    done = True
    await asyncio.gather(*appenders)

    assert killed >= KILLS
    assert conflicts == []
    for name, position in acknowledged.items():
        events = await installation.store.read_stream(name)
        assert events[-1].position == position
        assert [event.version for event in events] == list(range(1, len(events) + 1))


async def test_an_append_whose_answer_was_lost_is_found_by_its_event_id(
    installation: Installation,
) -> None:
    class LosesAnswers(PostgresEventStore):
        lost = 0

        async def _try_to_commit(self, group: Sequence[Any]) -> None:
            if self.lost < 3:
                type(self).lost += 1
                connection = await self._connected()
                await super()._try_to_commit(
                    [self._copy_without_listener(append) for append in group]
                )
                await connection.close()
                raise ConnectionResetError("the answer got lost")
            await super()._try_to_commit(group)

        @staticmethod
        def _copy_without_listener(append: Any) -> Any:
            return type(append)(append.events, append.idempotency, asyncio.Future())

    store = LosesAnswers(installation.pool, installation.conninfo)
    positions = await asyncio.gather(
        *(store.append([new_event(f"s{n}", 1), new_event(f"s{n}", 2)]) for n in range(10))
    )
    await store.close()
    stored = await installation.store.read_all(after=0, limit=100)
    assert len(stored) == 20
    assert sorted(positions) == sorted(e.position for e in stored if e.version == 2)


async def test_somebody_elses_event_is_a_conflict_even_after_a_lost_answer(
    installation: Installation,
) -> None:
    class Unlucky(PostgresEventStore):
        tries = 0

        async def _try_to_commit(self, group: Sequence[Any]) -> None:
            type(self).tries += 1
            if self.tries == 1:
                await installation.store.append([new_event("a", 1)])
                raise ConnectionResetError
            await super()._try_to_commit(group)

    store = Unlucky(installation.pool, installation.conninfo)
    with pytest.raises(Conflict):
        await store.append([new_event("a", 1)])
    await store.close()


async def test_a_store_that_stays_away_is_said_to_be_unavailable_and_comes_back() -> None:
    with PostgresServer(SCHEMAS) as server:
        async with open_installation(server, server.new_database()) as installation:
            store = PostgresEventStore(
                installation.pool, installation.conninfo, outage_seconds_max=0.3
            )
            await store.append([new_event("a", 1)])
            server.kill()
            refused = await asyncio.gather(
                *(store.append([new_event(f"s{n}", 1)]) for n in range(5)),
                return_exceptions=True,
            )
            assert {type(outcome) for outcome in refused} == {StoreUnavailable}
            server.start()
            await store.append([new_event("a", 2)])
            await store.close()
            assert [e.version for e in await installation.store.read_stream("a")] == [1, 2]


async def test_appends_wait_for_a_restarting_server() -> None:
    with PostgresServer(SCHEMAS) as server:
        async with open_installation(server, server.new_database()) as installation:
            store = PostgresEventStore(
                installation.pool, installation.conninfo, outage_seconds_max=30
            )
            await store.append([new_event("a", 1)])
            server.kill()
            appending = asyncio.create_task(store.append([new_event("a", 2)]))
            await asyncio.to_thread(server.start)
            await appending
            await store.close()
            assert [e.version for e in await installation.store.read_stream("a")] == [1, 2]


async def test_a_caller_who_gives_up_harms_nobody_else(installation: Installation) -> None:
    appends = [
        asyncio.create_task(installation.store.append([new_event(f"s{n}", 1)])) for n in range(40)
    ]
    await asyncio.sleep(0)
    for impatient in appends[::3]:
        impatient.cancel()
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert all(isinstance(outcome, int) for n, outcome in enumerate(outcomes) if n % 3)
    await installation.store.append([new_event("later", 1)])
