"""What one may do, by name: the scopes that keys carry and roles grant.

A scope is held *in a team*: the same person may write deployments in one team and only read them
in another. `call:dpl-…` is `call:*` for one deployment; `admin:*` is everything in its team.
"""

import re
from collections.abc import Collection

from domain.kernel.errors import RuleViolated

READS = frozenset(
    {
        "deployments:read",
        "keys:read",
        "logs:read",
        "analytics:read",
        "team:read",
    }
)
WRITES = frozenset(
    {
        "deployments:write",
        "keys:write",
        "call:*",
        "audit:read",
        "billing:read",
        "webhooks:read",
        "webhooks:write",
    }
)
MANAGES = frozenset({"team:write"})
OWNS = frozenset({"admin:*"})

SCOPES = READS | WRITES | MANAGES | OWNS

_CALL_ONE = re.compile(r"call:dpl-[0-9a-z]{10}")


class UnknownScope(RuleViolated):
    """There is no such scope."""


def scopes(wanted: Collection[str]) -> tuple[str, ...]:
    """Return the scopes sorted and without repeats; raises `UnknownScope`."""
    for scope in wanted:
        if scope not in SCOPES and _CALL_ONE.fullmatch(scope) is None:
            raise UnknownScope(f"There is no scope {scope!r}.", known=sorted(SCOPES))
    return tuple(sorted(set(wanted)))


def covers(held: Collection[str], scope: str) -> bool:
    """Tell whether somebody who holds these scopes may do what this one allows."""
    if scope in held or "admin:*" in held:
        return True
    return scope.startswith("call:") and "call:*" in held


def within(wanted: Collection[str], held: Collection[str]) -> frozenset[str]:
    """Return what these scopes are still good for when their maker holds those.

    Calling is left as it is: what a team serves does not end with a role.
    """
    calls = {scope for scope in wanted if scope.startswith("call:")}
    if "admin:*" in wanted and "admin:*" not in held:
        return frozenset(calls | set(held))
    return frozenset(calls | {scope for scope in wanted if covers(held, scope)})
