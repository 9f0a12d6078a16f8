"""One command's work: what it loaded, what it decided, and for whom.

A handler loads aggregates, lets them decide and records their events here. Nothing is stored until
the bus appends everything at once, so a handler may be run again from the start at any time.
"""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import msgspec

from domain.kernel.aggregates import CLAIM, Aggregate
from domain.kernel.errors import AlreadyTaken, NotAllowed, NotFound
from domain.kernel.events import Event, ValueClaimed, ValueReleased
from domain.kernel.ids import ALPHABET, LENGTH
from domain.kernel.permissions import covers
from infrastructure.link_tokens import LinkTokens
from infrastructure.passwords import Passwords
from infrastructure.sealing import Vault

State = TypeVar("State", bound=msgspec.Struct)


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants it."""

    id: str
    """Id of the person's user or of the key, or the name of a worker.

    Of the admin, where an admin of the platform acts as another person."""
    user_id: str | None = None
    """None for a key or a worker."""
    grants: Mapping[str, frozenset[str]] = {}
    """The scopes held in each team: by role for a person, as given for a key."""
    session_id: str | None = None
    """Of a person who is signed in."""
    home_team_id: str | None = None
    """Where things go unless a team is named: the personal team, or the key's own."""
    platform_admin: bool = False
    """Whether the person looks after the platform itself."""

    @classmethod
    def worker(cls, name: str, *held: str, team_id: str) -> "Actor":
        """Return a worker that does in one team what these scopes allow."""
        return cls(id=name, grants={team_id: frozenset(held)}, home_team_id=team_id)

    @property
    def impersonates(self) -> bool:
        """Whether an admin of the platform acts as the person `user_id`."""
        return self.user_id is not None and self.id != self.user_id

    def sees(self, team_id: str) -> bool:
        """Tell whether the actor has anything to do with the team."""
        return team_id in self.grants

    def holds(self, scope: str, *, team_id: str) -> bool:
        """Tell whether the actor may do this in that team."""
        return covers(self.grants.get(team_id, frozenset()), scope)

    def teams_with(self, *any_of: str) -> tuple[str, ...]:
        """Return the teams in which the actor holds at least one of these scopes."""
        return tuple(
            team_id
            for team_id, held in self.grants.items()
            if any(covers(held, scope) for scope in any_of)
        )


def missing(scope: str, *, team_id: str | None = None) -> NotAllowed:
    """Return the refusal of somebody who does not hold the scope."""
    refusal = NotAllowed(f"This needs the scope {scope!r}.", scope=scope)
    refusal.team_id = team_id
    return refusal


NOBODY = Actor(id="anonymous")


class Loaded(msgspec.Struct, Generic[State]):
    """One aggregate as the log has it now."""

    aggregate: Aggregate[State]
    stream_id: str
    state: State | None
    version: int
    cached: bool = False
    personal: bool = False
    """The state tells of a person, so it may not be kept for long."""
    recorded: list[Event] = []

    @property
    def present(self) -> State:
        """The state of something that must exist; raises `NotFound`."""
        if self.state is None:
            raise NotFound
        return self.state


class Repository(Protocol):
    """Loads aggregates."""

    async def load(
        self, aggregate: Aggregate[State], stream_id: str, *, fresh: bool
    ) -> Loaded[State]:
        """Return the aggregate; `fresh` asks the log itself even when a state is cached."""
        ...

    def history(self, stream_id: str) -> AsyncIterator[Event]:
        """Return every event of a stream, the first one first."""
        ...


