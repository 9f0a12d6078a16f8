"""The roles and what each may do."""

from collections.abc import Mapping
from enum import StrEnum

from domain.kernel.permissions import MANAGES, OWNS, READS, WRITES


class Role(StrEnum):
    """What a member is in a team."""

    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    VIEWER = "viewer"


SCOPES_OF: Mapping[Role, frozenset[str]] = {
    Role.OWNER: READS | WRITES | MANAGES | OWNS,
    Role.ADMIN: READS | WRITES | MANAGES,
    Role.DEVELOPER: READS | WRITES,
    Role.VIEWER: READS,
}
