"""Request frames as the meter makes them, and a log that has them."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import msgspec

from domain.metering.events import RequestsServed
from domain.metering.values import encode_lines
from infrastructure.event_store import Metadata, RecordedEvent, UnreadableEvent
from infrastructure.stream import Batch, Cursor, Progress, Topic, place_of

FRAME_TOPIC = "metering.RequestsServed@1"
NOON = int(datetime(2026, 3, 14, 12, tzinfo=UTC).timestamp() * 1000)


def line(**fields: object) -> dict[str, object]:
    """One request line in the gateway's own words; anything may be given."""
    return {
        "v": 1,
        "time": NOON,
        "id": "req-1",
        "pid": 77,
        "start": NOON - 1000,
        "n": 0,
        "deployment": "dpl-a",
        "team": "org-a",
        "key": "key-a",
        "method": "GET",
        "path": "/",
        "status": 200,
        "bytes_in": 100,
        "bytes_out": 1000,
        "total_ms": 12,
        "connect_ms": 1,
        "upstream_ms": 10,
        "ended": "--",
        "refused": "",
        "address": "192.0.2.7",
        **fields,
    }


def random_line(rng: random.Random, *, start: int = NOON, seconds: int = 3600) -> dict[str, object]:
    status = rng.choices([200, 201, 204, 301, 400, 401, 404, 429, 500, 503], k=1)[0]
    refused = "rate_limited" if status == 429 else "unauthorized" if status == 401 else ""
    return line(
        time=start + rng.randrange(seconds * 1000),
        id=f"req-{rng.randrange(10**9)}",
        deployment=rng.choice(["dpl-a", "dpl-b"]),
        team=rng.choice(["org-a", "org-b", "org-c"]),
        key=rng.choice(["key-a", "key-b", ""]),
        method=rng.choice(["GET", "POST"]),
        path=rng.choice(["/", "/users", "/ünï/😀", "/a\x00b", "/it's"]),
        status=status,
        bytes_in=rng.randrange(5000),
        bytes_out=rng.randrange(50_000),
        total_ms=int(rng.lognormvariate(3, 1)),
        connect_ms=-1 if refused else 1,
        refused=refused,
    )


def frame_of(written: Sequence[dict[str, object]], **fields: object) -> RequestsServed:
    text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in written).encode()
    times = [int(str(one["time"])) for one in written] or [0]
    frame = RequestsServed(
        gateway_id="gw-1",
        log="gw-1-1.jsonl",
        start_offset=0,
        end_offset=len(text),
        count=len(written),
        first_at=min(times),
        last_at=max(times),
        workers=(),
        lines=encode_lines(text),
    )
    return msgspec.structs.replace(frame, **fields)


class FrameCodec:
    """The codec, as far as frames go: they have no personal fields."""

    def encode(self, event: object) -> tuple[str, bytes]:
        return FRAME_TOPIC, msgspec.json.encode(event)

    def decode(self, topic: str, data: bytes) -> object:
        try:
            return msgspec.json.decode(data, type=RequestsServed)
        except msgspec.MsgspecError as error:
            raise UnreadableEvent(topic) from error


class FrameLog:
    """A log that has frames of several gateways, followed as a stream."""

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self.lines: list[tuple[RecordedEvent, list[dict[str, object]]]] = []
        self._grown = asyncio.Event()
        self._versions: dict[str, int] = {}

    def append(self, lines: list[dict[str, object]], gateway: str = "gw-1") -> RecordedEvent:
        _, data = FrameCodec().encode(frame_of(lines))
        event = self.append_raw(data, gateway)
        self.lines.append((event, lines))
        return event

    def append_raw(self, data: bytes, gateway: str = "gw-1") -> RecordedEvent:
        stream_id = f"requests-{gateway}-1"
        version = self._versions[stream_id] = self._versions.get(stream_id, 0) + 1
        event = RecordedEvent(
            position=len(self.events) * 3 + 5,  # positions have gaps
            stream_id=stream_id,
            version=version,
            topic=FRAME_TOPIC,
            data=data,
            event_id=uuid4(),
            metadata=Metadata(),
            recorded_at=datetime.now(UTC),
        )
        self.events.append(event)
        self._grown.set()
        return event

    async def follow(
        self, topic: Topic, start: Cursor, *, batch_size_max: int
    ) -> AsyncIterator[Batch]:
        assert topic is Topic.REQUESTS
        at = {part: start.get(part, Progress()).position for part in range(4)}
        while True:
            self._grown.clear()
            news = [e for e in self.events if e.position > at[place_of(e)[1]]][:batch_size_max]
            if not news:
                await self._grown.wait()
                continue
            for event in news:
                at[place_of(event)[1]] = event.position
            yield Batch(news, {part: Progress(position) for part, position in at.items()})
