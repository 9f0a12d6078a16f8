"""The facts about people and their sessions."""

from datetime import datetime

from domain.identity.values import SignInMethod
from domain.kernel.events import Event, Personal


class UserRegistered(Event, frozen=True, kw_only=True):
    """A person joined. The personal team has the same ten characters as the user."""

    user_id: str
    team_id: str
    username: Personal
    email: Personal
    password_hash: Personal
    """Argon2id in PHC form; sealed with the person's key like everything about them."""


class SessionStarted(Event, frozen=True, kw_only=True):
    """Somebody proved who they are and signed in."""

    session_id: str
    user_id: str
    refresh_hash: str
    """SHA-256, in hex, of the refresh token."""
    started_at: datetime
    expires_at: datetime
    """Used or not, it ends then."""
    idle_seconds: int
    """Not used for so long, it ends too."""
    method: SignInMethod = SignInMethod.PASSWORD


class SessionRefreshed(Event, frozen=True, kw_only=True):
    """The refresh token was used and replaced by the next one."""

    refresh_hash: str
    refreshed_at: datetime


class SessionEnded(Event, frozen=True, kw_only=True):
    """The session's tokens are refused from now on."""

    reason: str


class SessionSteppedUp(Event, frozen=True, kw_only=True):
    """Who is signed in proved once more to be there: what is delicate may be done for a while."""

    user_id: str
    method: SignInMethod
    stepped_up_at: datetime


class TotpPrepared(Event, frozen=True, kw_only=True):
    """An authenticator app was given a secret. It counts once a code of it was confirmed."""

    user_id: str
    secret: Personal
    """160 bits in base32."""
    expires_at: datetime
    """Not confirmed by then, it never counts."""


class TotpEnabled(Event, frozen=True, kw_only=True):
    """The app proved to have the secret: from now on signing in with the password needs a code."""

    user_id: str
    step: int
    """Of the code that proved it (RFC 6238); neither it nor an earlier one counts again."""
    recovery_hashes: tuple[str, ...]
    """SHA-256, in hex, of each recovery code: 120 random bits, so a plain hash keeps the secret."""


class TotpCodeAccepted(Event, frozen=True, kw_only=True):
    """A code of the app was right, and is used up."""

    user_id: str
    step: int


class SecondFactorRefused(Event, frozen=True, kw_only=True):
    """Somebody who knew the password sent a wrong code."""

    user_id: str
    refused_at: datetime


class RecoveryCodeUsed(Event, frozen=True, kw_only=True):
    """A recovery code stood in for the app, and is used up."""

    user_id: str
    code_hash: str


class RecoveryCodesReplaced(Event, frozen=True, kw_only=True):
    """New recovery codes were made; those before count no more."""

    user_id: str
    recovery_hashes: tuple[str, ...]


class TotpDisabled(Event, frozen=True, kw_only=True):
    """The password alone signs in again."""

    user_id: str


class PasskeyAdded(Event, frozen=True, kw_only=True):
    """A passkey (WebAuthn) may sign the person in."""

    user_id: str
    passkey_id: str
    name: Personal
    credential_id: Personal
    """As the authenticator names it, in base64url."""
    public_key: Personal
    """COSE key in base64url."""
    sign_count: int
    synced: bool
    """Whether it is copied between the person's devices."""


class PasskeyUsed(Event, frozen=True, kw_only=True):
    """A passkey signed a challenge of ours."""

    user_id: str
    passkey_id: str
    sign_count: int
    challenge_hash: str
    """SHA-256, in hex, of the challenge, which counts once."""
    used_at: datetime


class PasskeyCountWentBack(Event, frozen=True, kw_only=True):
    """A passkey signed rightly, but counts fewer uses than we saw: somebody may have copied it."""

    user_id: str
    passkey_id: str
    sign_count: int
    seen_at: datetime


class PasskeyRemoved(Event, frozen=True, kw_only=True):
    """The passkey signs nobody in any more."""

    user_id: str
    passkey_id: str


class UserErased(Event, frozen=True, kw_only=True):
    """The person is unknown from now on: no name, no address, nobody signs in.

    What was sealed with the person's key becomes unreadable a moment later.
    """

    user_id: str
    team_id: str
    """The personal team, whose things end with it."""


class UserKeyDestroyed(Event, frozen=True, kw_only=True):
    """Nothing personal of an erased user can be read any more, wherever a copy of it is."""

    user_id: str


class ErasureFinished(Event, frozen=True, kw_only=True):
    """The keys of the personal team are shut out, its deployments gone, its secrets unreadable."""

    user_id: str
