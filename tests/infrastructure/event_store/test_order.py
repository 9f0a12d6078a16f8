"""No reader ever skips an event: positions are the order of commits, whoever writes."""

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

import msgspec

from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from tests.wiring import Installation

ROOT = Path(__file__).parents[3]
WRITERS = 5
SECONDS = 2.5
Acknowledged = list[tuple[float, float, int]]


class Reader:
    """Reads the log as fast as it can while others write, never looking back."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.seen: list[RecordedEvent] = []

    async def tail(self) -> None:
        """Ask for the next page again and again."""
        last = 0
        while True:
            page = await self._installation.store.read_all(after=last, limit=50)
            self.seen += page
            last = page[-1].position if page else last

    async def follow(self) -> None:
        """Follow as a projector does."""
        stream = self._installation.stream()
        async with aclosing(
            stream.follow(Topic.EVENTS, {}, batch_size_max=37)  # type: ignore[type-var]
        ) as batches:
            async for batch in batches:
                self.seen += batch.events


async def test_nobody_ever_skips_an_event_of_five_writing_processes(
    installation: Installation,
) -> None:
    tailing, following = Reader(installation), Reader(installation)
    reading = [asyncio.create_task(tailing.tail()), asyncio.create_task(following.follow())]
    try:
        acknowledged = await asyncio.gather(
            *(run_writer(installation.conninfo, f"writer{n}") for n in range(WRITERS))
        )
        last = await installation.store.last_position()
        async with asyncio.timeout(60):
            while any(r.seen[-1].position < last for r in (tailing, following)):  # noqa: ASYNC110 - a database is waited for
                await asyncio.sleep(0.01)
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    stored = await installation.store.read_all(after=0, limit=10_000_000)
    positions = [event.position for event in stored]
    assert [event.position for event in tailing.seen] == positions
    assert [event.position for event in following.seen] == positions
    everything = [one for some in acknowledged for one in some]
    assert len(everything) > 100
    assert {position for _, _, position in everything} <= set(positions)
    assert_real_time_order(everything)


async def run_writer(conninfo: str, name: str) -> Acknowledged:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.infrastructure.event_store.writer_process"),
        *(conninfo, name, str(SECONDS)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return msgspec.json.decode(output, type=Acknowledged)


def assert_real_time_order(acknowledged: Acknowledged) -> None:
    """Assert that what was acknowledged before another append began has the smaller position."""
    by_end = sorted(acknowledged, key=lambda one: one[1])
    finished, highest = 0, 0
    for began, _, position in sorted(acknowledged):
        while by_end[finished][1] < began:
            highest = max(highest, by_end[finished][2])
            finished += 1
        assert position > highest
