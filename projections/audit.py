"""The audit list: one row for every event of the control plane, in log order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from infrastructure.event_store import RecordedEvent
from infrastructure.sealing import mask
from infrastructure.stream import Topic
from projections.view import Change, View

_NEVER_SHOWN = frozenset({"secret_hash", "refresh_hash", "password_hash"})


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, when, from where, to what."""

    position: int
    event_id: str
    recorded_at: datetime
    stream_id: str
    version: int
    type: str
    actor: str
    team_id: str | None
    address: str | None
    correlation_id: str | None
    content: dict[str, Any]
    """What the event says, with everything sealed or secret left out."""


def _changes(_: object, recorded: RecordedEvent) -> Sequence[Change]:
    return [((recorded.position,), recorded)]


def _fold(_: AuditRow | None, recorded: RecordedEvent, __: RecordedEvent) -> AuditRow:
    return AuditRow(
        position=recorded.position,
        event_id=str(recorded.event_id),
        recorded_at=recorded.recorded_at,
        stream_id=recorded.stream_id,
        version=recorded.version,
        type=recorded.topic.partition("@")[0],
        actor=recorded.metadata.actor,
        team_id=recorded.metadata.team_id,
        address=recorded.metadata.address,
        correlation_id=recorded.metadata.correlation_id,
        content=public_content(recorded.data),
    )


def public_content(data: bytes) -> dict[str, Any]:
    """Return an event's content as anybody who may see the event may read it."""
    try:
        content = msgspec.json.decode(mask(data.decode(errors="replace")))
    except msgspec.DecodeError:
        return {"unreadable": True}
    if not isinstance(content, dict):
        return {"unreadable": True}
    return {name: value for name, value in content.items() if name not in _NEVER_SHOWN}


AUDIT = View(
    name="audit",
    version=1,
    topic=Topic.EVENTS,
    row=AuditRow,
    key=("position",),
    changes=_changes,
    fold=_fold,
    indexes=("team_id, position", "stream_id, version"),
    append_only=True,
    reads_raw=True,
)
