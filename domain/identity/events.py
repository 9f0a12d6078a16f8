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
    pending: bool = False
    """The person has yet to show that the address is theirs."""


class EmailVerificationRequested(Event, frozen=True, kw_only=True):
    """A link went to an address, to show whose it is. An older link is void from now on."""

    user_id: str
    email: Personal
    nonce: str
    """Names the link. Not a secret: the link also needs the installation's key."""
    expires_at: datetime


class EmailVerified(Event, frozen=True, kw_only=True):
    """Somebody followed the link: the address is the person's."""

    user_id: str
    email: Personal


class EmailChanged(Event, frozen=True, kw_only=True):
    """The person has another address. Where addresses are verified it is `EmailVerified`."""

    user_id: str
    email: Personal


class UsernameChanged(Event, frozen=True, kw_only=True):
    """The person goes by another name."""

    user_id: str
    username: Personal


class PasswordResetRequested(Event, frozen=True, kw_only=True):
    """A link to set a new password was sent. An older link is void from now on."""

    user_id: str
    nonce: str
    """Names the link. Not a secret: the link also needs the installation's key."""
    expires_at: datetime


class PasswordChanged(Event, frozen=True, kw_only=True):
    """The person has another password; a link to reset it is void from now on."""

    user_id: str
    password_hash: Personal
    how: str
    """`changed` by who knew the old one, or `reset` by a link."""


class PasswordRehashed(Event, frozen=True, kw_only=True):
    """The same password, hashed anew because hashes are made stronger today."""

    user_id: str
    password_hash: Personal


class NewNetworkSeen(Event, frozen=True, kw_only=True):
    """The person signed in from a network for the first time."""

    user_id: str
    network: Personal


class SessionsRevoked(Event, frozen=True, kw_only=True):
    """Every session that began before ended, but for the one that is kept."""

    user_id: str
    epoch: int
    """Only sessions that began in this epoch last."""
    kept_session_id: str | None = None
    reason: str


class SessionStarted(Event, frozen=True, kw_only=True):
    """Somebody proved who they are and signed in."""

    session_id: str
    user_id: str
    refresh_hash: str = ""
    """Only in the oldest sessions, whose tokens were drawn by lot."""
    started_at: datetime
    expires_at: datetime
    """Used or not, it ends then."""
    idle_seconds: int
    """Not used for so long, it ends too."""
    method: SignInMethod = SignInMethod.PASSWORD
    epoch: int = 0
    """How often all sessions of the person had been ended before."""
    user_agent: Personal | None = None
    """What the program called itself, shortened."""
    impersonated_by: str | None = None
    """The admin of the platform who acts as this person in this session."""


class ImpersonationBegan(Event, frozen=True, kw_only=True):
    """An admin of the platform acts as this person for a short while. In the person's stream.

    What is done meanwhile has the admin as its actor.
    """

    user_id: str
    session_id: str
    admin_id: str
    reason: str
    ends_at: datetime


class ImpersonationEnded(Event, frozen=True, kw_only=True):
    """The admin acts as themselves again, before their time was over."""

    user_id: str
    session_id: str
    admin_id: str


class SessionRefreshed(Event, frozen=True, kw_only=True):
    """The refresh token was used and replaced by the next one."""

    refresh_hash: str = ""
    """Only in the oldest sessions."""
    refreshed_at: datetime
    generation: int = 0
    """Which token is the one to use from now on; the first one has 1."""


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


class AdminLinkIssued(Event, frozen=True, kw_only=True):
    """A link was printed on the server; who follows it first looks after the platform."""

    nonce: str
    """Names the link. Not a secret: the link also needs the installation's key."""
    expires_at: datetime


class PlatformAdminGranted(Event, frozen=True, kw_only=True):
    """A person looks after the platform from now on."""

    user_id: str
    how: str
    """`link`, or `command line`."""


class UserSuspended(Event, frozen=True, kw_only=True):
    """An admin of the platform shut a person out."""

    user_id: str
    reason: Personal


class UserReinstated(Event, frozen=True, kw_only=True):
    """An admin of the platform let a person in again."""

    user_id: str


class DeviceSignInRequested(Event, frozen=True, kw_only=True):
    """A device without a browser asked to be signed in. Its short code is claimed meanwhile."""

    device_id: str
    expires_at: datetime


class DeviceSignInApproved(Event, frozen=True, kw_only=True):
    """A person who had just proved to be there lets the device sign in as them."""

    device_id: str
    user_id: str
    method: SignInMethod
    """By what the person had proved it."""
    epoch: int
    """How often all sessions of the person had been ended before."""


class DeviceSignInDenied(Event, frozen=True, kw_only=True):
    """A person refused to sign the device in."""

    device_id: str
    user_id: str


class DeviceSignInCompleted(Event, frozen=True, kw_only=True):
    """The device took the session that it was allowed; its codes are void."""

    device_id: str
    user_id: str
    session_id: str
