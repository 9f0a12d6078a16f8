"""The rules of signing in on a device that has no browser (OAuth 2.0 device grant, RFC 8628).

The device asks for two codes: it keeps the long one and shows the short one. A person who is
signed in elsewhere types the short one there and approves or denies. Then the device exchanges the
long one, once, for a session of its own.
"""

from datetime import datetime, timedelta

import msgspec

from domain.identity.events import (
    DeviceSignInApproved,
    DeviceSignInCompleted,
    DeviceSignInDenied,
    DeviceSignInRequested,
)
from domain.identity.values import InvalidGrant, SignInMethod
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import NotFound, RuleViolated
from domain.kernel.events import Event

LIFETIME = timedelta(minutes=10)
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Of the short code: no vowels, so no words, and nothing that looks like something else."""
CODE_LENGTH = 8


class AuthorizationPending(RuleViolated):
    """Nobody has approved this device yet; ask again after the interval."""


class AccessDenied(RuleViolated):
    """Somebody refused to sign this device in; ask for new codes."""


class ExpiredToken(RuleViolated):
    """The codes of this device have expired; ask for new ones."""


class DeviceSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """One device that waits for a person."""

    device_id: str
    expires_at: datetime
    user_id: str | None = None
    """Who decided."""
    approved_epoch: int = 0
    method: SignInMethod = SignInMethod.PASSWORD
    denied: bool = False
    completed: bool = False

    def approve(
        self, *, user_id: str, method: SignInMethod, epoch: int, now: datetime
    ) -> list[Event]:
        """Let the device sign in as this person. The same person twice changes nothing."""
        if self._must_be_open_to(user_id, now=now, denies=False):
            return []
        return [
            DeviceSignInApproved(
                device_id=self.device_id, user_id=user_id, method=method, epoch=epoch
            )
        ]

    def deny(self, *, user_id: str, now: datetime) -> list[Event]:
        """Refuse the device. The same person twice changes nothing."""
        if self._must_be_open_to(user_id, now=now, denies=True):
            return []
        return [DeviceSignInDenied(device_id=self.device_id, user_id=user_id)]

    def complete(self, *, session_id: str, now: datetime) -> list[Event]:
        """Give the device its session, once."""
        if self.completed:
            raise InvalidGrant
        if now >= self.expires_at:
            raise ExpiredToken
        if self.denied:
            raise AccessDenied
        if self.user_id is None:
            raise AuthorizationPending
        return [
            DeviceSignInCompleted(
                device_id=self.device_id, user_id=self.user_id, session_id=session_id
            )
        ]

    def _must_be_open_to(self, user_id: str, *, now: datetime, denies: bool) -> bool:
        """Tell whether this person has decided so already; a stranger's code looks like none."""
        if now >= self.expires_at or self.completed:
            raise NotFound
        if self.user_id is None:
            return False
        if self.user_id != user_id or self.denied is not denies:
            raise NotFound
        return True


def evolve(state: DeviceSignIn | None, event: Event) -> DeviceSignIn | None:
    """Remember what was decided about the device."""
    match event:
        case DeviceSignInRequested():
            return DeviceSignIn(device_id=event.device_id, expires_at=event.expires_at)
        case DeviceSignInApproved() if state is not None:
            return msgspec.structs.replace(
                state, user_id=event.user_id, method=event.method, approved_epoch=event.epoch
            )
        case DeviceSignInDenied() if state is not None:
            return msgspec.structs.replace(state, user_id=event.user_id, denied=True)
        case DeviceSignInCompleted() if state is not None:
            return msgspec.structs.replace(state, completed=True)
    return state


DEVICE_SIGN_IN = Aggregate(name="device_sign_in", state=DeviceSignIn, evolve=evolve)


def shown(code: str) -> str:
    """Return the short code as it is shown: `BCDF-GHJK`."""
    return f"{code[: CODE_LENGTH // 2]}-{code[CODE_LENGTH // 2 :]}"


def typed(text: str) -> str | None:
    """Return the short code that somebody typed, in the one form it has; None for none."""
    code = "".join(letter for letter in text.upper() if letter not in " -_.")
    is_code = len(code) == CODE_LENGTH and all(letter in LETTERS for letter in code)
    return code if is_code else None
