"""The facts about a team and who is in it. Each stands in the team's own stream."""

from datetime import datetime

from domain.kernel.events import Event, SealedText
from domain.teams.values import Role


class TeamCreated(Event, frozen=True, kw_only=True):
    """Somebody founded a team. Its first owner is the first member added."""

    team_id: str
    name: str


class TeamRenamed(Event, frozen=True, kw_only=True):
    """The team has another name."""

    name: str


class TeamDeleted(Event, frozen=True, kw_only=True):
    """The team is no more. It had nothing left, and these were its members."""

    member_ids: tuple[str, ...]


class MemberAdded(Event, frozen=True, kw_only=True):
    """A person belongs to the team from now on."""

    user_id: str
    role: Role


class MemberRoleChanged(Event, frozen=True, kw_only=True):
    """The member may do more, or less, than before."""

    user_id: str
    role: Role
    previously: Role


class MemberRemoved(Event, frozen=True, kw_only=True):
    """Somebody put the member out of the team."""

    user_id: str


class MemberLeft(Event, frozen=True, kw_only=True):
    """The member went."""

    user_id: str


class InvitationCreated(Event, frozen=True, kw_only=True):
    """A person is asked to join. The link goes to their mail address by post, and only there."""

    invitation_id: str
    address: SealedText
    """Sealed with the invitation's own key. Only the person with this address may accept."""
    role: Role
    invited_by: str
    nonce: str
    """What the link is made from, by a key that is not in the log."""
    expires_at: datetime


class InvitationAccepted(Event, frozen=True, kw_only=True):
    """The invited person joined. The link is used up."""

    invitation_id: str
    user_id: str


class InvitationRevoked(Event, frozen=True, kw_only=True):
    """The link opens nothing any more."""

    invitation_id: str
    reason: str
