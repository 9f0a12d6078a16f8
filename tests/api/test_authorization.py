"""Who may do what: `authorization.txt` says it for every route, and here every cell is tried out.

A new route fails this test with the line to add: its outcomes as they are today. Read them before
you add them. What is asked comes from the table of `test_routes.py`.
"""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from commands.bus import Context
from commands.identity.admins import FollowAdminLink, IssueAdminLink
from commands.work import NOBODY, Actor
from domain.teams.events import MemberAdded
from domain.teams.values import Role
from tests.api.conftest import Api, Body, Visitor
from tests.api.test_routes import TABLE, Row, url_of

FILE = Path(__file__).with_name("authorization.txt")
MEMBERS = ("viewer", "developer", "admin", "owner")
COLUMNS = ("anonymous", *MEMBERS, "outsider", "key", "platform")
NOBODY_KNOWN = {"unauthenticated", "invalid_credentials"}
ID = re.compile(r"\b([a-z]{3})-[0-9a-z]{10}\b")


def promised() -> dict[str, list[str]]:
    """Return the file's cells by route."""
    rows: dict[str, list[str]] = {}
    for line in FILE.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            method, path, *cells = line.split()
            assert len(cells) == len(COLUMNS), f"{FILE.name}: {len(COLUMNS)} cells, please: {line}"
            assert f"{method} {path}" not in rows, f"{FILE.name}: twice: {method} {path}"
            rows[f"{method} {path}"] = cells
    return rows


def line_of(name: str, cells: list[str]) -> str:
    method, _, path = name.partition(" ")
    shown = "  ".join(f"{cell:<{len(column)}}" for column, cell in zip(COLUMNS, cells, strict=True))
    return f"{method:<6} {path:<54} {shown}".rstrip()


class Cast:
    """A team with a member of every role, its owner's key, and the owner of another team."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.people: dict[str, Visitor] = {}
        self.known: dict[str, str] = {}
        """The team's things, by the beginning of the path that leads to them."""
        self._keys: dict[str, Visitor] = {}

    async def gather(self) -> None:
        for name in (*MEMBERS, "outsider", "platform"):
            self.people[name] = await self.api.join(f"{name}-of-it")
        await self._appoint(self.people["platform"])
        await self.new_team()

    async def _appoint(self, visitor: Visitor) -> None:
        """Let somebody look after the platform."""
        installation, user_id = self.api.installation, visitor.account["id"]
        link = await installation.dispatch(IssueAdminLink(), Context(actor=NOBODY))
        person = Context(actor=Actor(id=user_id, user_id=user_id))
        await installation.dispatch(FollowAdminLink(token=link.result), person)
        await installation.caught_up()
        self.api.app.state.doorkeeper.forget_person(user_id)

    @property
    def owner(self) -> Visitor:
        return self.people["owner"]

    async def new_team(self) -> None:
        """Let what is made from now on be another team's, with the same members."""
        team_id = await self.owner.found_team(f"Team {secrets.token_hex(6)}")
        added = [
            MemberAdded(user_id=self.people[name].account["id"], role=Role(name))
            for name in MEMBERS[:-1]
        ]
        position = await self.api.installation.append(team_id, *added, after=2)
        await self.api.reader.wait_for("members", position, timeout_seconds=20)
        for name in MEMBERS:
            self.api.app.state.doorkeeper.forget_person(self.people[name].account["id"])
        self.owner.team_id = team_id
        self.known.clear()

    async def visitor(self, column: str) -> Visitor:
        if column == "anonymous":
            return self.api.nobody
        if column == "key":
            team_id = self.owner.team_id or ""
            if team_id not in self._keys:
                self._keys[team_id] = await self.owner.with_key("call:*")
            return self._keys[team_id]
        return self.people[column]

    async def sign_in_again(self, column: str) -> None:
        """A route may have ended the session."""
        if column in self.people:
            person = self.people[column]
            again = await self.api.sign_in(person.account["email"])
            person.headers, person.session = again.headers, again.session


def outcome(answer: httpx.Response) -> str:
    assert answer.status_code < 500, answer.text
    if answer.status_code in {403, 404}:
        return str(answer.status_code)
    if answer.status_code == 401 and answer.json()["error"]["code"] in NOBODY_KNOWN:
        return "401"
    return "ok"


