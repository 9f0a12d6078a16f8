"""Ending asyncio tasks for sure.

Before Python 3.12 `asyncio.wait_for`, by which psycopg waits, may lose a cancellation that comes
together with a result. So whoever ends a task here asks again until it has ended.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_AGAIN_SECONDS = 0.5


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel the tasks and wait for their end; what they raised is theirs to tell."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


async def share(work: asyncio.Future[T]) -> T:
    """Return what work returns that several wait for, and that none of them ends.

    Who is cancelled meanwhile stays until its end, so there is nothing that nobody waits for.
    """
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()
        raise


async def end_on(stop: asyncio.Event, *work: Coroutine[Any, Any, None]) -> None:
    """Do all of the work, and end it in the middle when told to stop.

    The first piece that ends, ends the others; what it raised is raised.
    """
    working = [asyncio.ensure_future(one) for one in work]
    stopping = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait([*working, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()
    finally:
        await end(*working, stopping)
