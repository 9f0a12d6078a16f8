"""The rules of one person's account."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain.identity.events import (
    EmailChanged,
    EmailVerificationRequested,
    EmailVerified,
    NewNetworkSeen,
    PasswordChanged,
    PasswordRehashed,
    PasswordResetRequested,
    SessionsRevoked,
    UserErased,
    UsernameChanged,
    UserRegistered,
    UserReinstated,
    UserSuspended,
)
from domain.identity.links import PendingLink, must_be_valid
from domain.identity.values import email_identity
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import RuleViolated
from domain.kernel.events import Event

RESET_LIFETIME = timedelta(minutes=30)
VERIFICATION_LIFETIME = timedelta(hours=24)
NETWORKS_MAX = 50
"""So many networks of a person are remembered, the latest ones."""


class AlreadyVerified(RuleViolated):
    """This address is verified already."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A registered person."""

    user_id: str
    team_id: str
    username: str
    email: str
    password_hash: str
    pending: bool = False
    suspended: bool = False
    epoch: int = 0
    """How often all sessions were ended; those of before this epoch are over."""
    kept_session_id: str | None = None
    networks: tuple[str, ...] = ()
    verification: PendingLink | None = None
    reset: PendingLink | None = None

    @property
    def may_sign_in(self) -> bool:
        """Whether the right password is enough."""
        return not self.pending and not self.suspended

    def see_network(self, network: str) -> list[Event]:
        """Remember from where the person signs in."""
        if not network or network in self.networks:
            return []
        return [NewNetworkSeen(user_id=self.user_id, network=network)]

    def revoke_sessions(self, *, reason: str, kept_session_id: str | None = None) -> list[Event]:
        """End all sessions but one."""
        return [
            SessionsRevoked(
                user_id=self.user_id,
                epoch=self.epoch + 1,
                kept_session_id=kept_session_id,
                reason=reason,
            )
        ]

    def change_password(self, *, password_hash: str, kept_session_id: str) -> list[Event]:
        """Set another password; every other session ends."""
        return [
            PasswordChanged(user_id=self.user_id, password_hash=password_hash, how="changed"),
            *self.revoke_sessions(reason="password changed", kept_session_id=kept_session_id),
        ]

    def request_reset(self, *, nonce: str, now: datetime) -> list[Event]:
        """Make a link by which a forgotten password is replaced."""
        expires_at = now + RESET_LIFETIME
        return [PasswordResetRequested(user_id=self.user_id, nonce=nonce, expires_at=expires_at)]

    def check_reset(self, *, nonce: str, now: datetime) -> None:
        """Refuse a link by which the password cannot be replaced (any more)."""
        must_be_valid(self.reset, nonce=nonce, now=now)

    def reset_password(self, *, password_hash: str) -> list[Event]:
        """Set another password by a link; every session ends.

        The link went to the address, so following it shows whose address that is.
        """
        verified = [EmailVerified(user_id=self.user_id, email=self.email)] if self.pending else []
        return [
            *verified,
            PasswordChanged(user_id=self.user_id, password_hash=password_hash, how="reset"),
            *self.revoke_sessions(reason="password reset"),
        ]

    def request_verification(self, *, email: str, nonce: str, now: datetime) -> list[Event]:
        """Make a link by which an address is shown to be the person's."""
        if email_identity(email) == email_identity(self.email) and not self.pending:
            raise AlreadyVerified
        return [
            EmailVerificationRequested(
                user_id=self.user_id,
                email=email,
                nonce=nonce,
                expires_at=now + VERIFICATION_LIFETIME,
            )
        ]

    def verify_email(self, *, nonce: str, now: datetime) -> list[Event]:
        """Take the address as the person's."""
        link = must_be_valid(self.verification, nonce=nonce, now=now)
        return [EmailVerified(user_id=self.user_id, email=link.email)]

    def change_email(self, email: str) -> list[Event]:
        """Take another address at its word."""
        return [] if email == self.email else [EmailChanged(user_id=self.user_id, email=email)]

    def rename(self, username: str) -> list[Event]:
        """Go by another name."""
        if username == self.username:
            return []
        return [UsernameChanged(user_id=self.user_id, username=username)]

    def suspend(self, *, reason: str) -> list[Event]:
        """Shut the person out. Twice changes nothing."""
        if self.suspended:
            return []
        return [
            UserSuspended(user_id=self.user_id, reason=reason),
            *self.revoke_sessions(reason="suspended"),
        ]

    def reinstate(self) -> list[Event]:
        """Let the person in again. Twice changes nothing."""
        return [UserReinstated(user_id=self.user_id)] if self.suspended else []

    def erase(self) -> list[Event]:
        """Make the person unknown."""
        return [UserErased(user_id=self.user_id, team_id=self.team_id)]


def evolve(state: User | None, event: Event) -> User | None:
    """Remember what happened to the account."""
    if isinstance(event, UserRegistered):
        return User(
            user_id=event.user_id,
            team_id=event.team_id,
            username=event.username,
            email=event.email,
            password_hash=event.password_hash,
            pending=event.pending,
        )
    if state is None or isinstance(event, UserErased):
        return None
    changes = _CHANGES.get(type(event))
    return state if changes is None else msgspec.structs.replace(state, **changes(state, event))


_CHANGES: Mapping[type[Event], Callable[[User, Any], dict[str, object]]] = {
    EmailVerificationRequested: lambda _, event: {
        "verification": PendingLink(
            nonce=event.nonce, expires_at=event.expires_at, email=event.email
        )
    },
    EmailVerified: lambda _, event: {"email": event.email, "pending": False, "verification": None},
    EmailChanged: lambda _, event: {"email": event.email, "verification": None},
    UsernameChanged: lambda _, event: {"username": event.username},
    PasswordResetRequested: lambda _, event: {
        "reset": PendingLink(nonce=event.nonce, expires_at=event.expires_at)
    },
    PasswordChanged: lambda _, event: {"password_hash": event.password_hash, "reset": None},
    PasswordRehashed: lambda _, event: {"password_hash": event.password_hash},
    NewNetworkSeen: lambda user, event: {
        "networks": (*user.networks, event.network)[-NETWORKS_MAX:]
    },
    SessionsRevoked: lambda _, event: {
        "epoch": event.epoch,
        "kept_session_id": event.kept_session_id,
    },
    UserSuspended: lambda _, __: {"suspended": True},
    UserReinstated: lambda _, __: {"suspended": False},
}
"""What each event changes: the fields with their new values."""

USER = Aggregate(name="user", state=User, evolve=evolve)
