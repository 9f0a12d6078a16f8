"""People: joining, signing in and out, and who one is."""

from api.identity import accounts, erasure, passkeys, second_factors, sessions

ROUTERS = (
    accounts.router,
    sessions.router,
    sessions.token_router,
    second_factors.router,
    erasure.router,
    passkeys.router,
)
