"""One view is kept equal to the log, whatever happens to it or to the runner."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import psycopg
import pytest

from domain.deployments.events import DeploymentScaled
from domain.identity.events import SessionEnded
from domain.kernel.events import Event
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Batch, Cursor, Stream, Topic
from projections import tables
from projections.audit import AUDIT
from projections.upkeep import discard_one
from projections.view import Change, View
from tests.servers import PostgresServer
from tests.wiring import SCHEMAS, Installation, open_installation
from workers.projection_runner import ProjectionRunner

POISON = 666


class TallyRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    events: int
    last_version: int
    total: int
    note: str | None = None


def changes(event: object, recorded: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, DeploymentScaled | SessionEnded):
        return [((recorded.stream_id,), event)]
    return []


class Fold:
    """Counts, so that an event applied twice or out of order is seen. May be cured."""

    cured = False
    gaps = False
    """Whether it does without some events."""

    def __call__(
        self, row: TallyRow | None, event: Event, recorded: RecordedEvent
    ) -> TallyRow | None:
        row = row or TallyRow(id=recorded.stream_id, events=0, last_version=0, total=0)
        if recorded.version != row.last_version + 1 and not self.gaps:
            raise AssertionError(f"{recorded.version} does not follow {row.last_version}")
        row = msgspec.structs.replace(row, events=row.events + 1, last_version=recorded.version)
        if isinstance(event, SessionEnded):
            return msgspec.structs.replace(row, note=event.reason)
        assert isinstance(event, DeploymentScaled)
        if event.replicas == POISON and not self.cured:
            raise ArithmeticError("a bug in the fold")
        return msgspec.structs.replace(row, total=row.total + event.replicas)


@pytest.fixture
def fold() -> Fold:
    return Fold()


@pytest.fixture
def tally(fold: Fold) -> View[TallyRow]:
    return View(
        name="tally",
        version=1,
        topic=Topic.EVENTS,
        row=TallyRow,
        key=("id",),
        changes=changes,
        fold=fold,
    )


def scaled(replicas: int = 1) -> DeploymentScaled:
    return DeploymentScaled(replicas=replicas, previously=0)


async def parked(installation: Installation, view: str = "tally") -> list[tuple[str, str]]:
    rows = await installation.query(
        "SELECT stream_id, error FROM parked_events WHERE view = %s ORDER BY position", view
    )
    return [(row["stream_id"], row["error"]) for row in rows]


async def ask(installation: Installation, what: str) -> None:
    """Do what the operator's command does."""
    table = "parked_events" if what == "retry_wanted" else "view_generations"
    await installation.as_admin(f"UPDATE {table} SET {what} = true WHERE view = 'tally'")


async def generation_becomes(installation: Installation, number: int) -> None:
    await installation.until(
        "EXISTS (SELECT FROM view_generations WHERE view = 'tally' AND live AND generation = %s)",
        number,
    )


async def no_retry_is_wanted(installation: Installation) -> None:
    await installation.until("NOT EXISTS (SELECT FROM parked_events WHERE retry_wanted)")


async def test_every_event_is_folded_once_in_order(
    installation: Installation, tally: View[TallyRow]
) -> None:
    await installation.append("a", scaled(1), scaled(2))
    installation.start_views([tally])
    await installation.caught_up([tally])
    for version in range(2, 60):
        await installation.append("a", scaled(1), after=version)
        await installation.append("b", scaled(3), after=version - 2)
    rows = await installation.rows(tally)
    assert [(row["id"], row["events"], row["total"]) for row in rows] == [
        ("a", 60, 61),
        ("b", 58, 174),
    ]
    assert await parked(installation) == []


async def test_a_view_of_an_empty_log_is_there_and_empty(
    installation: Installation, tally: View[TallyRow]
) -> None:
    installation.start_views([tally])
    await generation_becomes(installation, 1)
    assert await installation.query("SELECT * FROM views.tally") == []


async def test_an_event_that_cannot_be_folded_is_parked_with_the_rest_of_its_stream_only(
    installation: Installation, tally: View[TallyRow]
) -> None:
    await installation.append("bad", scaled(1), scaled(POISON), scaled(5))
    await installation.append("good", scaled(1), scaled(2))
    installation.start_views([tally])
    await installation.caught_up([tally])
    await installation.append("bad", scaled(7), after=3)
    await installation.append("good", scaled(3), after=2)
    rows = await installation.rows(tally)
    assert [(row["id"], row["total"]) for row in rows] == [("bad", 1), ("good", 6)]
    assert await parked(installation) == [
        ("bad", "ArithmeticError: a bug in the fold"),
        ("bad", "an earlier event of this stream is parked"),
        ("bad", "an earlier event of this stream is parked"),
    ]


