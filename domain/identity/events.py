"""The facts about people and their sessions."""

from datetime import datetime

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


class SessionRefreshed(Event, frozen=True, kw_only=True):
    """The refresh token was used and replaced by the next one."""

    refresh_hash: str
    refreshed_at: datetime


class SessionEnded(Event, frozen=True, kw_only=True):
    """The session's tokens are refused from now on."""

    reason: str
