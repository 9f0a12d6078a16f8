"""Found a team, change it, and who is in it: by invitation.

Who may do what is asked of the team's own state, not of the caller's grants: those come from a view
and may be a moment old.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from commands.bus import Command, Handlers
from commands.mail import request_mail
from commands.work import Loaded, Work
from domain.identity.user import USER
from domain.identity.values import email_identity
from domain.kernel.errors import AlreadyTaken, NotAllowed, NotFound
from domain.kernel.lookalikes import skeleton
from domain.mail.values import Link, LinkPurpose, Template
from domain.teams.events import InvitationCreated, MemberAdded, TeamCreated
from domain.teams.team import TEAM, Invitation, InvitationForAnother, PersonalTeam, Team
from domain.teams.values import INVITATION_LIFETIME, Role, team_name
from infrastructure.sealing import opened, subjects_in

NAME_SCOPE = "team_name"
ADDRESS_PURPOSE = "invitation address"
MANAGERS = frozenset({Role.OWNER, Role.ADMIN})


class TeamNameTaken(AlreadyTaken):
    """There is a team with this name already, or one that looks like it."""


class CreateTeam(Command, frozen=True, kw_only=True):
    """Found a team; whoever does is its first owner."""

    name: str


class RenameTeam(Command, frozen=True, kw_only=True):
    """Call a team something else."""

    team_id: str
    name: str


class DeleteTeam(Command, frozen=True, kw_only=True):
    """Let a team be no more."""

    team_id: str
    left: dict[str, int] = {}
    """How many of which things it still has."""


class ChangeMemberRole(Command, frozen=True, kw_only=True):
    """Let a member be something else."""

    team_id: str
    user_id: str
    role: Role


class RemoveMember(Command, frozen=True, kw_only=True):
    """Put a member out; oneself: leave."""

    team_id: str
    user_id: str


class InviteMember(Command, frozen=True, kw_only=True):
    """Ask somebody, by mail, to join."""

    team_id: str
    address: str
    role: Role
    lifetime: timedelta = INVITATION_LIFETIME


class RevokeInvitation(Command, frozen=True, kw_only=True):
    """Take an invitation back."""

    team_id: str
    invitation_id: str


class AcceptInvitation(Command, frozen=True, kw_only=True):
    """Join the team that sent this link."""

    token: str


class ChangedTeam(msgspec.Struct, frozen=True):
    """The team after the command."""

    team_id: str
    name: str
    at: datetime


class Invited(msgspec.Struct, frozen=True):
    """The new invitation. The link is in the mail, and nowhere else."""

    invitation_id: str
    inviter: str
    """Their username."""
    expires_at: datetime
    at: datetime


class Joined(msgspec.Struct, frozen=True):
    """The team one belongs to from now on."""

    team_id: str
    name: str
    role: Role


async def create_team(command: CreateTeam, work: Work) -> ChangedTeam:
    """Make the team, the key of its secrets, and its first owner; own its name."""
    user_id = a_person(work)
    name = team_name(command.name)
    team_id = work.new_id("org")
    await _claim_name(name, team_id, work)
    await work.vault.create(team_id)
    team = work.create(TEAM, team_id)
    work.record(
        team,
        [
            TeamCreated(team_id=team_id, name=name),
            MemberAdded(user_id=user_id, role=Role.OWNER),
        ],
    )
    return ChangedTeam(team_id, name, work.now)


async def rename_team(command: RenameTeam, work: Work) -> ChangedTeam:
    """Give the name up and own the new one."""
    team, by = await their_team(command.team_id, work)
    name, before = team_name(command.name), team.present.name
    work.record(team, team.present.rename(name, by=by))
    if skeleton(name) != skeleton(before):
        await _claim_name(name, command.team_id, work)
        await work.release(NAME_SCOPE, skeleton(before), owner_id=command.team_id)
    return ChangedTeam(command.team_id, name, work.now)


async def delete_team(command: DeleteTeam, work: Work) -> None:
    """End it. What is made in it while it ends, goes with it: see `workers/departures.py`."""
    team, by = await their_team(command.team_id, work)
    work.record(team, team.present.delete(by=by, left=command.left))
    await work.release(NAME_SCOPE, skeleton(team.present.name), owner_id=command.team_id)


async def change_member_role(command: ChangeMemberRole, work: Work) -> Role:
    """Change a role. The same role again changes nothing."""
    team, by = await their_team(command.team_id, work)
    own = command.user_id == work.actor.user_id
    work.record(team, team.present.change_role(command.user_id, command.role, by=by, own=own))
    return command.role


async def remove_member(command: RemoveMember, work: Work) -> None:
    """Remove somebody else, or leave."""
    team, by = await their_team(command.team_id, work)
    if command.user_id == work.actor.user_id:
        work.record(team, team.present.leave(command.user_id))
    else:
        work.record(team, team.present.remove(command.user_id, by=by))


async def invite_member(command: InviteMember, work: Work) -> Invited:
    """Record the invitation together with the wish for its mail."""
    inviter = a_person(work)
    team, by = await their_team(command.team_id, work)
    wanted = email_identity(command.address)
    invitation_id = work.new_id("inv")
    await work.vault.create(invitation_id)
    await _load_keys(team.present.invitations.values(), work)
    invited = InvitationCreated(
        invitation_id=invitation_id,
        address=work.vault.seal(command.address, subject=invitation_id, purpose=ADDRESS_PURPOSE),
        role=command.role,
        invited_by=inviter,
        nonce=work.new_nonce(),
        expires_at=work.now + command.lifetime,
    )
    events = team.present.invite(
        invited,
        by=by,
        whom=await work.owner_of("email", wanted),
        instead_of=[
            each
            for each, invitation in team.present.invitations.items()
            if _address_of(invitation, work) == wanted
        ],
        now=work.now,
    )
    work.record(team, events)
    await request_mail(
        work,
        template=Template.INVITATION,
        address=command.address,
        team_id=command.team_id,
        parameters={"team": team.present.name, "role": command.role},
        people={"inviter": inviter},
        link=Link(
            purpose=LinkPurpose.INVITATION,
            subject=command.team_id,
            nonce=invited.nonce,
            expires_at=invited.expires_at,
        ),
    )
    username = (await work.load(USER, inviter)).present.username
    return Invited(invited.invitation_id, username, invited.expires_at, work.now)


async def revoke_invitation(command: RevokeInvitation, work: Work) -> None:
    """Let its link open nothing."""
    team, by = await their_team(command.team_id, work)
    work.record(team, team.present.revoke(command.invitation_id, by=by))


async def accept_invitation(command: AcceptInvitation, work: Work) -> Joined:
    """Join, if it was this person's address that was invited."""
    user_id = a_person(work)
    link = work.links.read(LinkPurpose.INVITATION, command.token)
    if link is None:
        raise NotFound
    team = await work.load(TEAM, link.subject)
    state = team.present
    invitation_id, invitation = state.open_invitation(link.nonce, now=work.now)
    await _load_keys([invitation], work)
    user = (await work.load(USER, user_id)).present
    if email_identity(user.email) != _address_of(invitation, work):
        raise InvitationForAnother
    work.record(team, state.accept(invitation_id, user_id))
    return Joined(state.team_id, state.name, invitation.role)


