"""How a setting is declared, and the kinds of values it can have.

A kind turns text into a value or says why it cannot: its parser raises `ValueError` with a reason
that reads on from "...: ". It never repeats the text itself, because the text may be a secret;
`bootstrap/settings.py` adds it where that is harmless.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from domain.deployments.values import any_cpu_millis, any_memory_bytes
from domain.kernel.errors import RuleViolated
from infrastructure.mail.mime import sender_address
from infrastructure.mail.smtp import smtp_options

T = TypeVar("T")

SECRET_KEY_BYTES_MIN = 32
HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.IGNORECASE)
_ADDRESS = re.compile(r"[A-Za-z0-9.-]+:(\d{1,5})")
_PORT_MAX = 65535
DNS_PORT = 53


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of value: what to call it, and how to read it from text that is not empty."""

    name: str
    parse: Callable[[str], T]


class Declaration(NamedTuple):
    """What a field says about itself."""

    name: str
    kind: Kind[Any]
    default: str
    meaning: str
    secret: bool
    shown_default: str


def setting(
    name: str,
    kind: Kind[T],
    default: str,
    meaning: str,
    *,
    secret: bool = False,
    otherwise: object = None,
    shown_default: str = "",
) -> T:
    """Declare a field: its variable, kind, default (as text) and meaning.

    An empty default stands for `otherwise`: no value, or one that `load` derives from other fields.
    """
    declared = Declaration(name, kind, default, meaning, secret, shown_default or default)
    value = kind.parse(default) if default else otherwise
    metadata = {"declared": declared}
    return cast("T", field(default=value, repr=not secret, metadata=metadata))


def number(low: int, high: int) -> Kind[int]:
    """Return the kind of a whole number between two bounds, both included."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise ValueError("must be a whole number")
        if not low <= int(text) <= high:
            raise ValueError(f"must be between {low} and {high}")
        return int(text)

    return Kind(f"whole number, {low} to {high}", parse)


def choice(*options: str) -> Kind[str]:
    """Return the kind of a word out of a few."""

    def parse(text: str) -> str:
        if text not in options:
            raise ValueError(f"must be one of {', '.join(options)}")
        return text

    return Kind(" or ".join(options), parse)


def url(*schemes: str) -> Kind[str]:
    """Return the kind of a URL with one of the schemes and a host."""

    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            has_place = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            raise ValueError("is not a well-formed URL") from None
        if parts.scheme not in schemes or not has_place:
            wanted = " or ".join(f"{scheme}://HOST[:PORT]" for scheme in schemes)
            raise ValueError(f"must look like {wanted}")
        return text.rstrip("/")

    return Kind(f"URL ({', '.join(schemes)})", parse)


def _text(text: str) -> str:
    return text


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:-]+", text):
        raise ValueError("must be a host name or an address to listen on")
    return text


def _domain(text: str) -> str:
    if not HOST_NAME.fullmatch(text):
        raise ValueError("must be a domain name without port and without dots at its ends")
    return text.lower()


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise ValueError("must be up to 64 letters, digits, dots, dashes or underscores")
    return text


def _path(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise ValueError("must be an absolute path (or start with ~)")
    return path


def _origins(text: str) -> tuple[str, ...]:
    one = url("http", "https").parse
    origins = tuple(one(part.strip()) for part in text.split(",") if part.strip())
    if any(urlsplit(origin).path or urlsplit(origin).query for origin in origins):
        raise ValueError("each must be an origin: scheme, host and port, no path")
    return origins


def _hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(part.strip() for part in text.split(","))
    for host in hosts:
        name, _, port = host.partition(":")
        if HOST_NAME.fullmatch(name) is None or (port and not port.isdecimal()):
            raise ValueError(f"{host!r} is not HOST or HOST:PORT")
    return hosts


def _addresses(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_address(part.strip())) for part in text.split(","))
    except ValueError:
        raise ValueError("each must be an IPv4 or IPv6 address") from None


def _servers(text: str) -> tuple[tuple[str, int], ...]:
    return tuple(_server(part.strip()) for part in text.split(","))


def _server(text: str) -> tuple[str, int]:
    address, port = text, str(DNS_PORT)
    if text.count(":") == 1 or re.fullmatch(r"\[.*\]:.*", text):
        address, _, port = text.rpartition(":")
    try:
        shown = str(ipaddress.ip_address(address.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise ValueError("each must be ADDRESS, ADDRESS:PORT or [IPv6]:PORT") from None
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) <= _PORT_MAX:
        raise ValueError(f"each port must be a number up to {_PORT_MAX}")
    return shown, int(port)


def _stream(text: str) -> str:
    if text in {"none", "embedded"}:
        return text
    for address in text.split(","):
        found = _ADDRESS.fullmatch(address)
        if found is None or not 0 < int(found.group(1)) <= _PORT_MAX:
            raise ValueError("must be none, embedded, or HOST:PORT[,HOST:PORT ...]")
    return text


def _price(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be a decimal number such as 0.50") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError("must not be negative")
    return amount


def _quantity(parse: Callable[[str], int]) -> Callable[[str], int]:
    def quantity(text: str) -> int:
        try:
            return parse(text)
        except RuleViolated:
            raise ValueError("must be an amount such as 500m, 4, 512Mi or 8Gi") from None

    return quantity


def _currency(text: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", text):
        raise ValueError("must be three capital letters (ISO 4217)")
    return text


def _mail_url(text: str) -> str:
    smtp_options(text)
    return text


def _sender(text: str) -> str:
    return str(sender_address(text))


def _secret_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.translate({ord("-"): "+", ord("_"): "/"}), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be base64") from None
    if len(key) < SECRET_KEY_BYTES_MIN:
        raise ValueError(f"must hold at least {SECRET_KEY_BYTES_MIN} bytes, has {len(key)}")
    return key


def _signing_key(text: str) -> str:
    if text.lstrip().startswith("-----BEGIN"):
        pem = text.replace("\\n", "\n")
    else:
        try:
            pem = Path(text).expanduser().read_text()
        except (OSError, UnicodeDecodeError):
            raise ValueError("is neither a PEM text nor a readable file") from None
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        raise ValueError("is not an unencrypted PEM private key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("is not an Ed25519 key")  # noqa: TRY004  a bad value, as for every kind
    return pem


TEXT = Kind("text", _text)
HOST = Kind("host", _host)
PORT = number(1, _PORT_MAX)
DOMAIN = Kind("domain name", _domain)
NAME = Kind("short name", _name)
FOLDER = Kind("absolute path", _path)
ORIGINS = Kind("origins, separated by commas", _origins)
HOSTS = Kind("HOST or HOST:PORT, separated by commas", _hosts)
ADDRESSES = Kind("IP addresses, separated by commas", _addresses)
SERVERS = Kind("ADDRESS or ADDRESS:PORT, separated by commas", _servers)
STREAM = Kind("none, embedded or HOST:PORT[,...]", _stream)
PRICE = Kind("decimal number", _price)
CPU = Kind("processor, as `500m` or `4`", _quantity(any_cpu_millis))
MEMORY = Kind("memory, as `512Mi` or `8Gi`", _quantity(any_memory_bytes))
CURRENCY = Kind("currency code", _currency)
MAIL_URL = Kind("URL (smtp, smtps)", _mail_url)
SENDER = Kind("mail address, with a name or without", _sender)
SECRET_KEY = Kind("base64 of 32 bytes or more", _secret_key)
SIGNING_KEY = Kind("Ed25519 private key, PEM or path", _signing_key)
