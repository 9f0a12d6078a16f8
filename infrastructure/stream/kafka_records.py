"""An event as a Kafka record and back, exactly.

Key: the stream's id. Value: the stored bytes, untouched. Headers: the attributes of CloudEvents
(binary mode) and what an event needs to be rebuilt. A watermark is a record without an event.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from infrastructure.event_store import Metadata, RecordedEvent
from infrastructure.stream import Outgoing, Topic, place_of
from infrastructure.stream.bookmark import Mark

Headers = list[tuple[str, bytes]]

_SOURCE = b"tallyport"
_metadata_encoder = msgspec.json.Encoder()
_metadata_decoder = msgspec.json.Decoder(Metadata)


class KafkaRecord(Protocol):
    """The part of a consumed record that is read here."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class UnreadableRecord(Exception):
    """The record was not written by the relay, or is damaged."""


def headers_of(record: Outgoing) -> Headers:
    """Return the headers of an event or of a watermark."""
    headers = [
        ("position", b"%d" % record.position),
        ("sequence", b"%d" % record.sequence),
        ("epoch", b"%d" % record.epoch),
    ]
    event = record.event
    if event is None:
        return [("kind", b"watermark"), *headers]
    metadata = event.metadata
    headers += [
        ("version", b"%d" % event.version),
        ("metadata", _metadata_encoder.encode(metadata)),
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event.event_id).encode()),
        ("ce_source", _SOURCE),
        ("ce_type", event.topic.encode()),
        ("ce_subject", event.stream_id.encode()),
        ("ce_time", event.recorded_at.isoformat().encode()),
    ]
    if metadata.correlation_id is not None:
        headers.append(("correlation_id", metadata.correlation_id.encode()))
    if metadata.causation_id is not None:
        headers.append(("causation_id", metadata.causation_id.encode()))
    return headers


def mark_of(record: KafkaRecord) -> Mark:
    """Return what a record claims; raises `UnreadableRecord` if it claims nothing."""
    try:
        headers = dict(record.headers)
        return Mark(
            partition=record.partition,
            position=int(headers["position"]),
            sequence=int(headers["sequence"]),
            epoch=int(headers["epoch"]),
            is_event="kind" not in headers,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise UnreadableRecord(repr(error)) from error


def event_of(record: KafkaRecord) -> RecordedEvent:
    """Return the event in a record, equal to the stored one; raises `UnreadableRecord`."""
    try:
        headers = dict(record.headers)
        if record.key is None or record.value is None:
            raise UnreadableRecord("no key or no value")
        event = RecordedEvent(
            position=int(headers["position"]),
            stream_id=record.key.decode(),
            version=int(headers["version"]),
            topic=headers["ce_type"].decode(),
            data=bytes(record.value),
            event_id=UUID(headers["ce_id"].decode()),
            metadata=_metadata_decoder.decode(headers["metadata"]),
            recorded_at=datetime.fromisoformat(headers["ce_time"].decode()),
        )
    except (KeyError, ValueError, TypeError, AttributeError, msgspec.MsgspecError) as error:
        raise UnreadableRecord(repr(error)) from error
    if place_of(event) != (Topic(record.topic), record.partition):
        raise UnreadableRecord("in the wrong partition")
    return event
