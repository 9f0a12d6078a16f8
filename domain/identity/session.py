"""The rules of one sign-in."""

from datetime import datetime, timedelta

import msgspec

from domain.identity.events import (
    SessionEnded,
    SessionRefreshed,
    SessionStarted,
    SessionSteppedUp,
)
from domain.identity.values import RECENT, SignInMethod, StepUpRequired
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import NotAllowed
from domain.kernel.events import Event

GRACE = timedelta(seconds=10)
"""How long the token before the last one is forgiven: its answer may have been lost on the way."""


class SessionOver(NotAllowed):
    """This session has ended; sign in again."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One person signed in from one place."""

    session_id: str
    user_id: str
    generation: int = 1
    """Of the refresh token that is the one to use."""
    epoch: int = 0
    refreshed_at: datetime
    expires_at: datetime
    idle_seconds: int
    authenticated_at: datetime
    """When the person last proved to be there."""
    method: SignInMethod = SignInMethod.PASSWORD
    ended: bool = False
    impersonated_by: str | None = None
    """The admin of the platform whose it really is."""

    def must_last(self, *, epoch: int, kept_session_id: str | None, now: datetime) -> None:
        """Refuse when the session is over, alone or with all others of the person."""
        revoked = self.epoch < epoch and self.session_id != kept_session_id
        idle = now - self.refreshed_at
        if self.ended or revoked or now >= self.expires_at:
            raise SessionOver
        if idle > timedelta(seconds=self.idle_seconds):
            raise SessionOver

    def refresh(self, *, generation: int, now: datetime) -> list[Event]:
        """Replace the refresh token of that generation.

        A token that comes back within seconds gets the same successor again, so no event. One that
        comes back later was copied: nobody can tell the thief from the owner, so the session ends.
        """
        if generation == self.generation:
            return [SessionRefreshed(generation=generation + 1, refreshed_at=now)]
        if generation > self.generation:  # the log was set back to before this token
            raise SessionOver
        if generation == self.generation - 1 and now - self.refreshed_at <= GRACE:
            return []
        return [SessionEnded(reason="refresh token used twice")]

    def end(self, *, reason: str) -> list[Event]:
        """Sign out. Signing out twice changes nothing."""
        return [] if self.ended else [SessionEnded(reason=reason)]

    def step_up(self, *, method: SignInMethod, now: datetime) -> list[Event]:
        """Remember that the person proved once more to be there."""
        if self.ended or now >= self.expires_at:
            raise SessionOver
        return [SessionSteppedUp(user_id=self.user_id, method=method, stepped_up_at=now)]

    def must_be_recent(self, now: datetime) -> None:
        """Refuse what is delicate when the last proof was long ago."""
        if self.ended or now - self.authenticated_at > RECENT:
            raise StepUpRequired


def evolve(state: Session | None, event: Event) -> Session | None:
    """Remember what happened to the session."""
    match event:
        case SessionStarted():
            return Session(
                session_id=event.session_id,
                user_id=event.user_id,
                epoch=event.epoch,
                refreshed_at=event.started_at,
                expires_at=event.expires_at,
                idle_seconds=event.idle_seconds,
                authenticated_at=event.started_at,
                method=event.method,
                impersonated_by=event.impersonated_by,
            )
        case SessionRefreshed() if state is not None:
            return msgspec.structs.replace(
                state,
                generation=event.generation or state.generation + 1,
                refreshed_at=event.refreshed_at,
            )
        case SessionSteppedUp() if state is not None:
            return msgspec.structs.replace(
                state,
                authenticated_at=event.stepped_up_at,
                method=event.method if event.method.has_two_factors else state.method,
            )
        case SessionEnded() if state is not None:
            return msgspec.structs.replace(state, ended=True)
    return state


SESSION = Aggregate(name="session", state=Session, evolve=evolve)
