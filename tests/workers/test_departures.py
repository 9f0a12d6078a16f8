"""Who leaves a team leaves nothing behind that manages its things."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from commands.bus import Context
from commands.identity import EraseUser
from commands.teams import DeleteTeam, RemoveMember
from commands.webhooks import CreateWebhook
from commands.work import Actor
from domain.teams.values import Role
from infrastructure.ending import end
from projections.api_keys import API_KEYS
from projections.catalogue import VIEWS
from projections.departures import DEPARTURES
from projections.deployments import DEPLOYMENTS
from projections.erasures import ERASURES
from projections.news import ViewNews
from projections.reading import Reader
from projections.view import View
from projections.webhooks import WEBHOOKS
from tests.projections.asking import digest, rebuild
from tests.wiring import PASSWORD, Installation, Person
from workers.departures import REASON, Departures

SEEN: list[View[Any]] = [API_KEYS, DEPLOYMENTS, DEPARTURES, WEBHOOKS, ERASURES]


@asynccontextmanager
async def seeing_off(installation: Installation) -> AsyncIterator[None]:
    """Run the worker as a process just started would."""
    reader = Reader(installation.pool, installation.conninfo, VIEWS)
    news = ViewNews(installation.conninfo, {DEPARTURES.name})
    task = asyncio.create_task(Departures(installation.another_bus(), reader, news).run())
    try:
        yield
    finally:
        await end(task)
        await news.close()


def by_key(key_id: str, team_id: str, *scopes: str) -> Person:
    """A program with a key of the team."""
    program = object.__new__(Person)
    program.team_id = team_id
    program.context = Context(actor=Actor(id=key_id, grants={team_id: frozenset(scopes)}))
    return program


async def revoked(installation: Installation) -> set[str]:
    rows = await installation.query("SELECT id FROM views.api_keys WHERE revoked_at IS NOT NULL")
    return {row["id"] for row in rows}


async def test_the_managing_keys_of_who_left_are_revoked_and_no_others(
    installation: Installation,
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    team_id = await installation.found_team(anna)
    await installation.add_member(team_id, bert, Role.ADMIN)
    make = installation.create_key
    managing = await make(bert, team_id=team_id, scopes=("keys:write", "logs:read"))
    program = by_key(managing.key_id, team_id, "keys:write", "logs:read")
    made_by_it = await make(program, team_id=team_id, scopes=("logs:read",))
    await make(bert, team_id=team_id, scopes=("call:*",))
    await make(bert, scopes=("admin:*",))  # of his own team
    await make(anna, team_id=team_id, scopes=("admin:*",))
    installation.start_views(SEEN)
    await installation.caught_up(SEEN)
    async with seeing_off(installation), seeing_off(installation):
        remove = RemoveMember(team_id=team_id, user_id=bert.user_id)
        await installation.dispatch(remove, anna.context)
        await installation.until(
            "(SELECT count(*) FROM views.api_keys WHERE revoked_at IS NOT NULL) >= 2"
        )
        await installation.caught_up(SEEN)
    assert await revoked(installation) == {managing.key_id, made_by_it.key_id}
    events = await installation.store.read_stream(managing.key_id)
    last = msgspec.json.decode(events[-1].data)
    assert (len(events), last["reason"]) == (2, REASON)


async def test_a_departure_is_followed_after_a_kill_too(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    team_id = await installation.found_team(anna)
    await installation.add_member(team_id, bert, Role.ADMIN)
    keys = {
        (await installation.create_key(bert, team_id=team_id, scopes=("logs:read",))).key_id
        for _ in range(5)
    }
    await installation.dispatch(RemoveMember(team_id=team_id, user_id=bert.user_id), bert.context)
    installation.start_views(SEEN)
    await installation.caught_up(SEEN)
    while await revoked(installation) != keys:
        async with seeing_off(installation):  # each dies after the first thing it did
            before = len(await revoked(installation))
            await installation.until(
                "(SELECT count(*) FROM views.api_keys WHERE revoked_at IS NOT NULL) >= %s",
                min(before + 1, len(keys)),  # what the one before did may be seen only now
            )
    for key_id in keys:
        assert len(await installation.store.read_stream(key_id)) == 2


async def test_who_came_back_keeps_what_was_not_revoked_yet(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    team_id = await installation.found_team(anna)
    for _ in range(2):
        await installation.add_member(team_id, bert, Role.ADMIN)
        await installation.create_key(bert, team_id=team_id, scopes=("logs:read",))
        leave = RemoveMember(team_id=team_id, user_id=bert.user_id)
        await installation.dispatch(leave, bert.context)
    installation.start_views([DEPARTURES])
    [row] = await installation.rows(DEPARTURES)
    assert (row["team_id"], row["user_id"], row["dissolved"]) == (team_id, bert.user_id, False)
    await installation.add_member(team_id, bert, Role.VIEWER)
    assert await installation.rows(DEPARTURES) == []
    before = await digest(installation, DEPARTURES)
    await rebuild(installation, DEPARTURES)
    assert await digest(installation, DEPARTURES) == before


async def test_what_was_made_while_its_team_was_deleted_goes_with_it(
    installation: Installation,
) -> None:
    anna = await installation.register()
    team_id = await installation.found_team(anna)
    await installation.dispatch(DeleteTeam(team_id=team_id), anna.context)
    late_key = await installation.create_key(anna, team_id=team_id)  # by grants of a moment ago
    late = await installation.deploy(anna, team_id=team_id)
    kept = await installation.deploy(anna, "another")
    installation.start_views(SEEN)
    await installation.caught_up(SEEN)
    async with seeing_off(installation):
        await installation.until(
            "EXISTS (SELECT FROM views.api_keys WHERE revoked_at IS NOT NULL)"
            " AND EXISTS (SELECT FROM views.deployments WHERE status = 'deleting')"
        )
    assert await revoked(installation) == {late_key.key_id}
    rows = {row["id"]: row["status"] for row in await installation.rows(DEPLOYMENTS)}
    assert rows == {late.deployment_id: "deleting", kept.deployment_id: "pending"}


async def make_webhook(installation: Installation, person: Person, team_id: str) -> None:
    command = CreateWebhook(
        team_id=team_id,
        url="https://hooks.example.com/",
        event_types=("*",),
        known_types=("key.created",),
        present=0,
        webhooks_max=9,
    )
    await installation.dispatch(command, person.context)


async def test_the_webhooks_of_a_team_that_is_no_more_go_and_no_others(
    installation: Installation,
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    team_id = await installation.found_team(anna)
    for person, team in ((anna, team_id), (anna, anna.team_id), (bert, bert.team_id)):
        await make_webhook(installation, person, team)
    installation.start_views(SEEN)
    assert len(await installation.rows(WEBHOOKS)) == 3
    await installation.dispatch(DeleteTeam(team_id=team_id), anna.context)
    await installation.dispatch(EraseUser(password=PASSWORD), bert.context)
    await installation.caught_up(SEEN)
    async with seeing_off(installation):
        await installation.until("(SELECT count(*) FROM views.webhooks) = 1")
    [kept] = await installation.rows(WEBHOOKS)
    assert kept["team_id"] == anna.team_id
