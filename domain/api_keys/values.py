"""What a key looks like and what it may be allowed to do.

A key is `tp_live_<12 id><30 secret>_<6 checksum>` in base62. The fixed beginning lets scanners
find leaked keys, the checksum (CRC-32 of everything before it) tells a typing error from a wrong
key without asking a database: the form GitHub published for its own tokens in April 2021.
The 30 secret characters carry 178 bits.
"""

import re
import zlib

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PUBLIC_LENGTH = 12
SECRET_LENGTH = 30
PREFIX = "tp_live_"

DEFAULT_SCOPES = ("call:*",)

_KEY = re.compile(r"tp_live_[0-9A-Za-z]{42}_[0-9A-Za-z]{6}")


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
