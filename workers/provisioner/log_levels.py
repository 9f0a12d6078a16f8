"""Finds the level and the message in a line of any program's log."""

import json
import re

from infrastructure.containers import Source

LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "notice": "info",
    "warn": "warning",
    "warning": "warning",
    "err": "error",
    "error": "error",
    "fatal": "critical",
    "panic": "critical",
    "critical": "critical",
}
_WORD = re.compile(rf"\b({'|'.join(LEVELS)})\b", re.IGNORECASE)
_PLAIN = frozenset({"level", "severity", "message", "msg"})
_LEVEL_WITHIN = 80
"""A level stands at the beginning of a line; further on, `error` is just a word."""


def level_and_message(text: str, source: Source) -> tuple[str, str]:
    """Return both; a JSON line keeps all its text unless it has nothing but level and message."""
    if text.startswith("{"):
        found = _from_json(text)
        if found is not None:
            return found
    match = _WORD.search(text, 0, _LEVEL_WITHIN)
    if match is not None:
        return LEVELS[match[1].lower()], text
    return ("error" if source == "stderr" else "info"), text


def _from_json(text: str) -> tuple[str, str] | None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    level = LEVELS.get(str(fields.get("level", fields.get("severity", ""))).lower())
    message = fields.get("message", fields.get("msg"))
    if level is None:
        return None
    if isinstance(message, str) and fields.keys() <= _PLAIN:
        return level, message
    return level, text
