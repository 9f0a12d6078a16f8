"""Teams: founded, named once, kept in hand by at least one owner."""

import asyncio

import msgspec
import pytest

from commands.bus import Context
from commands.teams import (
    ChangeMemberRole,
    CreateTeam,
    DeleteTeam,
    RemoveMember,
    RenameTeam,
    TeamNameTaken,
)
from domain.kernel.errors import DomainError, NotAllowed, NotFound
from domain.teams.team import TEAM, LastOwner, PersonalTeam, RoleTooLow, Team
from domain.teams.values import Role
from tests.wiring import Installation, Person


def by_key(person: Person, team_id: str, *scopes: str) -> Context:
    """A key of the team."""
    actor = msgspec.structs.replace(
        person.context.actor,
        id="key-0000000001",
        user_id=None,
        grants={team_id: frozenset(scopes)},
        home_team_id=team_id,
    )
    return Context(actor=actor)


async def team_of(installation: Installation, team_id: str) -> Team:
    return (await installation.bus.load(TEAM, team_id, fresh=True)).present


async def test_who_founds_a_team_owns_it(installation: Installation) -> None:
    anna = await installation.register()
    team_id = await installation.found_team(anna)
    assert (await team_of(installation, team_id)).members == {anna.user_id: Role.OWNER}


async def test_a_teams_name_and_what_looks_like_it_belongs_to_one_team(
    installation: Installation,
) -> None:
    anna = await installation.register()
    acme, ajax = [await installation.found_team(anna, name) for name in ("Acme", "Ajax")]
    for name in ("Acme", "ACME", "\N{CYRILLIC CAPITAL LETTER A}cme"):
        with pytest.raises(TeamNameTaken):
            await installation.dispatch(CreateTeam(name=name), anna.context)
        with pytest.raises(TeamNameTaken):
            await installation.dispatch(RenameTeam(team_id=ajax, name=name), anna.context)
    await installation.dispatch(RenameTeam(team_id=acme, name="ACME"), anna.context)
    await installation.dispatch(RenameTeam(team_id=acme, name="Apex"), anna.context)
    await installation.dispatch(RenameTeam(team_id=ajax, name="Acme"), anna.context)
    await installation.dispatch(DeleteTeam(team_id=ajax), anna.context)
    await installation.found_team(anna, "Acme")


async def test_a_personal_team_stays_as_it_is(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    commands = [
        RenameTeam(team_id=anna.team_id, name="Acme"),
        DeleteTeam(team_id=anna.team_id),
        RemoveMember(team_id=anna.team_id, user_id=anna.user_id),
        ChangeMemberRole(team_id=anna.team_id, user_id=anna.user_id, role=Role.VIEWER),
    ]
    for command in commands:
        with pytest.raises(PersonalTeam):
            await installation.dispatch(command, anna.context)
        with pytest.raises(NotFound):
            await installation.dispatch(command, bert.context)
    assert not await installation.store.read_stream(anna.team_id)


async def test_what_a_member_may_is_asked_of_the_team_and_not_of_a_view(
    installation: Installation,
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    team_id = await installation.found_team(anna)
    await installation.add_member(team_id, bert, Role.ADMIN)
    rename = RenameTeam(team_id=team_id, name="Ajax")
    await installation.dispatch(
        ChangeMemberRole(team_id=team_id, user_id=bert.user_id, role=Role.VIEWER), anna.context
    )
    with pytest.raises(RoleTooLow):  # though his context has an admin's grants
        await installation.dispatch(rename, bert.context)
    await installation.dispatch(RemoveMember(team_id=team_id, user_id=bert.user_id), anna.context)
    with pytest.raises(NotFound):
        await installation.dispatch(rename, bert.context)


async def test_a_deleted_team_is_not_there(installation: Installation) -> None:
    anna = await installation.register()
    team_id = await installation.found_team(anna)
    await installation.dispatch(DeleteTeam(team_id=team_id), anna.context)
    for command in (RenameTeam(team_id=team_id, name="Ajax"), DeleteTeam(team_id=team_id)):
        with pytest.raises(NotFound):
            await installation.dispatch(command, anna.context)
        with pytest.raises(NotFound):
            await installation.dispatch(command, by_key(anna, team_id, "admin:*"))


async def test_a_key_with_team_write_is_an_admin_at_most(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    team_id = await installation.found_team(anna)
    await installation.add_member(team_id, bert, Role.VIEWER)
    up = ChangeMemberRole(team_id=team_id, user_id=bert.user_id, role=Role.OWNER)
    program = by_key(anna, team_id, "admin:*")
    with pytest.raises(RoleTooLow):
        await installation.dispatch(up, program)
    with pytest.raises(RoleTooLow):
        await installation.dispatch(DeleteTeam(team_id=team_id), program)
    with pytest.raises(NotAllowed):
        await installation.dispatch(CreateTeam(name="Ajax"), program)
    with pytest.raises(NotAllowed):
        await installation.dispatch(up, by_key(anna, team_id, "team:read"))
    admin = msgspec.structs.replace(up, role=Role.ADMIN)
    await installation.dispatch(admin, by_key(anna, team_id, "team:write"))
    assert (await team_of(installation, team_id)).members[bert.user_id] is Role.ADMIN


async def test_of_two_owners_who_remove_each_other_exactly_one_stays(
    installation: Installation,
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    for number in range(40):
        team_id = await installation.found_team(anna, f"Team {number} of many")
        await installation.add_member(team_id, bert, Role.OWNER)
        buses = installation.another_bus(), installation.another_bus()  # as two API processes
        outcomes = await asyncio.gather(
            buses[0].dispatch(RemoveMember(team_id=team_id, user_id=bert.user_id), anna.context),
            buses[1].dispatch(RemoveMember(team_id=team_id, user_id=anna.user_id), bert.context),
            return_exceptions=True,
        )
        [refusal] = [each for each in outcomes if isinstance(each, BaseException)]
        assert isinstance(refusal, NotFound)
        assert list((await team_of(installation, team_id)).members.values()) == [Role.OWNER]


async def test_of_the_last_owners_who_all_go_at_once_one_stays(installation: Installation) -> None:
    people = [await installation.register(f"person{number}") for number in range(5)]
    team_id = await installation.found_team(people[0])
    for person in people[1:]:
        await installation.add_member(team_id, person, Role.OWNER)

    async def go(number: int, person: Person) -> None:
        ways = [
            RemoveMember(team_id=team_id, user_id=person.user_id),
            ChangeMemberRole(team_id=team_id, user_id=person.user_id, role=Role.VIEWER),
        ]
        await installation.another_bus().dispatch(ways[number % 2], person.context)

    outcomes = await asyncio.gather(
        *(go(number, person) for number, person in enumerate(people)), return_exceptions=True
    )
    refusals = [each for each in outcomes if isinstance(each, DomainError)]
    assert [type(each) for each in refusals] == [LastOwner]
    left = (await team_of(installation, team_id)).members
    assert list(left.values()).count(Role.OWNER) == 1


async def test_a_name_claimed_twice_at_once_is_had_once(installation: Installation) -> None:
    anna = await installation.register()
    outcomes = await asyncio.gather(
        *(
            installation.another_bus().dispatch(CreateTeam(name="Acme"), anna.context)
            for _ in range(8)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(each, TeamNameTaken) for each in outcomes) == 7