async def test_parked_events_are_applied_in_order_when_they_are_retried(
    installation: Installation, tally: View[TallyRow], fold: Fold
) -> None:
    await installation.append("bad", scaled(1), scaled(POISON), scaled(5))
    installation.start_views([tally])
    await installation.caught_up([tally])
    assert len(await parked(installation)) == 2

    await ask(installation, "retry_wanted")  # nothing was mended yet
    await no_retry_is_wanted(installation)
    assert len(await parked(installation)) == 2

    fold.cured = True
    await ask(installation, "retry_wanted")
    await no_retry_is_wanted(installation)
    assert await parked(installation) == []
    await installation.append("bad", scaled(2), after=3)
    [row] = await installation.rows(tally)
    assert (row["events"], row["total"]) == (4, 1 + POISON + 5 + 2)


async def test_what_follows_a_discarded_event_is_applied(
    installation: Installation, tally: View[TallyRow], fold: Fold
) -> None:
    fold.gaps = True
    await installation.append("bad", scaled(1), scaled(POISON), scaled(5))
    installation.start_views([tally])
    await installation.caught_up([tally])
    [found] = await installation.query("SELECT min(position) AS position FROM parked_events")
    async with installation.pool.connection() as connection:
        assert await discard_one(connection, "tally", found["position"])
        assert not await discard_one(connection, "tally", found["position"] + 1000)
    await installation.until("NOT EXISTS (SELECT FROM parked_events)")
    await installation.append("bad", scaled(2), after=3)
    [row] = await installation.rows(tally)
    assert (row["events"], row["total"]) == (3, 1 + 5 + 2)


async def test_a_rebuild_applies_what_was_parked(
    installation: Installation, tally: View[TallyRow], fold: Fold
) -> None:
    await installation.append("bad", scaled(POISON), scaled(5))
    installation.start_views([tally])
    await installation.caught_up([tally])
    fold.cured = True
    await ask(installation, "rebuild_wanted")
    await generation_becomes(installation, 2)
    [row] = await installation.rows(tally)
    assert row["events"] == 2
    # What was parked goes with the old generation, a moment after the new one is live.
    await installation.until("NOT EXISTS (SELECT FROM parked_events)")


@pytest.mark.parametrize("impossible", ["\0", "before \0 after"])
async def test_a_value_that_postgres_refuses_parks_exactly_its_event(
    installation: Installation, tally: View[TallyRow], impossible: str
) -> None:
    for number in range(5):
        await installation.append(f"before-{number}", scaled(1))
    await installation.append("bad", scaled(1), SessionEnded(reason=impossible), scaled(1))
    for number in range(5):
        await installation.append(f"after-{number}", SessionEnded(reason="fine"))
    installation.start_views([tally])
    rows = {row["id"]: row for row in await installation.rows(tally)}
    assert len(rows) == 11
    assert rows["bad"]["events"] == 1
    [(first, error), (second, because)] = await parked(installation)
    assert (first, second) == ("bad", "bad")
    assert "\\u0000" in error or "Unicode" in error
    assert because == "an earlier event of this stream is parked"


async def test_a_unique_name_that_is_in_use_parks_its_event(
    installation: Installation, tally: View[TallyRow]
) -> None:
    named = replace(tally, indexes=("UNIQUE note",))
    for stream in ("a", "b", "c"):
        name = "taken" if stream != "c" else "free"
        await installation.append(stream, scaled(1), SessionEnded(reason=name))
    installation.start_views([named])
    rows = await installation.rows(named)
    assert [(row["id"], row["note"]) for row in rows] == [
        ("a", "taken"),
        ("b", None),
        ("c", "free"),
    ]
    [(stream, error)] = await parked(installation)
    assert stream == "b"
    assert "unique" in error


async def test_retrying_what_postgres_still_refuses_does_not_stop_the_view(
    installation: Installation, tally: View[TallyRow]
) -> None:
    await installation.append("bad", SessionEnded(reason="\0"), scaled(1))
    installation.start_views([tally])
    await installation.caught_up([tally])
    before = await parked(installation)
    assert len(before) == 2
    await ask(installation, "retry_wanted")
    await no_retry_is_wanted(installation)
    assert await parked(installation) == before
    await installation.append("good", scaled(1))
    assert [row["id"] for row in await installation.rows(tally)] == ["good"]


