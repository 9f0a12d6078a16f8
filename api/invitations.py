"""Invitations: sent by mail, shown to whoever has the link, accepted by whoever has the address."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from api.answers import Answer, answer, respond
from api.guard import OPEN_TO_ALL, GuardedRoute
from api.lists import PageQuery, Pagination, pagination_of, sorted_by, window_of
from api.openapi import refusals
from api.requests import Read, Writing, reading
from api.schemas import EmailAddress, Input, Message, Output, identifier
from api.teams import CHANGING, TeamId, at_once, must_be_an_id
from commands.teams import (
    ADDRESS_PURPOSE,
    AcceptInvitation,
    Invited,
    InviteMember,
    Joined,
    RevokeInvitation,
)
from domain.kernel.errors import NotFound
from domain.mail.values import LinkPurpose
from domain.teams.values import InvitationOver, Role
from infrastructure.sealing import opened, subjects_in
from projections.teams import (
    INVITATION_LISTING,
    OpenInvitation,
    invitation_by_nonce,
    list_invitations,
)

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Teams"])

InvitationId = Annotated[str, identifier("inv")]
Token = Annotated[str, Path(description="The last part of the link in the mail", max_length=200)]
Reading = Annotated[Read, reading("invitations", "teams")]


class NewInvitation(Input):
    """Who is to join, and as what."""

    email: EmailAddress
    role: Role = Role.DEVELOPER


class Invitation(Output):
    """An invitation. Its link is in the mail, and nowhere else."""

    id: str
    email: str | None
    role: Role
    invited_by: str | None
    """A username."""
    created_at: datetime
    expires_at: datetime
    expired: bool


class Invitations(Output):
    """A part of the list of open invitations."""

    invitations: list[Invitation]
    pagination: Pagination


class Preview(Output):
    """What the invited person is shown before deciding."""

    team_name: str
    invited_by: str | None
    role: Role
    expires_at: datetime


class Membership(Output):
    """The team one belongs to from now on."""

    team_id: str
    name: str
    role: Role


@router.post(
    "/teams/{team_id}/invitations",
    status_code=201,
    response_model=Invitation,
    responses=refusals(401, 403, 404, 409, 412),
)
async def invite(team_id: TeamId, body: NewInvitation, write: Writing) -> Response:
    """Ask somebody, by mail, to join. An earlier invitation to the same address is void."""
    must_be_an_id(team_id, "org")

    def made(invited: Invited) -> Answer:
        return answer(
            Invitation(
                id=invited.invitation_id,
                email=body.email,
                role=body.role,
                invited_by=invited.inviter,
                created_at=invited.at,
                expires_at=invited.expires_at,
                expired=False,
            ),
            status=201,
            headers={"Location": f"/v1/teams/{team_id}/invitations/{invited.invitation_id}"},
        )

    command = InviteMember(team_id=team_id, address=body.email, role=body.role)
    return await write.dispatch(command, made, resource=team_id)


@router.get(
    "/teams/{team_id}/invitations",
    response_model=Invitations,
    responses=refusals(401, 403, 404),
    openapi_extra=sorted_by(INVITATION_LISTING),
)
async def invitations(
    team_id: TeamId, query: Annotated[PageQuery, Query()], read: Reading
) -> Response:
    """List the invitations that nobody accepted yet."""
    read.must_hold("team:write", team_id=team_id)
    window = window_of(query, INVITATION_LISTING, "invitations", read.services)
    page = await list_invitations(read.views, window, team_id=team_id)
    sealed = " ".join(row.address for row in page.rows)
    await read.services.vault.load(subjects_in(sealed.encode()))
    return respond(
        Invitations(
            invitations=[_shown(row, read) for row in page.rows],
            pagination=pagination_of(page, window, query, "invitations", read.services),
        )
    )


@router.delete(
    "/teams/{team_id}/invitations/{invitation_id}", response_model=Message, responses=CHANGING
)
async def revoke(team_id: TeamId, invitation_id: InvitationId, write: Writing) -> Response:
    """Take an invitation back: its link opens nothing any more."""
    must_be_an_id(team_id, "org")
    must_be_an_id(invitation_id, "inv")
    return await write.dispatch(
        RevokeInvitation(team_id=team_id, invitation_id=invitation_id),
        lambda _: answer(Message(message="Invitation revoked")),
        resource=team_id,
    )


@router.get(
    "/invitations/{token}",
    response_model=Preview,
    responses=refusals(404, 410),
    openapi_extra=OPEN_TO_ALL,
)
async def preview(token: Token, read: Reading) -> Response:
    """Show whoever has the link what it is about. Needs no account yet."""
    link = read.services.links.read(LinkPurpose.INVITATION, token)
    if link is None:
        raise NotFound
    invitation = await invitation_by_nonce(read.views, team_id=link.subject, nonce=link.nonce)
    if invitation is None or invitation.expires_at <= read.services.clock():
        raise InvitationOver
    return respond(
        Preview(
            team_name=invitation.team_name,
            invited_by=invitation.inviter,
            role=invitation.role,
            expires_at=invitation.expires_at,
        )
    )


@router.post(
    "/invitations/{token}/accept",
    response_model=Membership,
    responses=refusals(401, 403, 404, 409, 410),
)
async def accept(token: Token, write: Writing) -> Response:
    """Join the team. Only the person whose mail address was invited may."""
    user_id = write.must_be_a_person()
    done = await write.run(
        AcceptInvitation(token=token),
        _membership,
    )
    return await at_once(write, done, user_id)


def _membership(joined: Joined) -> Answer:
    return answer(Membership(team_id=joined.team_id, name=joined.name, role=joined.role))


def _shown(row: OpenInvitation, read: Read) -> Invitation:
    return Invitation(
        id=row.id,
        email=opened(read.services.vault, row.address, purpose=ADDRESS_PURPOSE),
        role=row.role,
        invited_by=row.inviter,
        created_at=row.created_at,
        expires_at=row.expires_at,
        expired=row.expires_at <= read.services.clock(),
    )
