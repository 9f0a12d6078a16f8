"""The rules of what a person has besides the password: an app with codes, passkeys.

A code counts once, and wrong ones are counted here, in the log: neither a restart nor another
address gives anybody more tries. They are asked for only after the right password, so a stranger
uses nobody's tries up. A recovery code has too many bits to be guessed and needs no such limit:
it is the way in while somebody else uses the tries up.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain.identity.events import (
    PasskeyAdded,
    PasskeyCountWentBack,
    PasskeyRemoved,
    PasskeyUsed,
    RecoveryCodesReplaced,
    RecoveryCodeUsed,
    SecondFactorRefused,
    TotpCodeAccepted,
    TotpDisabled,
    TotpEnabled,
    TotpPrepared,
)
from domain.identity.values import CHALLENGE_LIFETIME
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import AlreadyTaken, LimitReached, NotAllowed, NotFound, RuleViolated
from domain.kernel.events import Event

CONFIRM_WITHIN = timedelta(minutes=10)
TRIES_MAX = 5
TRIES_WINDOW = timedelta(minutes=5)
PASSKEYS_MAX = 10


class SecondFactorIsOn(AlreadyTaken):
    """Codes are asked for already; turn them off before you set up another app."""


class SecondFactorIsOff(RuleViolated):
    """No codes are asked for; there is nothing to change."""


class NothingToConfirm(RuleViolated):
    """No app waits for its first code, or it waited too long; begin again."""


class OtpRequired(NotAllowed):
    """The password is right. Send a code of your app, or a recovery code, with it as otp."""


class OtpWrong(NotAllowed):
    """This code is wrong, too old, or was used before."""


class TooManyCodes(LimitReached):
    """Too many wrong codes. A recovery code is accepted at any time."""


class TooManyPasskeys(RuleViolated):
    """Nobody has so many passkeys; remove one first."""


class PasskeyRefused(NotAllowed):
    """This passkey does not sign you in."""


class Passkey(msgspec.Struct, frozen=True, kw_only=True):
    """One authenticator's key for us."""

    passkey_id: str
    credential_id: str
    public_key: str
    sign_count: int


class SecondFactors(msgspec.Struct, frozen=True, kw_only=True):
    """What one person has besides the password."""

    user_id: str
    prepared_secret: str | None = None
    prepared_until: datetime | None = None
    secret: str | None = None
    last_step: int = 0
    recovery_hashes: tuple[str, ...] = ()
    refused_at: tuple[datetime, ...] = ()
    """Of the newest wrong codes, as many as count."""
    passkeys: tuple[Passkey, ...] = ()
    challenges: tuple[tuple[str, datetime], ...] = ()
    """The hashes of those that were answered, and when, for as long as they would live."""

    def prepare(self, *, secret: str, now: datetime) -> list[Event]:
        """Give an app its secret. One that was given before and not confirmed is forgotten."""
        if self.secret is not None:
            raise SecondFactorIsOn
        until = now + CONFIRM_WITHIN
        return [TotpPrepared(user_id=self.user_id, secret=secret, expires_at=until)]

    def waiting_secret(self, now: datetime) -> str:
        """Return the secret that waits to be confirmed."""
        if self.prepared_secret is None or self.prepared_until is None or now > self.prepared_until:
            raise NothingToConfirm
        return self.prepared_secret

    def confirm(
        self, *, step: int | None, recovery_hashes: Sequence[str], now: datetime
    ) -> list[Event]:
        """Turn codes on if one was right: `step` is its step, None if it was of none."""
        self.waiting_secret(now)
        self.must_have_tries(now)
        if step is None or step <= self.last_step:
            return [SecondFactorRefused(user_id=self.user_id, refused_at=now)]
        hashes = tuple(recovery_hashes)
        return [TotpEnabled(user_id=self.user_id, step=step, recovery_hashes=hashes)]

    def present_secret(self) -> str:
        """Return the secret of the app whose codes count."""
        if self.secret is None:
            raise SecondFactorIsOff
        return self.secret

    def accept(self, *, step: int | None, now: datetime) -> list[Event]:
        """Use a code up, or count a wrong one."""
        self.must_have_tries(now)
        if step is None or step <= self.last_step:
            return [SecondFactorRefused(user_id=self.user_id, refused_at=now)]
        return [TotpCodeAccepted(user_id=self.user_id, step=step)]

    def accept_recovery_code(self, code_hash: str) -> list[Event]:
        """Use a recovery code up."""
        if code_hash not in self.recovery_hashes:
            raise OtpWrong
        return [RecoveryCodeUsed(user_id=self.user_id, code_hash=code_hash)]

    def must_have_tries(self, now: datetime) -> None:
        """Refuse while too many codes were wrong, even a right one."""
        if not self.has_tries(now):
            wait = self.refused_at[0] + TRIES_WINDOW - now
            raise TooManyCodes(retry_after_seconds=int(wait.total_seconds()) + 1)

    def has_tries(self, now: datetime) -> bool:
        """Tell whether a code may be tried."""
        return sum(now - at < TRIES_WINDOW for at in self.refused_at) < TRIES_MAX

    def replace_recovery_codes(self, recovery_hashes: Sequence[str]) -> list[Event]:
        """Make the codes before void."""
        self.present_secret()
        hashes = tuple(recovery_hashes)
        return [RecoveryCodesReplaced(user_id=self.user_id, recovery_hashes=hashes)]

    def disable(self) -> list[Event]:
        """Ask for no codes any more."""
        self.present_secret()
        return [TotpDisabled(user_id=self.user_id)]

    def add_passkey(self, added: PasskeyAdded) -> list[Event]:
        """Let a passkey sign in."""
        self.must_have_room()
        return [added]

    def must_have_room(self) -> None:
        """Refuse one passkey more than anybody needs."""
        if len(self.passkeys) >= PASSKEYS_MAX:
            raise TooManyPasskeys(passkeys_max=PASSKEYS_MAX)

    def passkey_of(self, credential_id: str) -> Passkey:
        """Return the passkey that its authenticator names so."""
        for passkey in self.passkeys:
            if passkey.credential_id == credential_id:
                return passkey
        raise PasskeyRefused

    def use_passkey(
        self, passkey: Passkey, *, sign_count: int, challenge_hash: str, now: datetime
    ) -> list[Event]:
        """Take what a passkey signed rightly, unless it was taken before or the key was copied.

        An authenticator that does not count says 0 each time.
        """
        if any(challenge_hash == answered for answered, _ in self.challenges):
            raise PasskeyRefused
        if (sign_count or passkey.sign_count) and sign_count <= passkey.sign_count:
            return [
                PasskeyCountWentBack(
                    user_id=self.user_id,
                    passkey_id=passkey.passkey_id,
                    sign_count=sign_count,
                    seen_at=now,
                )
            ]
        return [
            PasskeyUsed(
                user_id=self.user_id,
                passkey_id=passkey.passkey_id,
                sign_count=sign_count,
                challenge_hash=challenge_hash,
                used_at=now,
            )
        ]

    def remove_passkey(self, passkey_id: str) -> list[Event]:
        """Let a passkey sign in no more."""
        if passkey_id not in {passkey.passkey_id for passkey in self.passkeys}:
            raise NotFound
        return [PasskeyRemoved(user_id=self.user_id, passkey_id=passkey_id)]


