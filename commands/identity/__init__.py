"""Commands about people: join, sign in, stay signed in, sign out."""

from commands.bus import Handlers
from commands.identity import registration, sessions
from commands.identity.registration import (
    EmailTaken,
    Registered,
    RegisterUser,
    UsernameTaken,
)
from commands.identity.sessions import (
    EndSession,
    RefreshSession,
    SignedIn,
    SignIn,
    WrongCredentials,
)

HANDLERS: Handlers = {**registration.HANDLERS, **sessions.HANDLERS}

__all__ = [
    "HANDLERS",
    "EmailTaken",
    "EndSession",
    "RefreshSession",
    "RegisterUser",
    "Registered",
    "SignIn",
    "SignedIn",
    "UsernameTaken",
    "WrongCredentials",
]
