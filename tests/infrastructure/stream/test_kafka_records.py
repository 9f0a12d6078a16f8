from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

import pytest

from infrastructure.event_store import Metadata, RecordedEvent
from infrastructure.stream import Outgoing, Topic, place_of
from infrastructure.stream.kafka_records import UnreadableRecord, event_of, headers_of, mark_of

EVENT = RecordedEvent(
    position=7,
    stream_id="deployment-ü",
    version=3,
    topic="deployments.DeploymentScaled@1",
    data=b'{"replicas": 3}',
    event_id=uuid4(),
    metadata=Metadata(actor="u-1", address="127.0.0.1", correlation_id="c", causation_id="d"),
    recorded_at=datetime(2026, 11, 23, 2, 3, 4, 123456, tzinfo=UTC),
)


def record(**changes: object) -> SimpleNamespace:
    sent = Outgoing(place=place_of(EVENT), position=7, sequence=5, epoch=2, event=EVENT)
    parts = {
        "topic": Topic.EVENTS.value,
        "partition": 0,
        "key": EVENT.stream_id.encode(),
        "value": EVENT.data,
        "headers": headers_of(sent),
    }
    return SimpleNamespace(**{**parts, **changes})


def test_an_event_comes_back_exactly() -> None:
    assert event_of(record()) == EVENT


def test_the_headers_are_a_cloud_event() -> None:
    headers = dict(record().headers)
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_id"] == str(EVENT.event_id).encode()
    assert headers["ce_type"] == b"deployments.DeploymentScaled@1"
    assert headers["ce_subject"] == EVENT.stream_id.encode()
    assert headers["correlation_id"] == b"c"
    assert headers["causation_id"] == b"d"


def test_a_watermark_marks_a_place_and_is_no_event() -> None:
    headers = headers_of(Outgoing(place=(Topic.EVENTS, 0), position=9, sequence=5, epoch=2))
    mark = mark_of(record(headers=headers, key=None, value=b""))
    assert (mark.position, mark.sequence, mark.epoch, mark.is_event) == (9, 5, 2, False)


def read(broken: SimpleNamespace) -> None:
    mark_of(broken)
    event_of(broken)


HEADERS = dict(record().headers)


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": []},
        {"headers": [("position", b"\xff"), ("sequence", b"1"), ("epoch", b"1")]},
        {"headers": [("position", None), ("sequence", b"1"), ("epoch", b"1")]},
        {"headers": [*{**HEADERS, "ce_time": b"yesterday"}.items()]},
        {"headers": [*{**HEADERS, "ce_type": b"\xff\xfe"}.items()]},
        {"headers": [*{**HEADERS, "ce_id": b"7"}.items()]},
        {"headers": [*{**HEADERS, "metadata": b'{"actor": 1}'}.items()]},
        {"headers": [(k, v) for k, v in HEADERS.items() if k != "version"]},
        {"key": None},
        {"key": b"\xff"},
        {"value": None},
        {"topic": "tallyport.requests"},
    ],
)
def test_a_record_that_is_not_ours_is_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(UnreadableRecord):
        read(record(**changes))