async def test_two_kinds_of_trouble_in_one_batch_keep_their_own_reasons(
    installation: Installation, tally: View[TallyRow]
) -> None:
    await installation.append("bug", scaled(POISON))
    await installation.append("nul", SessionEnded(reason="\0"))
    await installation.append("good", scaled(1))
    installation.start_views([tally])
    assert [row["id"] for row in await installation.rows(tally)] == ["good"]
    reasons = dict(await parked(installation))
    assert reasons["bug"] == "ArithmeticError: a bug in the fold"
    assert "nul" in reasons


async def test_events_that_nobody_can_read_are_parked_and_the_audit_list_has_them_all(
    installation: Installation, tally: View[TallyRow]
) -> None:
    corpus = [
        ("nobody.Knows@1", b"{}"),
        ("deployments.DeploymentScaled@99", b"{}"),
        ("deployments.DeploymentScaled@1", b"not JSON"),
        ("deployments.DeploymentScaled@1", b'{"replicas":NaN}'),
        ("deployments.DeploymentScaled@1", b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        ("identity.SessionEnded@1", b'{"reason":"\\ud800"}'),
        ("identity.SessionEnded@1", b'{"reason":"\xff\xfe"}'),
        ("identity.SessionEnded@1", b'{"reason":"\\u0000"}'),
        ("identity.SessionEnded@1", b'{"reason":"' + b"x" * 10_000_000 + b'"}'),
        ("identity.UserRegistered@1", b'{"user_id":"u","team_id":"t","username":"clear"}'),
    ]
    for number, (topic, data) in enumerate(corpus):
        await installation.append_raw(f"odd-{number}", 1, topic, data)
        await installation.append(f"good-{number}", scaled(1))
    installation.start_views([tally, AUDIT])
    rows = [row["id"] for row in await installation.rows(tally)]
    assert rows == sorted([*(f"good-{n}" for n in range(len(corpus))), "odd-8"])
    audit = {row["stream_id"] for row in await installation.rows(AUDIT)}
    in_audit_trouble = {stream for stream, _ in await parked(installation, "audit")}
    assert len(audit) + len(in_audit_trouble) == 2 * len(corpus)
    assert {f"good-{n}" for n in range(len(corpus))} <= audit
    assert in_audit_trouble == set()


async def test_two_runners_on_one_view_count_nothing_twice(
    installation: Installation, tally: View[TallyRow]
) -> None:
    installation.start_views([tally, tally, tally])
    for version in range(60):
        await installation.append("a", scaled(1), after=version)
        await installation.append(f"b-{version % 7}", scaled(2), after=version // 7)
        await asyncio.sleep(0.002)
    rows = await installation.rows(tally)
    assert sum(row["events"] for row in rows) == 120
    assert await parked(installation) == []


async def test_a_crash_between_fold_and_commit_repeats_nothing(
    installation: Installation, tally: View[TallyRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = tables.save
    crashes = 0

    async def sometimes_dies(*arguments: Any, **named: Any) -> None:
        nonlocal crashes
        await save(*arguments, **named)
        if random.random() < 0.3:
            crashes += 1
            raise psycopg.OperationalError("the connection died before the commit")

    monkeypatch.setattr("workers.projection_runner.tables.save", sometimes_dies)
    monkeypatch.setattr("workers.projection_runner.PAUSE_SECONDS_MAX", 0.01)
    random.seed(7)
    installation.start_views([tally])
    for version in range(40):
        await installation.append("a", scaled(1), after=version)
        await asyncio.sleep(0.005)
    [row] = await installation.rows(tally)
    assert (row["events"], row["total"]) == (40, 40)
    assert crashes > 0
    assert await parked(installation) == []


async def test_killed_connections_neither_lose_nor_repeat(
    installation: Installation, tally: View[TallyRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.projection_runner.PAUSE_SECONDS_MAX", 0.05)
    installation.start_views([tally])
    for round_number in range(8):
        for step in range(10):
            await installation.append(f"s{step}", scaled(1), after=round_number)
        await installation.as_admin(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    rows = await installation.rows(tally)
    assert [row["events"] for row in rows] == [8] * 10


@asynccontextmanager
async def writing(installation: Installation) -> AsyncIterator[None]:
    """Append all the time."""

    async def write() -> None:
        version = 0
        while True:
            for number in range(5):
                await installation.append(f"s{number}", scaled(1), after=version)
            version += 1

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_rebuild_under_writes_never_shows_less_than_was_shown_before(
    installation: Installation, tally: View[TallyRow]
) -> None:
    installation.start_views([tally])
    shown = [0]

    async def watch() -> None:
        while True:
            [row] = await installation.query(
                "SELECT coalesce(sum(events), 0)::int AS events FROM views.tally"
            )
            shown.append(row["events"])

    await installation.append("first", *[scaled(1)] * 2000)
    await generation_becomes(installation, 1)
    await installation.caught_up([tally])
    async with writing(installation):
        watching = asyncio.create_task(watch())
        for generation in (2, 3, 4):
            await ask(installation, "rebuild_wanted")
            await generation_becomes(installation, generation)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert not watching.done() or watching.cancelled() or watching.exception() is None
    assert shown == sorted(shown)
    assert shown[1] >= 2000
    assert len(shown) > 20
    rows = await installation.rows(tally)
    assert sum(row["events"] for row in rows) == len(
        await installation.store.read_all(after=0, limit=1_000_000)
    )
    tables = "SELECT tablename FROM pg_tables WHERE starts_with(tablename, 'tally__')"
    left = await installation.query(tables)
    assert [row["tablename"] for row in left] == ["tally__4"]


async def test_a_changed_view_is_filled_beside_the_old_one_and_then_shown(
    installation: Installation, tally: View[TallyRow]
) -> None:
    class WiderRow(TallyRow, frozen=True, kw_only=True):
        doubled: int = 0

    def doubling(row: Any, event: DeploymentScaled, recorded: RecordedEvent) -> WiderRow:
        row = row or WiderRow(id=recorded.stream_id, events=0, last_version=0, total=0)
        return msgspec.structs.replace(row, doubled=row.doubled + 2 * event.replicas)

    await installation.append("a", scaled(4), scaled(5))
    stop = asyncio.Event()
    old = asyncio.create_task(installation.runner(tally).run(stop))
    assert [row["total"] for row in await installation.rows(tally)] == [9]
    stop.set()
    await old
    wider: View[Any] = replace(tally, row=WiderRow, fold=doubling, version=2)
    installation.start_views([wider])
    await generation_becomes(installation, 2)
    assert [row["doubled"] for row in await installation.rows(wider)] == [18]


class BreakingStream:
    """Breaks off once, when it is told."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.breaks = asyncio.Event()

    async def follow(
        self, topic: Topic, start: Cursor, *, batch_size_max: int
    ) -> AsyncIterator[Batch]:
        if not self.breaks.is_set():
            await self.breaks.wait()
            raise ConnectionError("the stream broke off")
        async for batch in self._stream.follow(topic, start, batch_size_max=batch_size_max):
            yield batch


async def test_a_view_whose_stream_breaks_off_while_it_asks_what_is_wanted_begins_again(
    installation: Installation, tally: View[TallyRow]
) -> None:
    stream = BreakingStream(installation.stream())

    class Runner(ProjectionRunner):
        async def _tick(self, generation: int) -> bool:
            wanted = await super()._tick(generation)
            if not stream.breaks.is_set():
                stream.breaks.set()
                assert self._following is not None
                await asyncio.wait({self._following})
            return wanted

    runner = Runner(
        tally,
        stream=stream,
        rebuild_stream=installation.stream(),
        reader=installation.store,
        decoder=installation.codec,
        pool=installation.pool,
        mover=installation.mover,
        wishes=installation.wishes,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    await stream.breaks.wait()
    await installation.append("a", scaled(1))
    await installation.caught_up([tally])
    assert [row["events"] for row in await installation.rows(tally)] == [1]
    stop.set()
    await running


async def test_a_runner_stops_at_once_even_while_the_database_is_away(
    tally: View[TallyRow],
) -> None:
    with PostgresServer(SCHEMAS) as server:
        async with open_installation(server, server.new_database()) as installation:
            await installation.append("a", scaled(1))
            stop = asyncio.Event()
            running = asyncio.create_task(installation.runner(tally).run(stop))
            await installation.caught_up([tally])
            server.kill()
            await asyncio.sleep(0.3)
            stop.set()
            async with asyncio.timeout(2):
                await running
            server.start()
