"""Events to bytes and back: typed JSON, personal fields sealed, old versions lifted to today's.

The registry is closed: a topic that is not in it is refused, never looked up as Python code. An
*upcaster* is a pure function from the content of version N to that of N+1.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from domain.kernel.events import ERASED, Event, personal_fields
from infrastructure.event_store import RecordedEvent, UnreadableEvent
from infrastructure.sealing import KeyDestroyed, Vault, subjects_in

Content = dict[str, object]
Upcaster = Callable[[Content], Content]

_PERSON = "user_id"


class JsonCodec:
    """Encodes and decodes with the catalogue of all events.

    `catalogue` maps the topic (`name@version`) to the type for the newest version of each event;
    `upcasters` maps an older topic to the function that lifts it one version up.
    """

    def __init__(
        self,
        catalogue: Mapping[str, type[msgspec.Struct]],
        upcasters: Mapping[str, Upcaster],
        vault: Vault,
    ) -> None:
        self._types = dict(catalogue)
        self._topics: dict[type, str] = {kind: topic for topic, kind in catalogue.items()}
        self._upcasters = dict(upcasters)
        self._vault = vault
        self._decoders = {topic: msgspec.json.Decoder(t) for topic, t in catalogue.items()}
        self._encoder = msgspec.json.Encoder()

    def encode(self, event: object) -> tuple[str, bytes]:
        """Return the topic and the JSON bytes; the keys of personal fields must be loaded."""
        event_type = type(event)
        topic = self._topics[event_type]
        personal = personal_fields(event_type)  # type: ignore[arg-type] # it is in the catalogue
        if not personal:
            return topic, self._encoder.encode(event)
        content: Content = msgspec.to_builtins(event)
        subject = str(content[_PERSON])
        for field in personal:
            if (text := content.get(field)) is not None:
                purpose = f"{topic.partition('@')[0]}.{field}"
                content[field] = self._vault.seal(str(text), subject=subject, purpose=purpose)
        return topic, self._encoder.encode(content)

    def decode(self, topic: str, data: bytes) -> object:
        """Return the event; the keys of its personal fields must be loaded."""
        try:
            if topic in self._upcasters:
                topic, data = self._upcast(topic, data)
            event = self._decoders[topic].decode(data)
            return self._opened(event, topic)
        except KeyError as error:
            raise UnreadableEvent(f"nobody knows the event {topic!r}") from error
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
            raise UnreadableEvent(f"the content does not fit {topic!r}: {error}") from error

    async def decode_all(self, events: Sequence[RecordedEvent]) -> list[object]:
        """Return the events, or an `UnreadableEvent` in place of one that cannot be read."""
        subjects: set[str] = set()
        for event in events:
            subjects |= subjects_in(event.data)
        await self._vault.load(subjects)
        return [self._decode_or_error(event) for event in events]

    async def encode_all(self, events: Sequence[Event]) -> list[tuple[str, bytes]]:
        """Return topic and bytes of each event, fetching the keys it needs first."""
        people = {str(getattr(event, _PERSON)) for event in events if personal_fields(type(event))}
        await self._vault.load(people)
        return [self.encode(event) for event in events]

    def _decode_or_error(self, event: RecordedEvent) -> object:
        try:
            return self.decode(event.topic, event.data)
        except UnreadableEvent as error:
            return error

    def _opened(self, event: msgspec.Struct, topic: str) -> msgspec.Struct:
        """Return the event with its personal fields in clear."""
        personal = personal_fields(type(event))
        if not personal:
            return event
        name = topic.partition("@")[0]
        opened = {
            field: self._open(sealed, f"{name}.{field}")
            for field in personal
            if (sealed := getattr(event, field)) is not None
        }
        return msgspec.structs.replace(event, **opened)

    def _open(self, sealed: str, purpose: str) -> str:
        try:
            return self._vault.open(sealed, purpose=purpose)
        except KeyDestroyed:
            return ERASED

    def _upcast(self, topic: str, data: bytes) -> tuple[str, bytes]:
        content: Content = msgspec.json.decode(data)
        while topic in self._upcasters:
            content = self._upcasters[topic](content)
            name, _, version = topic.partition("@")
            topic = f"{name}@{int(version) + 1}"
        return topic, msgspec.json.encode(content)
