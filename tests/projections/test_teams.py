"""Which teams there are, and who is in them."""

from commands.teams import (
    AcceptInvitation,
    ChangeMemberRole,
    DeleteTeam,
    Invited,
    InviteMember,
    RemoveMember,
    RenameTeam,
    RevokeInvitation,
)
from domain.teams.values import PERSONAL_NAME, Role
from projections.teams import INVITATIONS, MEMBERS, TEAMS
from tests.projections.asking import digest, rebuild
from tests.wiring import Installation


async def test_everybody_has_a_personal_team_by_having_registered_and_nothing_else(
    installation: Installation,
) -> None:
    """So it is there in a log from before there were other teams, too."""
    anna, bert = await installation.register("anna"), await installation.register("bert")
    installation.start_views([TEAMS, MEMBERS])
    assert not await installation.store.read_stream(anna.team_id)
    teams = {row["id"]: row for row in await installation.rows(TEAMS)}
    assert teams.keys() == {anna.team_id, bert.team_id}
    assert (teams[anna.team_id]["name"], teams[anna.team_id]["personal"]) == (PERSONAL_NAME, True)
    members = {row["user_id"]: row for row in await installation.rows(MEMBERS)}
    assert members[bert.user_id]["team_id"] == bert.team_id
    assert members[bert.user_id]["role"] == Role.OWNER


async def test_a_team_is_shown_as_its_members_made_it(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    carl = await installation.register("carl")
    acme, ajax = [await installation.found_team(anna, name) for name in ("Acme", "Ajax")]
    for person in (bert, carl):
        await installation.add_member(acme, person, Role.VIEWER)
        await installation.add_member(ajax, person, Role.VIEWER)
    for command in (
        RenameTeam(team_id=acme, name="Apex"),
        ChangeMemberRole(team_id=acme, user_id=bert.user_id, role=Role.ADMIN),
        RemoveMember(team_id=acme, user_id=carl.user_id),
        DeleteTeam(team_id=ajax),
    ):
        await installation.dispatch(command, anna.context)
    installation.start_views([TEAMS, MEMBERS])
    teams = {row["id"]: row for row in await installation.rows(TEAMS) if not row["personal"]}
    assert teams.keys() == {acme}
    assert teams[acme]["name"] == "Apex"
    assert teams[acme]["version"] == len(await installation.store.read_stream(acme))
    members = [row for row in await installation.rows(MEMBERS) if row["team_id"] == acme]
    roles = {row["user_id"]: row["role"] for row in members}
    assert roles == {anna.user_id: Role.OWNER, bert.user_id: Role.ADMIN}
    assert not [row for row in await installation.rows(MEMBERS) if row["team_id"] == ajax]
    for view in (TEAMS, MEMBERS):
        before = await digest(installation, view)
        await rebuild(installation, view)
        assert await digest(installation, view) == before


async def test_an_invitation_is_shown_until_it_is_answered(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    team_id = await installation.found_team(anna)
    for name in ("bert", "carl", "dora"):
        command = InviteMember(team_id=team_id, address=f"{name}@example.com", role=Role.VIEWER)
        invited: Invited = (await installation.dispatch(command, anna.context)).result
        if name == "bert":
            accept = AcceptInvitation(token=await installation.link_of(team_id))
            await installation.dispatch(accept, bert.context)
        if name == "carl":
            revoke = RevokeInvitation(team_id=team_id, invitation_id=invited.invitation_id)
            await installation.dispatch(revoke, anna.context)
    installation.start_views([INVITATIONS, MEMBERS])
    [row] = await installation.rows(INVITATIONS)
    assert (row["id"], row["team_id"]) == (invited.invitation_id, team_id)
    assert "dora" not in str(row)
    roles = {
        row["user_id"]: row["role"]
        for row in await installation.rows(MEMBERS)
        if row["team_id"] == team_id
    }
    assert roles == {anna.user_id: Role.OWNER, bert.user_id: Role.VIEWER}
    for view in (INVITATIONS, MEMBERS):
        before = await digest(installation, view)
        await rebuild(installation, view)
        assert await digest(installation, view) == before