def evolve(state: SecondFactors | None, event: Event) -> SecondFactors | None:
    """Remember what happened to the person's factors."""
    match event:
        case TotpPrepared():
            return msgspec.structs.replace(
                state or SecondFactors(user_id=event.user_id),
                prepared_secret=event.secret,
                prepared_until=event.expires_at,
            )
        case PasskeyAdded():
            return _with_passkey(state or SecondFactors(user_id=event.user_id), event)
        case _ if state is not None:
            return msgspec.structs.replace(state, **_changed(state, event))
    return state


def _changed(state: SecondFactors, event: Event) -> dict[str, Any]:
    """Return the fields that the event changes."""
    changed: dict[str, Any] = {}
    match event:
        case TotpEnabled():
            changed["secret"], changed["last_step"] = state.prepared_secret, event.step
            changed["prepared_secret"] = changed["prepared_until"] = None
            changed["recovery_hashes"] = event.recovery_hashes
        case TotpCodeAccepted():
            changed["last_step"] = event.step
        case SecondFactorRefused():
            changed["refused_at"] = (*state.refused_at, event.refused_at)[-TRIES_MAX:]
        case RecoveryCodeUsed():
            left = tuple(each for each in state.recovery_hashes if each != event.code_hash)
            changed["recovery_hashes"] = left
        case RecoveryCodesReplaced():
            changed["recovery_hashes"] = event.recovery_hashes
        case TotpDisabled():
            changed["secret"], changed["recovery_hashes"] = None, ()
        case PasskeyUsed():
            changed["passkeys"] = tuple(
                msgspec.structs.replace(each, sign_count=event.sign_count)
                if each.passkey_id == event.passkey_id
                else each
                for each in state.passkeys
            )
            living = event.used_at - CHALLENGE_LIFETIME
            answered = tuple(each for each in state.challenges if each[1] >= living)
            changed["challenges"] = (*answered, (event.challenge_hash, event.used_at))
        case PasskeyRemoved():
            kept = tuple(each for each in state.passkeys if each.passkey_id != event.passkey_id)
            changed["passkeys"] = kept
    return changed


def _with_passkey(state: SecondFactors, event: PasskeyAdded) -> SecondFactors:
    added = Passkey(
        passkey_id=event.passkey_id,
        credential_id=event.credential_id,
        public_key=event.public_key,
        sign_count=event.sign_count,
    )
    return msgspec.structs.replace(state, passkeys=(*state.passkeys, added))


SECOND_FACTORS = Aggregate(name="second_factors", state=SecondFactors, evolve=evolve)


def stream_of(user_id: str) -> str:
    """Return the stream of a person's second factors."""
    return f"mfa-{user_id.removeprefix('usr-')}"
