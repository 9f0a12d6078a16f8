"""Commands about people: join, sign in, stay signed in, sign out."""

from commands.bus import Handlers
from commands.identity import erasure, passkeys, registration, second_factors, sessions
from commands.identity.erasure import ConfirmKeyDestroyed, EraseUser, FinishErasure
from commands.identity.proofs import WrongCredentials
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
)

HANDLERS: Handlers = {
    **registration.HANDLERS,
    **sessions.HANDLERS,
    **second_factors.HANDLERS,
    **erasure.HANDLERS,
    **passkeys.HANDLERS,
}

__all__ = [
    "HANDLERS",
    "ConfirmKeyDestroyed",
    "EmailTaken",
    "EndSession",
    "EraseUser",
    "FinishErasure",
    "RefreshSession",
    "RegisterUser",
    "Registered",
    "SignIn",
    "SignedIn",
    "UsernameTaken",
    "WrongCredentials",
]
