"""A key does what its scopes say and nothing else, on every route that asks for one."""

from collections.abc import Collection

from domain.kernel.permissions import SCOPES, covers
from tests.api.conftest import Api, Visitor
from tests.api.test_routes import TABLE, Row, is_problem, team_in, url_of

ALSO = {
    "GET /v1/api-keys": "keys:write",
    "GET /v1/api-keys/{key_id}": "keys:write",
    "GET /v1/webhooks": "webhooks:write",
    "GET /v1/webhooks/{webhook_id}": "webhooks:write",
    "GET /v1/webhooks/{webhook_id}/deliveries": "webhooks:write",
    "GET /v1/webhooks/deliveries/{delivery_id}": "webhooks:write",
    "GET /v1/usage": "analytics:read",
}
"""Who may do the one sees what it is about, too."""

ROWS = [row for row in TABLE if row.scope is not None]
SINGLE = sorted(SCOPES - {"admin:*"})


def is_let_in(row: Row, held: Collection[str]) -> bool:
    wanted = {row.scope, ALSO.get(row.name, row.scope)}
    return any(covers(held, scope) for scope in wanted if scope is not None)


async def must_be_refused(program: Visitor, row: Row, path: str) -> None:
    answer = await program.ask(row.method, path, row.body)
    assert is_problem(answer, 403), row.name
    assert answer.json()["error"]["code"] == "not_allowed"
    assert answer.json()["error"]["details"][0]["message"] == row.scope


async def test_all_scopes_but_its_own_do_not_open_a_route(api: Api) -> None:
    """Rights only ever add up, so what all others together do not open, none of them does."""
    anna = await api.join()
    paths = {row.name: await url_of(row, anna) for row in ROWS}
    [team, *_] = [team_in(path) for path in paths.values() if team_in(path)]
    programs: dict[tuple[str, ...], Visitor] = {}
    for row in ROWS:
        path, of_a_team = paths[row.name], team_in(paths[row.name])
        held = tuple(scope for scope in SINGLE if not is_let_in(row, {scope}))
        asking = (*of_a_team, *held)
        if asking not in programs:
            programs[asking] = await anna.with_key(*held, **(team if of_a_team else {}))
            await api.installation.caught_up()
        before = await api.installation.store.last_position()
        if of_a_team:
            path = path.replace(of_a_team["teamId"], team["teamId"])
        await must_be_refused(programs[asking], row, path)
        assert await api.installation.store.last_position() == before


async def test_a_scope_alone_opens_what_it_is_for(api: Api) -> None:
    anna = await api.join()
    for row in ROWS:
        if row.method != "GET":
            continue  # see tests/api/test_routes.py
        path = await url_of(row, anna)
        for scope in {row.scope or "", ALSO.get(row.name, row.scope or "")}:
            program = await anna.with_key(scope, **team_in(path))
            await api.installation.caught_up()
            assert (await program.ask("GET", path)).status_code == 200, (row.name, scope)


async def test_a_key_for_everything_does_everything_in_its_own_team_only(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    everything = await anna.with_key("admin:*")
    for row in ROWS:
        if row.method != "GET":
            continue
        path = await url_of(row, anna)
        program = await anna.with_key("admin:*", **team_in(path)) if team_in(path) else everything
        await api.installation.caught_up()
        assert (await program.ask("GET", path)).status_code == 200, row.name
        if "{" in row.path:
            theirs = await url_of(row, berta)
            await api.installation.caught_up()
            assert is_problem(await program.ask("GET", theirs), 404), row.name
