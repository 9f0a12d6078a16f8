"""Views that an event does not concern are moved on together, and each by its own rules."""

import asyncio

import pytest

from projections.moving import Move, Mover
from projections.tables import Fenced
from tests.wiring import Installation


def past(view: str, before: int | None, position: int) -> Move:
    return Move(
        view=view,
        generation=1,
        partition=0,
        before=before,
        position=position,
        sequence=position,
        live=True,
    )


async def positions(installation: Installation) -> dict[str, int]:
    async with installation.pool.connection() as connection:
        found = await connection.execute("SELECT view, position FROM view_positions")
        return {row[0]: row[1] for row in await found.fetchall()}


async def statements(installation: Installation) -> int:
    """Return how many transactions have changed positions; each has a number of its own."""
    async with installation.pool.connection() as connection:
        found = await connection.execute("SELECT count(DISTINCT xmin::text) FROM view_positions")
        row = await found.fetchone()
        assert row is not None
        return int(row[0])


async def test_what_comes_together_is_moved_by_one_statement(installation: Installation) -> None:
    mover, views = Mover(installation.pool), [f"view-{n}" for n in range(20)]
    await mover.move(past("first", None, 1))
    await asyncio.gather(*(mover.move(past(view, None, 3)) for view in views))
    assert await positions(installation) == {"first": 1, **dict.fromkeys(views, 3)}
    assert await statements(installation) == 2
    await asyncio.gather(*(mover.move(past(view, 3, 7)) for view in views))
    assert await positions(installation) == {"first": 1, **dict.fromkeys(views, 7)}
    assert await statements(installation) == 2


async def test_a_view_that_somebody_else_moved_is_fenced_and_all_others_go_on(
    installation: Installation,
) -> None:
    mover = Mover(installation.pool)
    await asyncio.gather(*(mover.move(past(view, None, 3)) for view in "abc"))
    moves = [past("a", 3, 5), past("b", 2, 5), past("c", None, 5), past("d", 3, 5)]
    ended = await asyncio.gather(*map(mover.move, moves), return_exceptions=True)
    assert [type(each) for each in ended] == [type(None), Fenced, Fenced, Fenced]
    assert await positions(installation) == {"a": 5, "b": 3, "c": 3}


async def test_whoever_is_ended_meanwhile_leaves_nothing_under_way_and_others_their_turn(
    installation: Installation,
) -> None:
    mover = Mover(installation.pool)
    ended, other = [asyncio.create_task(mover.move(past(view, None, 3))) for view in "ab"]
    await asyncio.sleep(0)
    ended.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ended
    await other
    assert await positions(installation) == {"a": 3, "b": 3}


async def test_trouble_is_told_to_each_and_the_next_move_is_tried_anew(
    installation: Installation,
) -> None:
    mover = Mover(installation.pool)
    too_far = [past(view, None, 2**63) for view in "ab"]
    ended = await asyncio.gather(*map(mover.move, too_far), return_exceptions=True)
    assert all(isinstance(each, Exception) for each in ended)
    await mover.move(past("a", None, 1))
    assert await positions(installation) == {"a": 1}
