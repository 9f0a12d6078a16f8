"""The world outside: addresses that people name and we connect to.

Whoever names an address could name one of ours: a database, the container engine, a cloud's
metadata. So every such connection goes through one client, which looks the name up once, refuses
it when any of its addresses is not a public one, and connects to the very address it looked at; a
name that answers differently the second time gains nothing. Redirects are not followed.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

IPAddress = IPv4Address | IPv6Address

_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("2002::/16"))
_SHARED = IPv4Network("100.64.0.0/10")


class NotPublic(Exception):
    """The name leads to an address that is not a public one."""


def is_public(text: str) -> bool:
    """Tell whether an address is one that anybody may be sent to.

    An IPv6 address that only wraps an IPv4 one is judged by that, or refused.
    """
    address: IPAddress = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(str(address.ipv4_mapped))
        if address.is_site_local or any(address in network for network in _TRANSLATED):
            return False
    elif address in _SHARED:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved
