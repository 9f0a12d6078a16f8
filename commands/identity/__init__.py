"""Commands about people: join, sign in, change password and profile, look after the platform."""

from commands.bus import Handlers
from commands.identity import (
    admins,
    devices,
    erasure,
    passkeys,
    passwords,
    profile,
    registration,
    second_factors,
    sessions,
)
from commands.identity.admins import (
    BeginImpersonation,
    CreateAdmin,
    FollowAdminLink,
    Impersonation,
    IssueAdminLink,
    ReinstateUser,
    SendPasswordReset,
    SuspendUser,
)
from commands.identity.devices import (
    CompleteDeviceSignIn,
    DecideDeviceSignIn,
    DeviceCodes,
    RequestDeviceSignIn,
)
from commands.identity.erasure import ConfirmKeyDestroyed, EraseUser, FinishErasure
from commands.identity.passwords import (
    ChangePassword,
    RequestPasswordReset,
    ResetPassword,
)
from commands.identity.profile import Changed, ChangeProfile
from commands.identity.proofs import WrongCredentials
from commands.identity.registration import (
    EmailTaken,
    Registered,
    RegisterUser,
    ResendVerification,
    UsernameTaken,
    VerifyEmail,
)
from commands.identity.sessions import (
    EndOtherSessions,
    EndSession,
    RefreshSession,
    SignedIn,
    SignIn,
    TooManyGuesses,
)

HANDLERS: Handlers = {
    **registration.HANDLERS,
    **sessions.HANDLERS,
    **devices.HANDLERS,
    **erasure.HANDLERS,
    **passkeys.HANDLERS,
    **passwords.HANDLERS,
    **profile.HANDLERS,
    **admins.HANDLERS,
    **second_factors.HANDLERS,
}

__all__ = [
    "HANDLERS",
    "BeginImpersonation",
    "ChangePassword",
    "ChangeProfile",
    "Changed",
    "CompleteDeviceSignIn",
    "ConfirmKeyDestroyed",
    "CreateAdmin",
    "DecideDeviceSignIn",
    "DeviceCodes",
    "EmailTaken",
    "EndOtherSessions",
    "EndSession",
    "EraseUser",
    "FinishErasure",
    "FollowAdminLink",
    "Impersonation",
    "IssueAdminLink",
    "RefreshSession",
    "RegisterUser",
    "Registered",
    "ReinstateUser",
    "RequestDeviceSignIn",
    "RequestPasswordReset",
    "ResendVerification",
    "ResetPassword",
    "SendPasswordReset",
    "SignIn",
    "SignedIn",
    "SuspendUser",
    "TooManyGuesses",
    "UsernameTaken",
    "VerifyEmail",
    "WrongCredentials",
]
