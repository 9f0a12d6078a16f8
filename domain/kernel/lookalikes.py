"""When two names look the same to a person, however they are written.

Unicode's confusable characters (UTS 39) come as pairs; characters that are confusable by way of a
third count as the same. Names that must not be imitated are owned by their skeleton.
"""

import functools
import unicodedata

from confusable_homoglyphs.confusables import confusables_data


def skeleton(text: str) -> str:
    """Return what all names that look like this one have in common. Not for showing."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return "".join(_prototypes().get(character, character) for character in plain).casefold()


@functools.cache
def _prototypes() -> dict[str, str]:
    """Return for each confusable character the one that stands for all that look like it."""
    alike: dict[str, set[str]] = {}
    for character, entries in confusables_data.items():
        group = {character, *(entry["c"] for entry in entries if len(entry["c"]) == 1)}
        for other in list(group):
            group |= alike.get(other, set())
        for other in group:
            alike[other] = group
    return {character: min(group, key=_plainness) for character, group in alike.items()}


def _plainness(character: str) -> tuple[bool, bool, str]:
    # A small letter first: `1` and `I` stand for `l`, so that `i` and `l` stay two letters.
    ascii_letter = character.isascii() and character.isalpha()
    return (not ascii_letter, not character.islower(), character)
