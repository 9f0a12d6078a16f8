"""What a denial is made of."""

import msgspec

ATTEMPTS_MAX = 50
"""Different ones in one event."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A route that somebody asked in vain, and how often."""

    method: str
    route: str
    """The path with the names of its parameters, not with what was asked for."""
    status: int
    count: int