class Work:
    """Everything one run of a handler sees and says."""

    def __init__(
        self,
        *,
        repository: Repository,
        actor: Actor,
        now: datetime,
        vault: Vault,
        passwords: Passwords,
        links: LinkTokens,
        claim_stream: "ClaimStream",
        fresh: bool,
    ) -> None:
        self.actor = actor
        self.now = now
        self.vault = vault
        self.passwords = passwords
        self.links = links
        self._repository = repository
        self._claim_stream = claim_stream
        self._fresh = fresh
        self._loaded: dict[str, Loaded[msgspec.Struct]] = {}

    @property
    def changes(self) -> list[Loaded[msgspec.Struct]]:
        """The aggregates that recorded something, in the order they were loaded."""
        return [loaded for loaded in self._loaded.values() if loaded.recorded]

    @property
    def loaded_versions(self) -> dict[str, int]:
        """The streams that were looked at, with the version each had then."""
        return {stream_id: loaded.version for stream_id, loaded in self._loaded.items()}

    @property
    def versions(self) -> dict[str, int]:
        """The same streams with the version each has once everything is appended."""
        return {
            stream_id: loaded.version + len(loaded.recorded)
            for stream_id, loaded in self._loaded.items()
        }

    @property
    def remembered(self) -> dict[str, int]:
        """The streams whose state came from memory, with the version it had."""
        return {
            stream_id: loaded.version for stream_id, loaded in self._loaded.items() if loaded.cached
        }

    async def load(
        self, aggregate: Aggregate[State], stream_id: str, *, fresh: bool = False
    ) -> Loaded[State]:
        """Return an aggregate, existing or not; the same object each time it is asked for.

        `fresh` asks the log itself: for what a decision rests on without changing it, when a
        moment late would be too late.
        """
        known = self._loaded.get(stream_id)
        if known is not None:
            return known  # type: ignore[return-value] # states are invariant
        loaded = await self._repository.load(aggregate, stream_id, fresh=fresh or self._fresh)
        self._loaded[stream_id] = loaded  # type: ignore[assignment] # states are invariant
        return loaded

    def history(self, loaded: Loaded[State]) -> AsyncIterator[Event]:
        """Return all that happened to it, for what its state does not remember: seldom needed."""
        return self._repository.history(loaded.stream_id)

    def create(self, aggregate: Aggregate[State], stream_id: str) -> Loaded[State]:
        """Return an aggregate under a new id: nothing can be there yet, so nothing is read."""
        loaded = Loaded(aggregate, stream_id, None, 0)
        self._loaded[stream_id] = loaded  # type: ignore[assignment] # states are invariant
        return loaded

    def record(self, loaded: Loaded[State], events: Sequence[Event]) -> None:
        """Remember what was decided, to be appended when the handler is done."""
        loaded.recorded.extend(events)
        loaded.state = loaded.aggregate.replay(events, loaded.state)

    async def claim(self, scope: str, value: str, *, owner_id: str, taken: AlreadyTaken) -> None:
        """Make a unique value the owner's; raises `taken` when it is somebody else's."""
        claim = await self.load(CLAIM, self._claim_stream(scope, value))
        owner = claim.state.owner_id if claim.state is not None else None
        if owner == owner_id:
            return
        if owner is not None:
            raise taken
        self.record(claim, [ValueClaimed(scope=scope, owner_id=owner_id)])

    async def release(self, scope: str, value: str, *, owner_id: str) -> None:
        """Give a unique value up, if it is the owner's."""
        claim = await self.load(CLAIM, self._claim_stream(scope, value))
        if claim.state is not None and claim.state.owner_id == owner_id:
            self.record(claim, [ValueReleased(scope=scope, owner_id=owner_id)])

    async def owner_of(self, scope: str, value: str) -> str | None:
        """Return who owns a unique value."""
        claim = await self.load(CLAIM, self._claim_stream(scope, value))
        return claim.state.owner_id if claim.state is not None else None

    def must_hold(self, scope: str, *, team_id: str) -> None:
        """Raise `NotAllowed` in one's own team, `NotFound` for another team's things.

        Even the existence of what another team has is not told.
        """
        if not self.actor.sees(team_id):
            raise NotFound
        if not self.actor.holds(scope, team_id=team_id):
            raise missing(scope, team_id=team_id)

    def must_be_platform_admin(self) -> None:
        """Raise `NotAllowed` for whoever does not look after the platform."""
        if not self.actor.platform_admin:
            raise NotAllowed("Only an admin of the platform may do this.")

    def new_id(self, prefix: str) -> str:
        """Return a new random id."""
        return prefix + "-" + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))

    def new_nonce(self) -> str:
        """Return 128 random bits, by which one link is told from every other."""
        return secrets.token_urlsafe(16)


class ClaimStream(Protocol):
    """Names the stream of a unique value without giving the value away."""

    def __call__(self, scope: str, value: str) -> str:
        """Return the id of the stream."""
        ...
