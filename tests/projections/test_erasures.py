"""An erasure takes every row about the person along, in every view, live and in a replay."""

import pytest

from commands.bus import Context
from commands.identity import EndSession, EraseUser, SignIn
from commands.work import NOBODY
from projections.catalogue import VIEWS
from projections.erasures import ERASURES
from projections.identity import SESSIONS, USERS
from projections.teams import MEMBERS, TEAMS
from tests.projections.asking import digest, rebuild
from tests.wiring import PASSWORD, Installation, Person

STAY = {"departures"}
"""Ids only, by which the keys that an erased person left in a team are still to be ended."""


async def sign_in(installation: Installation, person: Person) -> str:
    command = SignIn(email=person.email, password=PASSWORD)
    result = (
        await installation.dispatch(command, Context(actor=NOBODY, address="192.0.2.7"))
    ).result
    return str(result.session_id)


@pytest.mark.parametrize("live", [True, False], ids=["live", "in one batch"])
async def test_rows_about_an_erased_person_are_gone_and_nobody_elses(
    installation: Installation, *, live: bool
) -> None:
    views = (USERS, SESSIONS, TEAMS, MEMBERS, ERASURES)
    if live:
        installation.start_views(views)
    anna, bert = await installation.register("anna"), await installation.register("bert")
    ended = await sign_in(installation, anna)
    await installation.dispatch(EndSession(session_id=ended), anna.context)
    await sign_in(installation, anna)
    kept = await sign_in(installation, bert)
    if live:
        await installation.caught_up(views)
    await installation.dispatch(EraseUser(password=PASSWORD), anna.context)
    again = await installation.register("anna")
    if not live:
        installation.start_views(views)
    assert {row["id"] for row in await installation.rows(USERS)} == {bert.user_id, again.user_id}
    assert [row["id"] for row in await installation.rows(SESSIONS)] == [kept]
    teams = {row["id"] for row in await installation.rows(TEAMS)}
    assert teams == {bert.team_id, again.team_id}
    members = {row["user_id"] for row in await installation.rows(MEMBERS)}
    assert members == {bert.user_id, again.user_id}
    [erasure] = await installation.rows(ERASURES)
    assert (erasure["erased_id"], erasure["team_id"]) == (anna.user_id, anna.team_id)
    assert erasure["key_destroyed_at"] is None
    for view in views:
        before = await digest(installation, view)
        await rebuild(installation, view)
        assert await digest(installation, view) == before


def test_every_view_about_people_says_which_column_names_them() -> None:
    for view in VIEWS:
        about_people = {"user_id", "username", "email"} & view.columns.keys()
        if not about_people or view.name in STAY:
            continue
        assert view.person in view.columns, (
            f"views.{view.name} tells about people: give it `person`, the column with the id of the"
            " person, so that an erasure deletes the rows"
        )
