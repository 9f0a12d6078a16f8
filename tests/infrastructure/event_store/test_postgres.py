"""What an append promises, and what nobody may do to the log."""

import asyncio
from uuid import uuid4

import psycopg
import pytest

from infrastructure.event_store import Conflict, Metadata, NewEvent, Repeated
from tests.infrastructure.event_store.making import idempotency, new_event
from tests.wiring import Installation


async def test_an_append_gives_the_position_at_which_the_last_event_is_read(
    installation: Installation,
) -> None:
    position = await installation.store.append([new_event("a", 1), new_event("b", 1)])
    stored = await installation.store.read_all(after=0, limit=10)
    assert [event.stream_id for event in stored] == ["a", "b"]
    assert stored[-1].position == position == await installation.store.last_position()


async def test_an_event_is_read_as_it_was_appended(installation: Installation) -> None:
    metadata = Metadata(
        actor="usr-1",
        team_id="org-1",
        address="2001:db8::1",
        correlation_id="req-1",
        causation_id="evt-1",
    )
    event = NewEvent(
        stream_id="a",
        version=1,
        topic="x.Happened@1",
        data=b'{"text":"\\u0000 \\ud83d\\ude00 \xc3\xa9"}',
        event_id=new_event("a", 1).event_id,
        metadata=metadata,
    )
    await installation.store.append([event])
    [read] = await installation.store.read_stream("a")
    assert (read.data, read.topic, read.event_id, read.metadata) == (
        event.data,
        event.topic,
        event.event_id,
        metadata,
    )
    assert read.recorded_at.tzinfo is not None


async def test_an_append_is_one_statement(installation: Installation) -> None:
    await installation.store.append([new_event("warm", 1)])
    await installation.as_admin("CREATE TABLE seen (query text)")
    await installation.as_admin(
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO public.seen VALUES (current_query()); RETURN NULL; END $$"
    )
    await installation.as_admin("GRANT INSERT ON seen TO tallyport_app")
    await installation.as_admin(
        "CREATE TRIGGER see AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION see()"
    )
    await asyncio.gather(*(installation.store.append([new_event(f"s{n}", 1)]) for n in range(64)))
    statements = await installation.as_admin("SELECT query FROM seen")
    assert all("append_events" in query for (query,) in statements)
    # The first goes alone, everything that came meanwhile goes together.
    assert len(statements) <= 4


async def test_sixty_four_at_once_each_get_their_own_position(installation: Installation) -> None:
    positions = await asyncio.gather(
        *(
            installation.store.append([new_event(f"s{n}", 1), new_event(f"s{n}", 2)])
            for n in range(64)
        )
    )
    stored = {
        (e.stream_id, e.version): e.position
        for e in await installation.store.read_all(after=0, limit=1000)
    }
    assert positions == [stored[f"s{n}", 2] for n in range(64)]
    assert len(stored) == 128


async def test_a_version_that_exists_is_a_conflict_and_nothing_is_stored(
    installation: Installation,
) -> None:
    await installation.store.append([new_event("a", 1)])
    with pytest.raises(Conflict):
        await installation.store.append([new_event("b", 1), new_event("a", 1)])
    assert await installation.store.read_stream("b") == []


async def test_one_conflict_among_many_refuses_only_its_own_append(
    installation: Installation,
) -> None:
    await installation.store.append([new_event("taken", 1)])
    outcomes = await asyncio.gather(
        *(installation.store.append([new_event(f"s{n}", 1)]) for n in range(30)),
        installation.store.append([new_event("taken", 1)]),
        *(installation.store.append([new_event("both", 1)]) for _ in range(5)),
        return_exceptions=True,
    )
    assert all(isinstance(outcome, int) for outcome in outcomes[:30])
    assert isinstance(outcomes[30], Conflict)
    assert sorted(type(outcome).__name__ for outcome in outcomes[31:]) == [
        *["Conflict"] * 4,
        "int",
    ]


@pytest.mark.parametrize(
    ("impossible", "error"),
    [("a NUL \0", psycopg.DataError), ("half a character \ud800", UnicodeEncodeError)],
)
async def test_an_append_that_cannot_be_stored_spoils_no_other(
    installation: Installation, impossible: str, error: type[Exception]
) -> None:
    for _ in range(2):
        outcomes = await asyncio.gather(
            *(installation.store.append([new_event(uuid4().hex, 1)]) for _ in range(10)),
            installation.store.append([new_event(impossible, 1)]),
            return_exceptions=True,
        )
        assert all(isinstance(outcome, int) for outcome in outcomes[:10])
        assert isinstance(outcomes[10], error)


