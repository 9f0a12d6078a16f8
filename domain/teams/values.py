"""The roles and what each may do; how a team's name is written."""

import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from domain.kernel.errors import RuleViolated
from domain.kernel.permissions import MANAGES, OWNS, READS, WRITES

NAME_LENGTH_MAX = 80
INVITATION_LIFETIME = timedelta(hours=72)
PERSONAL_NAME = "Personal"
"""What every personal team is called: the person's name is theirs, and not in clear in the log."""


class Role(StrEnum):
    """What a member is in a team. From the highest to the lowest."""

    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    VIEWER = "viewer"

    def outranks(self, other: "Role") -> bool:
        """Tell whether this role is above the other."""
        roles = list(Role)
        return roles.index(self) < roles.index(other)


SCOPES_OF: Mapping[Role, frozenset[str]] = {
    Role.OWNER: READS | WRITES | MANAGES | OWNS,
    Role.ADMIN: READS | WRITES | MANAGES,
    Role.DEVELOPER: READS | WRITES,
    Role.VIEWER: READS,
}


class InvitationOver(RuleViolated):
    """This invitation was used, was revoked or has expired; ask for another one."""


class InvalidTeamName(RuleViolated):
    """A team's name has 1 to 80 characters, and none that cannot be seen."""


def team_name(text: str) -> str:
    """Return the name in the one form it is kept in; raises `InvalidTeamName`.

    Characters that show nothing or turn the writing round (controls, zero-width, direction marks)
    are refused: a name stands in mails to strangers.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split(" ")).strip()
    if not name or len(name) > NAME_LENGTH_MAX:
        raise InvalidTeamName
    if any(_unseen(character) for character in name) or "  " in name:
        raise InvalidTeamName
    return name


def _unseen(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind[0] == "C" or kind in {"Zl", "Zp"} or (kind == "Zs" and character != " ")
