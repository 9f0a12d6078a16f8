"""The same log through the `eventsourcing` library, for code that is not asynchronous.

The library's seams are filled with ours: the mapper keeps events as plain structs with stable
names, the recorder appends with our function (one round trip, advisory lock). `EventLog` is then
an ordinary `Application`: `repository.get`, `notification_log`, `recorder.select_events` all work,
for an operator's shell, a one-off import, an audit with the library's own tools.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from urllib.parse import unquote
from uuid import UUID, uuid4

import msgspec
from eventsourcing.application import Application
from eventsourcing.persistence import IntegrityError, Mapper, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from domain.kernel.events import Event
from infrastructure.event_store.codec import JsonCodec
from infrastructure.event_store.postgres import CHANNEL


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its place in its stream: what the library calls a domain event."""

    originator_id: str
    originator_version: int
    event: Event


class EventMapper(Mapper[str]):
    """Envelopes to stored events and back, through our codec."""

    codec: ClassVar[JsonCodec]

    def to_stored_event(self, domain_event: Any) -> StoredEvent:  # noqa: ANN401 - library's type
        """Return the event encoded, with its stable name."""
        topic, data = self.codec.encode(domain_event.event)
        return StoredEvent(domain_event.originator_id, domain_event.originator_version, topic, data)

    def to_domain_event(self, stored_event: StoredEvent) -> Any:  # noqa: ANN401 - library's type
        """Return the envelope; `UnreadableEvent` for a topic nobody knows."""
        event = self.codec.decode(stored_event.topic, stored_event.state)
        return Envelope(
            originator_id=str(stored_event.originator_id),
            originator_version=stored_event.originator_version,
            event=event,  # type: ignore[arg-type] # the catalogue holds only events
        )


class EventRecorder(PostgresApplicationRecorder):
    """The library's recorder on our table and our append function."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str) -> None:
        del events_table_name  # the library would name the table after the class
        super().__init__(datastore, events_table_name="events")
        self.channel_name = CHANNEL

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **_: object
    ) -> Sequence[int] | None:
        """Append in one round trip; raises the library's `IntegrityError` on a conflict."""
        if not stored_events:
            return []
        ids: list[UUID] = [uuid4() for _ in stored_events]
        with self.datastore.get_connection() as connection:
            row = connection.execute(
                "SELECT append_events(%s::text[], %s::bigint[], %s::text[], %s::bytea[],"
                " %s::uuid[], %s::text[], '{}', '{}', '{}', '{}') AS positions",
                (
                    [str(event.originator_id) for event in stored_events],
                    [event.originator_version for event in stored_events],
                    [event.topic for event in stored_events],
                    [event.state for event in stored_events],
                    ids,
                    ['{"actor":"library"}'] * len(stored_events),
                ),
            ).fetchone()
        return [] if row is None else row["positions"]

    def create_table(self) -> None:
        """Do nothing: the schema belongs to `tallyport migrate`."""


class EventLog(Application[str]):
    """The log as an application of the library."""

    def get(self, stream_id: str, replay: Callable[[Any, Sequence[Envelope]], Any]) -> Any:  # noqa: ANN401 - whatever replay returns
        """Return what `replay(None, envelopes)` makes of one stream."""
        return self.repository.get(stream_id, projector_func=replay)  # type: ignore[arg-type]


def open_log(conninfo: str, codec: JsonCodec) -> EventLog:
    """Return the log at this address. One codec per process."""
    EventMapper.codec = codec
    parts = conninfo_to_dict(conninfo)
    return EventLog(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "APPLICATION_RECORDER_TOPIC": f"{__name__}:EventRecorder",
            "MAPPER_TOPIC": f"{__name__}:EventMapper",
            "TRANSCODER_TOPIC": "eventsourcing.persistence:JSONTranscoder",
            "POSTGRES_DBNAME": str(parts["dbname"]),
            "POSTGRES_HOST": str(parts["host"]),
            "POSTGRES_PORT": str(parts.get("port", 5432)),
            "POSTGRES_USER": unquote(str(parts["user"])),
            "POSTGRES_PASSWORD": str(parts.get("password") or ""),
            "POSTGRES_ORIGINATOR_ID_TYPE": "text",
            "POSTGRES_LOCK_TIMEOUT": "2",
        }
    )


__all__ = ["EventLog", "EventMapper", "EventRecorder", "IntegrityError", "open_log"]