async def test_an_idempotency_key_works_once_and_its_answer_is_kept(
    installation: Installation,
) -> None:
    store = installation.store
    position = await store.append([new_event("a", 1)], idempotency=idempotency())
    with pytest.raises(Repeated):
        await store.append([new_event("a", 2)], idempotency=idempotency())
    assert len(await store.read_stream("a")) == 1
    assert await store.answer_of(b"key") == (b"body", b"answer", position)
    assert await store.answer_of(b"another") is None


async def test_an_idempotency_key_of_a_refused_append_is_free(installation: Installation) -> None:
    store = installation.store
    await store.append([new_event("a", 1)])
    with pytest.raises(Conflict):
        await store.append([new_event("a", 1)], idempotency=idempotency())
    assert await store.answer_of(b"key") is None
    await store.append([new_event("a", 2)], idempotency=idempotency())


async def test_a_thousand_equal_idempotency_keys_at_once_have_one_effect(
    installation: Installation,
) -> None:
    outcomes = await asyncio.gather(
        *(
            installation.store.append([new_event(f"s{n}", 1)], idempotency=idempotency())
            for n in range(1000)
        ),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [*["Repeated"] * 999, "int"]
    assert len(await installation.store.read_all(after=0, limit=10)) == 1


async def test_an_answer_is_forgotten_after_a_day(installation: Installation) -> None:
    store = installation.store
    await store.append([new_event("a", 1)], idempotency=idempotency(b"old"))
    await installation.as_admin(
        "UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'"
    )
    await store.append([new_event("a", 2)], idempotency=idempotency(b"new"))
    assert await store.answer_of(b"old") is None
    await store.forget_old_answers()
    assert await installation.query("SELECT key FROM idempotency_keys") == [{"key": b"new"}]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET state = ''",
        "DELETE FROM events",
        "TRUNCATE events",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "DROP TABLE events",
        "SET session_replication_role = replica",
    ],
)
async def test_the_application_cannot_change_what_happened(
    installation: Installation, statement: str
) -> None:
    await installation.store.append([new_event("a", 1)])
    async with installation.pool.connection() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement.encode())
    assert len(await installation.store.read_stream("a")) == 1


@pytest.mark.parametrize(
    "statement", ["UPDATE events SET state = ''", "DELETE FROM events", "TRUNCATE events"]
)
async def test_even_the_owner_of_the_table_does_not_change_it_by_accident(
    installation: Installation, statement: str
) -> None:
    await installation.store.append([new_event("a", 1)])
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        await installation.as_admin(statement)


async def test_an_appended_page_is_read_in_slices_without_hole_or_repeat(
    installation: Installation,
) -> None:
    for version in range(1, 26):
        await installation.store.append([new_event("a", version)])
        if version % 5 == 0:
            with pytest.raises(Conflict):  # burns a position: the order has gaps
                await installation.store.append([new_event("a", version)])
    seen: list[int] = []
    position = 0
    while page := await installation.store.read_all(after=position, limit=4):
        seen += [event.version for event in page]
        position = page[-1].position
    assert seen == list(range(1, 26))
    last = await installation.store.last_position()
    assert await installation.store.read_all(after=0, up_to=last - 1, limit=100) == (
        await installation.store.read_all(after=0, limit=24)
    )


async def test_a_megabyte_is_stored_whole(installation: Installation) -> None:
    huge = b'{"text":"' + b"x" * 10_000_000 + b'"}'
    await installation.append_raw("a", 1, "x.Huge@1", huge)
    [event] = await installation.store.read_stream("a")
    assert event.data == huge


async def test_an_append_needs_events(installation: Installation) -> None:
    with pytest.raises(ValueError, match="nothing"):
        await installation.store.append([])


async def test_a_snapshot_is_kept_until_a_newer_one_or_another_shape(
    installation: Installation,
) -> None:
    store = installation.store
    assert await store.load_snapshot("a", "shape") is None
    await store.save_snapshot("a", "shape", 10, b"ten")
    await store.save_snapshot("a", "shape", 5, b"five, from somebody slow")
    assert await store.load_snapshot("a", "shape") == (10, b"ten")
    assert await store.load_snapshot("a", "new shape") is None
    await store.save_snapshot("a", "new shape", 3, b"three")
    assert await store.load_snapshot("a", "new shape") == (3, b"three")
    assert await store.load_snapshot("a", "shape") is None


async def test_a_conflict_names_the_stream_that_somebody_else_was_in(
    installation: Installation,
) -> None:
    store = installation.store
    await store.append([new_event("shop", 1)])
    with pytest.raises(Conflict) as late:
        await store.append([new_event("till", 1), new_event("shop", 1)])
    assert late.value.stream_id == "shop"
    outcomes = await asyncio.gather(
        *(store.append([new_event(f"new-{n}", 1), new_event("shop", 2)]) for n in range(5)),
        return_exceptions=True,
    )
    lost = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert [conflict.stream_id for conflict in lost] == ["shop"] * 4
