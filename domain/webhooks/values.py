"""Where a webhook may lead, what it may ask for, and what its secret looks like."""

import base64
import ipaddress
import re
from collections.abc import Collection, Sequence
from enum import StrEnum

import idna
import msgspec

from domain.kernel.errors import RuleViolated

URL_LENGTH_MAX = 2000
LABELS_MIN = 2
HTTPS_PORT, HTTP_PORT = 443, 80
SECRET_PREFIX = "whsec_"  # noqa: S105 - how every secret begins
SECRET_BYTES = 32
EVERYTHING = "*"
TEST_TYPE = "webhook.test"
"""What is sent when somebody wants to see whether it arrives. Nobody asks for it by name."""

_URL = re.compile(r"(?P<scheme>[a-z]+)://(?P<authority>[^/?#\\]*)(?P<rest>[/?].*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\[\]:]+)(?::(?P<port>[0-9]{1,5}))?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRINTABLE = re.compile(r"[!-~]*")
_NEVER_OUTSIDE = frozenset(
    {"arpa", "corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain"}
    | {"localhost", "onion"}
)
"""Top-level names that lead to no place on the public internet, whatever a resolver says."""
_PORT_MAX = 65535


class InvalidWebhookUrl(RuleViolated):
    """A webhook's URL is https://, a public host, and nothing secret before the host."""


class InvalidEventType(RuleViolated):
    """There is no such event type; the list of types has all there are."""


class DisabledBecause(StrEnum):
    """Why a webhook is told nothing."""

    ASKED = "asked"
    """Somebody of the team wanted it so."""
    FAILING = "failing"
    """It took nothing for days."""
    GONE = "gone"
    """It answered 410."""


class Endpoint(msgspec.Struct, frozen=True):
    """A URL in the one form it is kept in, and where it leads."""

    url: str
    host: str
    port: int
    vouched: bool
    """The operator has said that webhooks may go there, whatever the address is."""


def endpoint_of(text: str, *, private_hosts: Collection[str] = ()) -> Endpoint:
    """Return where a URL leads; raises `InvalidWebhookUrl`.

    `private_hosts` are the hosts (or HOST:PORT) the operator vouches for: in their own network, at
    any port, also without TLS. Whether the addresses of any other host are public is asked
    elsewhere: when the webhook is made, and again with every connection.
    """
    if len(text) > URL_LENGTH_MAX:
        raise InvalidWebhookUrl(f"A URL has at most {URL_LENGTH_MAX} characters.")
    found = _URL.fullmatch(text)
    if found is None or found["scheme"].lower() not in {"http", "https"}:
        raise InvalidWebhookUrl("This is not a URL that begins with https://.")
    rest = found["rest"] or "/"
    if "#" in rest or _PRINTABLE.fullmatch(rest) is None:
        raise InvalidWebhookUrl("A URL has no fragment, no spaces, and other scripts encoded.")
    if "@" in found["authority"]:
        raise InvalidWebhookUrl("Put no user or password into the URL: messages are signed.")
    scheme = found["scheme"].lower()
    authority = _AUTHORITY.fullmatch(found["authority"])
    if authority is None:
        raise InvalidWebhookUrl("The URL names no host.")
    default = HTTPS_PORT if scheme == "https" else HTTP_PORT
    port = int(authority["port"] or default)
    if not 0 < port <= _PORT_MAX:
        raise InvalidWebhookUrl("The URL's port is none.")
    host = _address(authority["host"]) or _name(authority["host"])
    bare = host.strip("[]")
    vouched = not {bare, f"{bare}:{port}"}.isdisjoint(private_hosts)
    if not vouched:
        _must_be_outside(host, scheme=scheme, port=port)
    place = host if port == default else f"{host}:{port}"
    path = rest if rest.startswith("/") else f"/{rest}"
    return Endpoint(f"{scheme}://{place}{path}", bare, port, vouched)


def event_types(wanted: Sequence[str], *, known: Collection[str]) -> tuple[str, ...]:
    """Return what is asked for, sorted and without repeats; raises `InvalidEventType`."""
    for pattern in wanted:
        if not any(matches([pattern], each) for each in known):
            raise InvalidEventType(f"No event type is called {pattern[:80]!r}.")
    return tuple(sorted(set(wanted)))


def matches(patterns: Collection[str], event_type: str) -> bool:
    """Tell whether an event type is asked for: by its name, by `its.beginning.*`, or by `*`."""
    if EVERYTHING in patterns or event_type in patterns:
        return True
    parts = event_type.split(".")
    return any(f"{'.'.join(parts[:n])}.*" in patterns for n in range(1, len(parts)))


def secret_of(random: bytes) -> str:
    """Return a secret as it is given to people."""
    return SECRET_PREFIX + base64.b64encode(random).decode()


def _address(host: str) -> str | None:
    """Return the IPv6 address between brackets, in brackets; None for what has none."""
    if not host.startswith("["):
        return None
    try:
        return f"[{ipaddress.IPv6Address(host[1:-1])}]"
    except ValueError:
        raise InvalidWebhookUrl("The URL's host is not an address.") from None


def _name(host: str) -> str:
    """Return a host's name, or its IPv4 address in the one spelling that all programs agree on."""
    try:
        name = idna.encode(host.removesuffix("."), uts46=True, std3_rules=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        raise InvalidWebhookUrl("The URL's host is not a name.") from None
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise InvalidWebhookUrl("The URL's host is not an address.") from None
    return name


def _must_be_outside(host: str, *, scheme: str, port: int) -> None:
    if scheme != "https":
        raise InvalidWebhookUrl("A webhook's URL begins with https://.")
    if port != HTTPS_PORT:
        raise InvalidWebhookUrl("A webhook is reached at port 443.")
    labels = host.split(".")
    is_address = host.startswith("[") or labels[-1].isdecimal()
    if not is_address and (len(labels) < LABELS_MIN or labels[-1] in _NEVER_OUTSIDE):
        raise InvalidWebhookUrl("This host is not on the public internet.")
