"""Ids: three letters that say what it is, a hyphen, ten characters of 0-9 and a-z.

Ten characters of 36 are 51.7 bits: with a million things of one kind the chance of any two being
equal is about 1 in 7,000, and the store refuses the second one, so a clash costs a retry.
"""

import re
from typing import Final

ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
LENGTH: Final = 10

_FORM = re.compile(r"[a-z]{3}-[0-9a-z]{10}")


def is_id(text: str, prefix: str) -> bool:
    """Tell whether the text has the form of an id of this kind."""
    return _FORM.fullmatch(text) is not None and text.startswith(f"{prefix}-")
