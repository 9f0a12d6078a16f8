"""The rules of one team: one aggregate decides about all its members, so at least one owner stays.

`by` is the role of whoever wants it, in this team. A person's own role comes from this state too,
never from a view: two owners who remove each other at once are one version conflict.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec

from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import AlreadyTaken, NotAllowed, NotFound, RuleViolated
from domain.kernel.events import Event
from domain.teams.events import (
    InvitationAccepted,
    InvitationCreated,
    InvitationRevoked,
    MemberAdded,
    MemberLeft,
    MemberRemoved,
    MemberRoleChanged,
    TeamCreated,
    TeamDeleted,
    TeamRenamed,
)
from domain.teams.values import InvitationOver, Role

INVITATIONS_MAX = 100


class RoleTooLow(NotAllowed):
    """Your role in this team does not allow this."""


class LastOwner(RuleViolated):
    """A team has at least one owner; make somebody else an owner first."""


class PersonalTeam(RuleViolated):
    """This is a personal team: it stays as it is, with its one person."""


class TeamNotEmpty(RuleViolated):
    """The team still has something; delete that, or give it to another team, first."""


class AlreadyMember(AlreadyTaken):
    """This person is a member of the team already."""


class TooManyInvitations(RuleViolated):
    """This team has too many open invitations; revoke some first."""


class InvitationForAnother(NotAllowed):
    """This invitation was sent to another mail address than yours."""


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """An open invitation."""

    address: str
    """Sealed."""
    role: Role
    invited_by: str
    nonce: str
    expires_at: datetime


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """People who work together."""

    team_id: str
    name: str
    members: dict[str, Role] = {}
    invitations: dict[str, Invitation] = {}
    """The open ones."""
    deleted: bool = False

    def rename(self, name: str, *, by: Role) -> list[Event]:
        """Call it something else. The same name again changes nothing."""
        _must_manage(by)
        return [] if name == self.name else [TeamRenamed(name=name)]

    def delete(self, *, by: Role, left: Mapping[str, int]) -> list[Event]:
        """Let it be no more, once nothing is left of it. What is open is closed first."""
        if by is not Role.OWNER:
            raise RoleTooLow
        if any(left.values()):
            raise TeamNotEmpty(None, **{what: number for what, number in left.items() if number})
        return [
            *(
                InvitationRevoked(invitation_id=each, reason="team deleted")
                for each in self.invitations
            ),
            TeamDeleted(member_ids=tuple(sorted(self.members))),
        ]

    def change_role(self, user_id: str, role: Role, *, by: Role, own: bool) -> list[Event]:
        """Let a member be something else. Down for oneself, and never above whoever changes it."""
        now = self._role_of(user_id)
        if own and role.outranks(now):
            raise RoleTooLow
        if not own:
            _must_manage(by, now, role)
        if role is now:
            return []
        self._must_keep_an_owner(without=user_id)
        return [MemberRoleChanged(user_id=user_id, role=role, previously=now)]

    def remove(self, user_id: str, *, by: Role) -> list[Event]:
        """Put a member out."""
        _must_manage(by, self._role_of(user_id))
        self._must_keep_an_owner(without=user_id)
        return [MemberRemoved(user_id=user_id)]

    def leave(self, user_id: str) -> list[Event]:
        """Go."""
        self._role_of(user_id)
        self._must_keep_an_owner(without=user_id)
        return [MemberLeft(user_id=user_id)]

    def invite(
        self,
        invited: InvitationCreated,
        *,
        by: Role,
        whom: str | None,
        instead_of: Collection[str],
        now: datetime,
    ) -> list[Event]:
        """Ask somebody to join; earlier invitations to the same address are void.

        `whom` is the user with that address, if there is one.
        """
        _must_manage(by, invited.role)
        if whom in self.members:
            raise AlreadyMember
        void = {
            each: "replaced" if each in instead_of else "expired"
            for each, invitation in self.invitations.items()
            if each in instead_of or invitation.expires_at <= now
        }
        if len(self.invitations) - len(void) >= INVITATIONS_MAX:
            raise TooManyInvitations
        return [
            *(InvitationRevoked(invitation_id=each, reason=why) for each, why in void.items()),
            invited,
        ]

    def revoke(self, invitation_id: str, *, by: Role) -> list[Event]:
        """Take an invitation back."""
        invitation = self.invitations.get(invitation_id)
        if invitation is None:
            raise NotFound
        _must_manage(by, invitation.role)
        return [InvitationRevoked(invitation_id=invitation_id, reason="revoked")]

    def open_invitation(self, nonce: str, *, now: datetime) -> tuple[str, Invitation]:
        """Return the invitation that a link was made for; raises `InvitationOver`."""
        for invitation_id, invitation in self.invitations.items():
            if invitation.nonce == nonce and now < invitation.expires_at:
                return invitation_id, invitation
        raise InvitationOver

    def accept(self, invitation_id: str, user_id: str) -> list[Event]:
        """Join by an open invitation, once."""
        if user_id in self.members:
            raise AlreadyMember
        return [
            InvitationAccepted(invitation_id=invitation_id, user_id=user_id),
            MemberAdded(user_id=user_id, role=self.invitations[invitation_id].role),
        ]

    def _role_of(self, user_id: str) -> Role:
        role = self.members.get(user_id)
        if role is None:
            raise NotFound
        return role

    def _must_keep_an_owner(self, *, without: str) -> None:
        owners = {user_id for user_id, role in self.members.items() if role is Role.OWNER}
        if owners == {without}:
            raise LastOwner


def _must_manage(by: Role, *roles: Role) -> None:
    """Refuse whoever does not manage members, and whoever is below one of these roles."""
    if Role.ADMIN.outranks(by) or any(role.outranks(by) for role in roles):
        raise RoleTooLow


def evolve(state: Team | None, event: Event) -> Team | None:
    """Remember what happened to the team."""
    if isinstance(event, TeamCreated):
        return Team(team_id=event.team_id, name=event.name)
    if state is None:
        return None
    members, invitations = state.members, state.invitations
    match event:
        case TeamRenamed():
            return msgspec.structs.replace(state, name=event.name)
        case TeamDeleted():
            return msgspec.structs.replace(state, members={}, invitations={}, deleted=True)
        case MemberAdded() | MemberRoleChanged():
            members = {**members, event.user_id: event.role}
        case MemberRemoved() | MemberLeft():
            members = {
                user_id: role for user_id, role in members.items() if user_id != event.user_id
            }
        case InvitationCreated():
            invitations = {**invitations, event.invitation_id: _open(event)}
        case InvitationAccepted() | InvitationRevoked():
            invitations = {
                each: open_one
                for each, open_one in invitations.items()
                if each != event.invitation_id
            }
        case _:
            return state
    return msgspec.structs.replace(state, members=members, invitations=invitations)


def _open(event: InvitationCreated) -> Invitation:
    return Invitation(
        address=event.address,
        role=event.role,
        invited_by=event.invited_by,
        nonce=event.nonce,
        expires_at=event.expires_at,
    )


TEAM = Aggregate(name="team", state=Team, evolve=evolve, snapshot_every=200)
