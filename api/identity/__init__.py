"""People: joining, signing in and out, passwords, and who one is."""

from api.identity import (
    accounts,
    devices,
    erasure,
    export,
    passkeys,
    passwords,
    second_factors,
    sessions,
    signed_in,
)

ROUTERS = (
    accounts.router,
    sessions.router,
    devices.router,
    passwords.router,
    signed_in.router,
    second_factors.router,
    erasure.router,
    passkeys.router,
    sessions.token_router,
    export.router,
)
