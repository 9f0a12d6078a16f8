"""What a key looks like, from where it may be used, and what each event changes of it.

A key is `tp_live_<12 id><30 secret>_<6 checksum>` in base62. The fixed beginning lets scanners
find leaked keys, the checksum (CRC-32 of everything before it) tells a typing error from a wrong
key without asking a database: the form GitHub published for its own tokens in April 2021.
The 30 secret characters carry 178 bits.
"""

import hashlib
import ipaddress
import re
import zlib
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from domain.api_keys.events import (
    ApiKeyDescribed,
    ApiKeyExpiryAnnounced,
    ApiKeyExpirySet,
    ApiKeyGraceEnded,
    ApiKeyLimitSet,
    ApiKeyNetworksAllowed,
    ApiKeyRotated,
    ApiKeyScopesGranted,
)
from domain.kernel.errors import RuleViolated
from domain.kernel.events import Event

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PUBLIC_LENGTH = 12
SECRET_LENGTH = 30
PREFIX = "tp_live_"
PREFIX_LENGTH = len(PREFIX) + PUBLIC_LENGTH
"""So much of a key may be shown."""

DEFAULT_SCOPES = ("call:*",)

NETWORKS_MAX = 100
EXPIRY_ANNOUNCED_DAYS = (14, 3, 1)
"""So long before a key expires its team is told."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_KEY = re.compile(r"tp_live_[0-9A-Za-z]{42}_[0-9A-Za-z]{6}")
_KEY_IN_TEXT = re.compile(r"(tp_live_[0-9A-Za-z]{12})[0-9A-Za-z_]+")
_NETWORK = re.compile(r"[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""IPv4 as IPv6 writes it: the same caller, however the connection names it."""


class NotANetwork(RuleViolated):
    """Write a network like 192.0.2.0/24 or 2001:db8::/32, with no bit set after the prefix."""


class TooManyNetworks(RuleViolated):
    """A key can be restricted to 100 networks at most."""


def checksum(text: str) -> str:
    """Return the CRC-32 of the text as six characters of base62, zeros in front."""
    number = zlib.crc32(text.encode())
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def assemble_key(public: str, secret: str) -> str:
    """Return the key as its owner sees it, from its two random parts."""
    body = f"{PREFIX}{public}{secret}"
    return f"{body}_{checksum(body)}"


def looks_like_key(text: str) -> bool:
    """Tell whether the text is a well-formed key with a right checksum."""
    return _KEY.fullmatch(text) is not None and checksum(text[:-7]) == text[-6:]


def hash_of(key: str) -> str:
    """Return what is kept of a key, and the name under which it is looked up."""
    return hashlib.sha256(key.encode()).hexdigest()


def without_keys(text: str) -> str:
    """Return the text with only the public beginning of every key in it."""
    return _KEY_IN_TEXT.sub(r"\1...", text)


def networks(wanted: Collection[str]) -> tuple[str, ...]:
    """Return the networks in their one form, sorted, each once; raises `NotANetwork`.

    A single address is a network of one. An IPv4 network written as IPv6 is that IPv4 network.
    """
    if len(wanted) > NETWORKS_MAX:
        raise TooManyNetworks
    found = {_network(text) for text in wanted}
    return tuple(str(each) for each in sorted(found, key=_place))


def is_within(address: str, allowed: Collection[Network]) -> bool:
    """Tell whether an address is in one of the networks; one that cannot be read is in none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in network for network in allowed)


def sooner(one: datetime, other: datetime | None) -> datetime:
    """Return the earlier of two times, of which the other may be never."""
    return one if other is None else min(one, other)


class Secrets(Protocol):
    """What there must be of a key to tell what an event changes."""

    @property
    def secret_hash(self) -> str:
        """Of the current secret."""
        ...

    @property
    def retiring_until(self) -> datetime | None:
        """How long the secret before works on."""
        ...


def fields_after(before: Secrets, event: Event) -> Mapping[str, object]:
    """Return the fields that an event changes: one rule for the aggregate and for every view."""
    changed: dict[str, object] = {}
    until = before.retiring_until
    match event:
        case ApiKeyDescribed():
            changed = {"name": event.name, "description": event.description}
        case ApiKeyScopesGranted():
            changed = {"scopes": event.scopes}
        case ApiKeyNetworksAllowed():
            changed = {"allowed_cidrs": event.allowed_cidrs}
        case ApiKeyLimitSet():
            changed = {"requests_per_minute": event.requests_per_minute}
        case ApiKeyExpirySet():
            # A secret that retires never outlives its key, and never lives longer for its sake.
            shortened = sooner(until, event.expires_at) if until is not None else None
            changed = {
                "expires_at": event.expires_at,
                "retiring_until": shortened,
                "announced_days": None,
            }
        case ApiKeyExpiryAnnounced():
            changed = {"announced_days": event.days_before}
        case ApiKeyRotated():
            hash_before = before.secret_hash if event.previous_until is not None else None
            changed = {
                "prefix": event.prefix,
                "secret_hash": event.secret_hash,
                "retiring_hash": hash_before,
                "retiring_until": event.previous_until,
            }
        case ApiKeyGraceEnded():
            changed = {"retiring_hash": None, "retiring_until": None}
    return changed


def _network(text: str) -> Network:
    if _NETWORK.fullmatch(text) is None:  # what Python reads besides: netmasks, zones, other digits
        raise NotANetwork
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise NotANetwork from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = int(network.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
    return network


def _place(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen
