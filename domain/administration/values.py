"""How announcements and maintenance windows are written."""

import unicodedata
from datetime import timedelta
from enum import StrEnum

from domain.kernel.errors import RuleViolated

TEXT_LENGTH_MAX = 300
MAINTENANCE_MAX = timedelta(days=7)


class Tone(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"


class InvalidNoticeText(RuleViolated):
    """A text for everybody has 1 to 300 characters, and none that cannot be seen."""


class InvalidSpan(RuleViolated):
    """It must end after it begins, in the future, and maintenance takes at most seven days."""


def notice_text(text: str) -> str:
    """Return the text in the one form it is kept in: a single line; raises `InvalidNoticeText`."""
    line = " ".join(unicodedata.normalize("NFC", text).split())
    if not line or len(line) > TEXT_LENGTH_MAX:
        raise InvalidNoticeText
    if any(unicodedata.category(character)[0] == "C" for character in line):
        raise InvalidNoticeText
    return line
