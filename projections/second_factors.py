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
from domain.identity.values import SignInMethod
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


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """How sure it is that a session is still its person's."""

    authenticated_at: datetime
    """When the person last proved to be there."""
    method: SignInMethod
    has_second_factor: bool
    """Whether the person could have proved more than the password."""


async def proof_of(reader: Reader, session_id: str) -> Proof | None:
    """Return by what, and when, the person of a session proved to be there."""
    return await reader.row(
        Proof,
        "SELECT s.authenticated_at, s.method,"
        " (EXISTS (SELECT FROM views.second_factors AS f"
        " WHERE f.user_id = s.user_id AND f.enabled_at IS NOT NULL)"
        " OR EXISTS (SELECT FROM views.passkeys AS p WHERE p.user_id = s.user_id))"
        " AS has_second_factor FROM views.sessions AS s WHERE s.id = %s",
        session_id,
    )
