"""Networks as prefixes of an address's digits, which is how HAProxy looks a network up.

An address is 32 hexadecimal digits of IPv6, an IPv4 address is a mapped one. A network whose length
is no multiple of four is up to eight prefixes; and because an IPv4 address is in no IPv6 network,
a network around the mapped addresses is what is left of it without them.
"""

import ipaddress
from collections.abc import Iterator

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_BITS_PER_DIGIT = 4
_BITS = 128


def address_prefixes(network: str) -> Iterator[str]:
    """Yield the beginnings that exactly the addresses of a network have; `ValueError` if none."""
    parsed = ipaddress.ip_network(network)
    if isinstance(parsed, ipaddress.IPv4Network):
        first = int(_MAPPED.network_address) | int(parsed.network_address)
        parts = [ipaddress.IPv6Network((first, parsed.prefixlen + _MAPPED.prefixlen))]
    elif parsed.supernet_of(_MAPPED):
        parts = [] if parsed == _MAPPED else list(parsed.address_exclude(_MAPPED))
    else:
        parts = [parsed]
    for part in parts:
        yield from _digits(part)


def _digits(network: ipaddress.IPv6Network) -> Iterator[str]:
    bits = network.prefixlen + -network.prefixlen % _BITS_PER_DIGIT
    first = int(network.network_address) >> (_BITS - bits)
    for number in range(first, first + 2 ** (bits - network.prefixlen)):
        yield f"{number:0{bits // _BITS_PER_DIGIT}X}"
