"""What people have besides a password."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.identity.events import (
    RecoveryCodesReplaced,
    RecoveryCodeUsed,
    TotpDisabled,
    TotpEnabled,
)
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Reader
from projections.view import Change, View

_CHANGES = (TotpEnabled, TotpDisabled, RecoveryCodeUsed, RecoveryCodesReplaced)


class SecondFactorRow(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a person signs in with codes."""

    user_id: str
    enabled_at: datetime | None = None
    recovery_codes_left: int = 0


def _changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    return [((event.user_id,), event)] if isinstance(event, _CHANGES) else []


def _fold(
    row: SecondFactorRow | None, event: object, recorded: RecordedEvent
) -> SecondFactorRow | None:
    match event:
        case TotpEnabled():
            return SecondFactorRow(
                user_id=event.user_id,
                enabled_at=recorded.recorded_at,
                recovery_codes_left=len(event.recovery_hashes),
            )
        case TotpDisabled():
            return SecondFactorRow(user_id=event.user_id)
        case RecoveryCodesReplaced() if row is not None:
            return msgspec.structs.replace(row, recovery_codes_left=len(event.recovery_hashes))
        case RecoveryCodeUsed() if row is not None:
            return msgspec.structs.replace(row, recovery_codes_left=row.recovery_codes_left - 1)
    return row


SECOND_FACTORS = View(
    name="second_factors",
    version=1,
    topic=Topic.EVENTS,
    row=SecondFactorRow,
    key=("user_id",),
    changes=_changes,
    fold=_fold,
    person="user_id",
)


async def second_factors_of(reader: Reader, user_id: str) -> SecondFactorRow | None:
    """Return what a person has besides the password."""
    return await reader.row(
        SecondFactorRow, "SELECT * FROM views.second_factors WHERE user_id = %s", user_id
    )
