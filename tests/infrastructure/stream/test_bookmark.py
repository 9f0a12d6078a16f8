"""Whatever order, loss or repetition Kafka makes of the records: each event once, in order."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from infrastructure.event_store import Metadata, RecordedEvent
from infrastructure.stream import FRAME_TOPIC_PREFIX, Progress, Topic, partitions_of, place_of
from infrastructure.stream.bookmark import Bookmark, Mark, Verdict, next_page
from tests.kafka.log import FACT, FRAME


class MemoryReader:
    """A store in memory."""

    def __init__(self, events: Sequence[RecordedEvent]) -> None:
        self._events = events

    async def read_stream(self, stream_id: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        return [e for e in self._events if e.stream_id == stream_id and e.version > after]

    async def read_all(
        self, *, after: int, up_to: int | None = None, limit: int, without_data_of: str = ""
    ) -> Sequence[RecordedEvent]:
        assert without_data_of in ("", FRAME_TOPIC_PREFIX)
        end = self._events[-1].position if up_to is None and self._events else up_to or 0
        return [e for e in self._events if after < e.position <= end][:limit]

    async def last_position(self) -> int:
        return self._events[-1].position if self._events else 0


def a_log(gateways: Sequence[int]) -> list[RecordedEvent]:
    """Return a log of facts (0) and of frames of the given gateways, with gaps in positions."""
    return [
        RecordedEvent(
            position=3 * n + 1,
            stream_id=f"gateway-{gateway}",
            version=n + 1,
            topic=FRAME if gateway else FACT,
            data=b"{}",
            event_id=UUID(int=n),
            metadata=Metadata(),
            recorded_at=datetime.fromtimestamp(n, UTC),
        )
        for n, gateway in enumerate(gateways)
    ]


def marks_of(log: Sequence[RecordedEvent], topic: Topic, epoch: int) -> list[Mark]:
    """Return what a perfect relay writes: an event's mark, and a watermark after it everywhere."""
    marks, counts = [], dict.fromkeys(range(partitions_of(topic)), 0)
    for event in log:
        its_topic, partition = place_of(event)
        if its_topic is topic:
            counts[partition] += 1
            marks.append(
                Mark(
                    partition=partition,
                    position=event.position,
                    sequence=counts[partition],
                    epoch=epoch,
                    is_event=True,
                )
            )
        marks += [
            Mark(
                partition=n,
                position=event.position,
                sequence=counts[n],
                epoch=epoch,
                is_event=False,
            )
            for n in counts
        ]
    return marks


@pytest.mark.parametrize("topic", Topic)
@pytest.mark.parametrize("quarter", range(4))
async def test_nothing_is_missed_or_repeated_whatever_kafka_brings(
    topic: Topic, quarter: int
) -> None:
    for seed in range(100 * quarter, 100 * quarter + 100):
        await one_storm(topic, random.Random(seed))


def bring(marks: Sequence[Mark], dice: random.Random) -> list[Mark]:
    """Return the records as a bad Kafka hands them over: cut, repeated, reordered, gone back."""
    loss, repeat, jump = (dice.choice([0.0, 0.05, 0.3]) for _ in range(3))
    brought: list[Mark] = []
    at = 0
    while at < len(marks) and len(brought) < 1000:
        if dice.random() >= loss:
            brought.append(marks[at])
        if dice.random() < repeat:
            brought.append(marks[at])
        at += 1
        if dice.random() < jump:
            at = max(0, at + dice.randint(-6, 6))
    return brought


async def one_storm(topic: Topic, dice: random.Random) -> None:
    gateways = [dice.choice([0, 0, dice.randint(1, 9)]) for _ in range(dice.randint(1, 30))]
    start, page = dice.choice([0, 0, dice.randint(0, 90)]), dice.randint(1, 5)
    log = a_log(gateways)
    reader = MemoryReader(log)
    marks = marks_of(log, topic, epoch=1) + marks_of(log, topic, epoch=2)
    brought = bring(marks, dice)
    by_mark = {(place_of(e), e.position): e for e in log}
    bookmark = Bookmark(
        topic, {n: Progress(position=start) for n in range(partitions_of(topic)) if start}
    )
    seen: list[RecordedEvent] = []

    async def fill(up_to: int | None) -> None:
        while True:
            batch, _ = await next_page(reader, bookmark, up_to=up_to, limit=page)
            if batch is None:
                return
            seen.extend(batch.events)

    for mark in brought:
        verdict = bookmark.judge(mark)
        if verdict is Verdict.NEXT:
            bookmark.step(mark)
            if mark.is_event:
                seen.append(by_mark[((topic, mark.partition), mark.position)])
        elif verdict is Verdict.HOLE:
            await fill(mark.position)
            assert bookmark.settle(mark)
    await fill(None)

    expected = [e for e in log if place_of(e)[0] is topic and e.position > start]
    for partition in range(partitions_of(topic)):
        assert [e for e in seen if place_of(e)[1] == partition] == [
            e for e in expected if place_of(e)[1] == partition
        ]


async def test_a_record_of_the_future_is_not_believed() -> None:
    log = a_log([0, 0, 0])
    bookmark = Bookmark(Topic.EVENTS, {})
    invented = Mark(partition=0, position=10**12, sequence=10**9, epoch=9, is_event=True)
    assert bookmark.judge(invented) is Verdict.HOLE
    await next_page(MemoryReader(log), bookmark, up_to=invented.position, limit=10)
    assert bookmark.settle(invented)
    assert bookmark.progress() == {0: Progress(position=7, sequence=3)}


async def test_a_count_that_differs_from_the_store_is_noticed() -> None:
    log = a_log([0, 0, 0])
    bookmark = Bookmark(Topic.EVENTS, {})
    miscounted = Mark(partition=0, position=7, sequence=5, epoch=1, is_event=True)
    assert bookmark.judge(miscounted) is Verdict.HOLE
    await next_page(MemoryReader(log), bookmark, up_to=7, limit=10)
    assert not bookmark.settle(miscounted)


async def test_repeats_ask_nobody_and_a_new_epoch_is_checked_once() -> None:
    log = a_log([0, 0, 0, 0])
    bookmark = Bookmark(Topic.EVENTS, {})
    old, new = (
        [mark for mark in marks_of(log, Topic.EVENTS, epoch) if mark.is_event] for epoch in (1, 2)
    )
    assert bookmark.judge(old[0]) is Verdict.HOLE  # the first is always checked
    await next_page(MemoryReader(log), bookmark, up_to=old[0].position, limit=10)
    assert bookmark.settle(old[0])
    assert bookmark.judge(old[0]) is Verdict.PASSED
    assert bookmark.judge(old[1]) is Verdict.NEXT
    assert bookmark.judge(new[1]) is Verdict.HOLE
    await next_page(MemoryReader(log), bookmark, up_to=new[1].position, limit=10)
    assert bookmark.settle(new[1])
    assert bookmark.judge(new[2]) is Verdict.NEXT
