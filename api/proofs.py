"""What delicate routes ask of a person besides being signed in: lately, and with two factors.

Asked of the views, without the second for which callers are remembered: such routes are rare, and
whoever has just stepped up must not be refused. A route that takes the password needs none of it.
"""

from datetime import timedelta

from api.errors import ApiError
from api.requests import Asking
from domain.identity.values import RECENT, StepUpRequired
from projections.second_factors import Proof, proof_of


class SecondFactorRequired(ApiError):
    """Sign in with your second factor for this. Without one, set one up first."""

    status = 403


async def must_be_recent(asking: Asking) -> None:
    """Refuse a person who proved to be there too long ago. A key proves itself each time."""
    if asking.caller.actor.user_id is not None:
        await _recent_proof(asking)


async def must_be_proved_admin(asking: Asking) -> None:
    """Refuse an admin of the platform who did not sign in lately, and with what they have."""
    proof = await _recent_proof(asking)
    wanted = asking.options.admin_second_factor
    if wanted == "never" or proof.method.has_two_factors:
        return
    if wanted == "once-set":
        await asking.doorkeeper.catch_up("second_factors", "passkeys")
        proof = await _recent_proof(asking)
    if wanted == "always" or proof.has_second_factor:
        raise SecondFactorRequired


async def _recent_proof(asking: Asking) -> Proof:
    session_id = asking.caller.session_id or ""
    proof = await proof_of(asking.views, session_id)
    if proof is None or _is_old(asking, proof):
        await asking.doorkeeper.catch_up("sessions")
        proof = await proof_of(asking.views, session_id)
    if proof is None or _is_old(asking, proof):
        raise StepUpRequired
    return proof


def _is_old(asking: Asking, proof: Proof) -> bool:
    age: timedelta = asking.services.clock() - proof.authenticated_at
    return age > RECENT