class Trial:
    """One route, tried by everybody."""

    def __init__(self, cast: Cast, row: Row, operation: Body) -> None:
        self.cast = cast
        self.row = row
        self._body_has_team = "teamId" in _body_fields(operation, cast.api)
        self._query_has_team = any(
            each["name"] == "teamId" and each["in"] == "query"
            for each in operation.get("parameters", [])
        )

    async def tried(self, column: str) -> str:
        """Return what becomes of it."""
        visitor = await self.cast.visitor(column)
        path = await self._url()
        before = await self.cast.api.installation.store.last_position()
        answer = await self._ask(visitor, path)
        found = outcome(answer)
        if found == "ok":
            await self._put_right(column)
        else:
            after = await self.cast.api.installation.store.last_position()
            assert after == before, f"{self.row.name} by {column} was refused and did something"
        if found == "404":
            await self._is_like_a_missing_one(visitor, answer, path)
        return found

    async def _url(self) -> str:
        """Return the path. Who comes next asks for the same thing as long as it is there."""
        fixed, brace, rest = self.row.path.rpartition("}")
        known = self.cast.known
        if fixed not in known:
            thing = Row(method="GET", path=fixed + brace)
            known[fixed] = await url_of(thing, self.cast.owner)
            await self.cast.api.installation.caught_up()
        if rest.startswith("/openapi"):
            await self.cast.owner.publish(known[fixed].rpartition("/")[2])
            await self.cast.api.installation.caught_up()
        query = f"?teamId={self.cast.owner.team_id}" if self._query_has_team else ""
        return known[fixed] + rest + query

    async def _ask(self, visitor: Visitor, path: str) -> httpx.Response:
        body = self.row.body
        if body is not None and "appName" in body:
            body = {**body, "appName": f"app-{secrets.token_hex(5)}"}
        if body is not None and self._body_has_team:
            body = {**body, "teamId": self.cast.owner.team_id}
        return await visitor.ask(self.row.method, path, body)

    async def _put_right(self, column: str) -> None:
        """Let the next one find what this one may have taken away."""
        if self.row.path.startswith("/v1/auth/"):
            await self.cast.sign_in_again(column)
        if self.row.name == "DELETE /v1/teams/{team_id}":
            await self.cast.new_team()
        if self.row.method == "DELETE":
            self.cast.known.clear()

    async def _is_like_a_missing_one(
        self, visitor: Visitor, answer: httpx.Response, path: str
    ) -> None:
        missing = await self._ask(visitor, ID.sub(r"\1-0000000000", path))
        ours, theirs = ({**each.json(), "requestId": ""} for each in (answer, missing))
        assert ours == theirs, f"{self.row.name} tells that somebody else's thing is there"
        assert set(answer.headers) == set(missing.headers), self.row.name


def _body_fields(operation: Body, api: Api) -> set[str]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    schemas: Any = api.app.openapi_schema["components"]["schemas"]  # type: ignore[index] # made
    return set(schemas.get(name, {}).get("properties", {}))


def operations(document: Body) -> Iterator[tuple[str, Body]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


async def test_everybody_may_do_on_every_route_what_the_table_says_and_nothing_else(
    api: Api,
) -> None:
    document = (await api.client.get("/openapi.json")).json()
    asked = {row.name: row for row in TABLE}
    table = promised()
    cast = Cast(api)
    await cast.gather()
    routes = dict(operations(document))
    wrong = [f"remove the line of a route that is gone: {name}" for name in table.keys() - routes]
    for name, operation in routes.items():
        if name not in asked:
            wrong.append(f"no row in TABLE of test_routes.py, so nobody can ask: {name}")
            continue
        trial, cells = Trial(cast, asked[name], operation), table.get(name)
        found = [await trial.tried(column) for column in COLUMNS]
        if cells is None:
            wrong.append(f"add, if this is what you mean:\n{line_of(name, found)}")
        elif found != cells:
            wrong.append(
                f"promised\n{line_of(name, cells)}\nbut it is\n{line_of(name, found)}\n"
                f"({', '.join(COLUMNS)})"
            )
    assert not wrong, f"\n{FILE}:\n" + "\n".join(wrong)
