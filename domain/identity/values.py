"""How names and addresses of people are written, and when two of them are the same."""

import re
import unicodedata
from datetime import timedelta
from enum import StrEnum

from domain.kernel.errors import NotAllowed, RuleViolated

_USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{1,30})[a-z0-9]")

_LOOKS = str.maketrans({"0": "o", "1": "l", "_": "-", ".": "-"})

RESERVED_USERNAMES = frozenset(
    {"admin", "administrator", "api", "me", "null", "root", "support", "system", "tallyport"}
)

CHALLENGE_LIFETIME = timedelta(minutes=5)
"""How long a passkey may take to answer."""

RECENT = timedelta(minutes=15)
"""For so long after a proof, what is delicate may be done without another."""


class StepUpRequired(NotAllowed):
    """You proved to be you too long ago for this; do it again at /v1/auth/step-up."""


class FactorChange(StrEnum):
    """What a person is told by mail about how they sign in."""

    ON = "on"
    OFF = "off"
    RECOVERY_CODES = "recovery_codes"
    RECOVERY_CODE_USED = "recovery_code_used"
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_REMOVED = "passkey_removed"
    PASSKEY_REFUSED = "passkey_refused"
    """It counts fewer uses than were seen."""
    TRIED_OFTEN = "tried_often"
    """Somebody who knows the password has no code."""


class SignInMethod(StrEnum):
    """By what somebody proved to be the person."""

    PASSWORD = "password"  # noqa: S105  a word, not a password
    TOTP = "password+totp"
    RECOVERY_CODE = "password+recovery"
    PASSKEY = "passkey"

    @property
    def has_two_factors(self) -> bool:
        """Whether more than one thing was proved; a passkey asks for a finger, a face or a PIN."""
        return self is not SignInMethod.PASSWORD


class InvalidGrant(RuleViolated):
    """This is no device code of ours, or it was used already."""


class InvalidUsername(RuleViolated):
    """A username has 3 to 32 characters: a-z, 0-9, dot, hyphen, underscore inside."""


def username(text: str) -> str:
    """Return the username in the one form it is kept in; raises `InvalidUsername`."""
    name = unicodedata.normalize("NFKC", text).strip().casefold()
    if _USERNAME.fullmatch(name) is None:
        raise InvalidUsername
    if name in RESERVED_USERNAMES:
        raise InvalidUsername("This username is reserved.")
    return name


def username_claims(name: str) -> tuple[str, ...]:
    """Return what belongs to whoever has this username: it, and what it looks like.

    Two names that look alike look like the same third one (as in Unicode TR 39), so only one of
    them can be had: `paypa1` and `paypal`, `rnike` and `mike`, `a.b` and `a-b`.
    """
    looks = name.translate(_LOOKS)
    for parts, whole in (("rn", "m"), ("vv", "w"), ("cl", "d")):
        looks = looks.replace(parts, whole)
    return (name,) if looks == name else (name, looks)


def email_identity(text: str) -> str:
    """Return the form by which two spellings of an address count as the same."""
    return unicodedata.normalize("NFKC", text).strip().casefold()