HANDLERS: Handlers = {
    CreateTeam: create_team,
    RenameTeam: rename_team,
    DeleteTeam: delete_team,
    ChangeMemberRole: change_member_role,
    RemoveMember: remove_member,
    InviteMember: invite_member,
    RevokeInvitation: revoke_invitation,
    AcceptInvitation: accept_invitation,
}


def a_person(work: Work) -> str:
    """Return the person's id; refuses a key."""
    if work.actor.user_id is None:
        raise NotAllowed("Only a person who is signed in may do this, not a key.")
    return work.actor.user_id


async def their_team(team_id: str, work: Work) -> tuple[Loaded[Team], Role]:
    """Return a team and what the actor is in it; raises `NotFound` for whoever is nothing there.

    A key with `team:write` may do what an admin may.
    """
    team = await work.load(TEAM, team_id)
    if team.state is None:
        work.must_hold("team:write", team_id=team_id)
        raise PersonalTeam  # seen, and without events of its own
    if team.state.deleted:
        raise NotFound
    if work.actor.user_id is None:
        work.must_hold("team:write", team_id=team_id)
        return team, Role.ADMIN
    role = team.state.members.get(work.actor.user_id)
    if role is None:
        raise NotFound
    return team, role


async def owners_of(team_id: str, work: Work) -> tuple[str, ...]:
    """Return the ids of a team's owners; a personal team's is the person it is named after."""
    team = (await work.load(TEAM, team_id)).state
    if team is None:
        return (team_id.replace("org-", "usr-", 1),)
    return tuple(user_id for user_id, role in team.members.items() if role is Role.OWNER)


async def managers_of(team_id: str, work: Work) -> tuple[str, ...]:
    """Return the ids of a team's owners and admins."""
    members = await members_of(team_id, work)
    return tuple(user_id for user_id, role in members.items() if role in MANAGERS)


async def members_of(team_id: str, work: Work) -> Mapping[str, Role]:
    """Return the role of each member; a personal team has its one owner."""
    team = (await work.load(TEAM, team_id)).state
    if team is None:
        return dict.fromkeys(await owners_of(team_id, work), Role.OWNER)
    return team.members


async def _claim_name(name: str, team_id: str, work: Work) -> None:
    await work.claim(NAME_SCOPE, skeleton(name), owner_id=team_id, taken=TeamNameTaken())


async def _load_keys(invitations: Iterable[Invitation], work: Work) -> None:
    await work.vault.load(subjects_in(" ".join(each.address for each in invitations).encode()))


def _address_of(invitation: Invitation, work: Work) -> str | None:
    """Return by what the invited address is the same as another. The keys are loaded.

    None where the invitation is over: then its key is destroyed.
    """
    address = opened(work.vault, invitation.address, purpose=ADDRESS_PURPOSE)
    return None if address is None else email_identity(address)
