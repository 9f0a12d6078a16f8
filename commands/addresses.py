"""Where a command came from, in the form in which the log may keep it for ever.

An address is personal: it is sealed with the key of whoever it tells about, so it is unreadable
together with everything else about them once that key is destroyed.
"""

import ipaddress
from collections.abc import Sequence

import msgspec

from commands.work import Actor, Loaded


def whose_address(changes: Sequence[Loaded[msgspec.Struct]], actor: Actor) -> str | None:
    """Return whose key seals the address: the person's, else the team's, None for neither.

    Who signs in or registers is nobody yet; the address tells about whom the events are.
    """
    if actor.user_id is not None:
        return actor.id if actor.impersonates else actor.user_id
    if actor.home_team_id is not None:
        return actor.home_team_id
    people = (getattr(change.state, "user_id", None) for change in changes)
    return next((str(person) for person in people if person is not None), None)


def network_of(address: str) -> str | None:
    """Return the network of an address: 24 bits of IPv4, 48 of IPv6. That is nobody's own."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    bits = 24 if parsed.version == 4 else 48  # noqa: PLR2004 - IPv4
    return str(ipaddress.ip_network((parsed, bits), strict=False))
