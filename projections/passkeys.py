"""The passkeys that people have."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.identity.events import PasskeyAdded, PasskeyRemoved, PasskeyUsed
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Listing, Page, Reader, Window
from projections.view import Change, View


class PasskeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A passkey."""

    id: str
    user_id: str
    name: str
    synced: bool
    created_at: datetime
    last_used_at: datetime | None = None


def _changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    if isinstance(event, PasskeyAdded | PasskeyUsed | PasskeyRemoved):
        return [((event.passkey_id,), event)]
    return []


def _fold(row: PasskeyRow | None, event: object, recorded: RecordedEvent) -> PasskeyRow | None:
    match event:
        case PasskeyAdded():
            return PasskeyRow(
                id=event.passkey_id,
                user_id=event.user_id,
                name=event.name,
                synced=event.synced,
                created_at=recorded.recorded_at,
            )
        case PasskeyUsed() if row is not None:
            return msgspec.structs.replace(row, last_used_at=recorded.recorded_at)
        case PasskeyRemoved():
            return None
    return row


PASSKEYS = View(
    name="passkeys",
    version=1,
    topic=Topic.EVENTS,
    row=PasskeyRow,
    key=("id",),
    changes=_changes,
    fold=_fold,
    person="user_id",
    indexes=("user_id, created_at",),
)

PASSKEY_LISTING = Listing(
    sorts={"createdAt": "created_at"},
    sort_default="createdAt",
    id_column="id",
    kinds=PASSKEYS.columns,
)


async def list_passkeys(reader: Reader, window: Window, *, user_id: str) -> Page[PasskeyRow]:
    """Return a person's passkeys."""
    return await reader.page(
        PasskeyRow,
        "SELECT * FROM views.passkeys WHERE user_id = %s",
        user_id,
        listing=PASSKEY_LISTING,
        window=window,
    )
