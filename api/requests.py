"""What a route does with a request: change something once, or read when it is up to date."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

from fastapi import Depends, Header
from starlette.requests import Request
from starlette.responses import Response

from api.answers import Answer, refusal
from api.callers import Caller, Doorkeeper
from api.errors import InvalidValue, Malformed
from api.idempotency import Once, key_in
from api.kept_answers import KeptAnswers
from api.services import Services
from commands.bus import Command, Context, Decided
from commands.work import NOBODY, missing
from domain.kernel.errors import DomainError, NotAllowed, NotFound

POSITION_HEADER = "X-Tallyport-Position"
MIN_POSITION = "X-Tallyport-Min-Position"
POSITION_DIGITS_MAX = 18
ENTITY_TAG = re.compile(r'"[0-9]{1,18}"')


class Asking:
    """One request and everything there is to answer it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.services: Services = request.app.state.services
        self.options = self.services.options
        self.views = self.services.views
        self._caller: Caller | None = request.state.caller

    @property
    def caller(self) -> Caller:
        """Who asks. Only for routes behind the guard."""
        if self._caller is None:
            raise AssertionError  # the guard lets nobody through without
        return self._caller

    @property
    def doorkeeper(self) -> Doorkeeper:
        """Who tells callers from strangers."""
        doorkeeper: Doorkeeper = self.request.app.state.doorkeeper
        return doorkeeper

    @property
    def request_id(self) -> str:
        """The request's id."""
        return str(self.request.state.request_id)

    @property
    def seen_teams(self) -> tuple[str, ...]:
        """The teams whose things may be known to exist."""
        return tuple(self.caller.actor.grants)

    def team_id(self, *any_of: str, named: str | None = None) -> str:
        """Return the team that is named, or the caller's own; refuses without one of the scopes."""
        team_id = named or self.caller.actor.home_team_id
        if team_id is None or not self.caller.actor.sees(team_id):
            raise NotFound
        if team_id not in self.caller.actor.teams_with(*any_of):
            raise missing(any_of[0], team_id=team_id)
        return team_id

    def team_ids(self, *any_of: str, named: str | None = None) -> tuple[str, ...]:
        """Return the teams in which the caller holds one of these scopes; refuses if in none.

        Only the one that is named, if one is.
        """
        if named is not None:
            return (self.team_id(*any_of, named=named),)
        found = self.caller.actor.teams_with(*any_of)
        if not found:
            raise missing(any_of[0])
        return found

    def must_hold(self, *any_of: str, team_id: str) -> None:
        """Refuse a caller who may see the team's things but holds none of these scopes in it."""
        self.team_id(*any_of, named=team_id)

    def must_be_a_person(self) -> str:
        """Return the caller's user id; refuses a key."""
        if self.caller.actor.user_id is None:
            raise NotAllowed("Only a person who is signed in may do this, not a key.")
        return self.caller.actor.user_id


class Write(Asking):
    """A request that changes something."""

    async def dispatch(
        self,
        command: Command,
        answer: Callable[[Any], Answer],
        *,
        resource: str | None = None,
    ) -> Response:
        """Run the command once, however often it is asked for, and answer it."""
        return (await self.run(command, answer, resource=resource)).response()

    async def run(
        self,
        command: Command,
        answer: Callable[[Any], Answer],
        *,
        resource: str | None = None,
    ) -> Answer:
        """Run the command once and return the answer, with the log's position in it.

        `resource` is the stream of what the request is about: only in a version that `If-Match`
        names is anything done to it, and its new version is the answer's entity tag. What was
        created is the last part of `Location`. A handler that returns a refusal, instead of
        raising it, has something to record about it.
        """
        once = await Once.of(self.request, self.services, self._caller, command)
        context = Context(
            actor=self._caller.actor if self._caller is not None else NOBODY,
            address=self.request.state.address,
            correlation_id=self.request_id,
            expected=self._expected(resource),
        )

        def tagged(decided: Decided) -> Answer:
            if isinstance(decided.result, DomainError):
                return refusal(decided.result, request_id=self.request_id)
            made = answer(decided.result)
            subject = resource or made.headers.get("Location", "").rpartition("/")[2]
            version = decided.versions.get(subject)
            return made if version is None else made.with_headers(ETag=etag(version))

        done = await once.run(command, context, tagged)
        self.request.state.changed = True
        return done

    def _expected(self, resource: str | None) -> dict[str, frozenset[int]]:
        """Return what the client says, by `If-Match`, to know of the resource."""
        sent = self.request.headers.getlist("if-match")
        if resource is None or not sent:
            return {}
        tags = [tag.strip() for each in sent for tag in each.split(",")]
        if "*" in tags:  # whatever it is, as long as it is there
            return {}
        return {resource: frozenset(int(tag[1:-1]) for tag in tags if ENTITY_TAG.fullmatch(tag))}


class Read(Asking):
    """A request that only looks."""

    def __init__(self, request: Request, views: Sequence[str] = ()) -> None:
        super().__init__(request)
        self._views = views
        self._changes = self.views.changes(views)

    def kept(self, response: Response) -> Response:
        """Return the response, and give it again to who asks the same before rows change.

        Only for an answer that comes from these views alone and has no secret in it.
        """
        kept: KeptAnswers = self.request.app.state.kept_answers
        if self._changes is not None:
            kept.keep(self.request.scope, response, views=self._views, changes=self._changes)
        return response

    async def wait(self, position: int, views: Iterable[str]) -> None:
        """Return once these views have reached the position."""
        behind = [view for view in views if not self.views.has_reached(view, position)]
        if behind and position > await self.services.log.last_position():
            # Nobody got it from us, and it may be long until the log is there.
            raise InvalidValue(
                "The log has no such position yet.", fields={MIN_POSITION: "is too high"}
            )
        for view in behind:
            await self.views.wait_for(view, position, timeout_seconds=self.options.wait_seconds_max)

    async def wait_as_oneself(self, position: int, views: Sequence[str]) -> None:
        """Do the same, and know whoever asks as who they are by then."""
        caller: Caller | None = self.request.state.caller
        await self.wait(position, views if caller is None else {"members", *views})
        if caller is not None:
            self.request.state.caller = await self.doorkeeper.caller_at(caller, position)


async def _write(request: Request) -> Write:
    key_in(request)  # one that is none is refused also where nothing has to be remembered
    return Write(request)


Writing = Annotated[Write, Depends(_write)]
MinPosition = Annotated[
    str | None,
    Header(
        alias=MIN_POSITION,
        description="Answer only from views that have reached this position; 503 after a while.",
        json_schema_extra={"pattern": f"^[0-9]{{1,{POSITION_DIGITS_MAX}}}$"},
    ),
]


def reading(*views: str) -> Any:  # noqa: ANN401 - what FastAPI's Depends returns
    """Return the dependency of a route that reads these views."""

    async def read(request: Request, position: MinPosition = None) -> Read:
        if position is not None:
            await Read(request).wait_as_oneself(parse_position(position), views)
        return Read(request, views)

    async def look(request: Request) -> Read:
        return Read(request)

    return Depends(read if views else look)


def parse_position(text: str) -> int:
    """Return a position of the log; raises `Malformed`."""
    if not text.isascii() or not text.isdecimal() or len(text) > POSITION_DIGITS_MAX:
        raise Malformed("X-Tallyport-Min-Position is a number.")
    return int(text)


def etag(version: int) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'
