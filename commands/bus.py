"""The bus: runs a command's handler, appends what it decided, once.

It retries on a conflict (somebody appended to the same stream first: load again, decide again), and
it makes a repeat harmless: the answer to a command with an idempotency key is stored in the same
transaction as its events, so a repeat finds either both or neither.
"""

import asyncio
import contextlib
import functools
import hashlib
import hmac
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import msgspec
import structlog

from commands.addresses import network_of, whose_address
from commands.states import StateCache
from commands.work import Actor, Loaded, Work
from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import DomainError, NotAllowed, NotFound
from domain.kernel.events import Event, personal_fields
from infrastructure.event_store import (
    ADDRESS_PURPOSE,
    Conflict,
    Idempotency,
    Metadata,
    NewEvent,
    RecordedEvent,
)
from infrastructure.link_tokens import LinkTokens
from infrastructure.passwords import Passwords
from infrastructure.sealing import KeyDestroyed, Vault

State = TypeVar("State", bound=msgspec.Struct)

ATTEMPTS_MAX = 12
STATES_MAX = 20_000
HISTORY_PAGE = 100
"""Events read at once: of a long history no more is in memory, and others have their turns."""

Handler = Callable[[Any, Work], Awaitable[Any]]
Handlers = Mapping[type[msgspec.Struct], Handler]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody wants. Imperative, and may be refused."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Where a command comes from."""

    actor: Actor
    address: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    expected: Mapping[str, Collection[int]] = {}
    """Per stream the versions in which the caller knows it: in another one nothing is done."""
    idempotency: Callable[["Decided"], Idempotency] | None = None
    """Makes of what was decided what is to be remembered for a repeat."""


class Decided(msgspec.Struct, frozen=True):
    """What a handler decided: its result, and the version that each stream it looked at has now."""

    result: Any
    versions: Mapping[str, int]


class Receipt(Decided, frozen=True):
    """What came of a command, and the log's position that includes it."""

    position: int


class Busy(DomainError):
    """Too many people are changing this at the same time; try again."""


class PreconditionFailed(DomainError):
    """It was changed since you read it; read it again."""


class Store(Protocol):
    """What the bus needs of the event store."""

    async def append(
        self, events: Sequence[NewEvent], *, idempotency: Idempotency | None = None
    ) -> int:
        """Append all or nothing."""
        ...

    async def read_stream(
        self, stream_id: str, *, after: int = 0, limit: int | None = None
    ) -> Sequence[RecordedEvent]:
        """Return a stream's events, at most so many."""
        ...

    async def versions(self, stream_ids: Sequence[str]) -> dict[str, int]:
        """Return the newest version of each stream that has events."""
        ...

    async def remember(self, idempotency: Idempotency | None) -> int:
        """Keep the answer to a command that changed nothing; return the newest position."""
        ...

    async def load_snapshot(self, stream_id: str, schema: str) -> tuple[int, bytes] | None:
        """Return the newest snapshot."""
        ...

    async def save_snapshot(self, stream_id: str, schema: str, version: int, state: bytes) -> None:
        """Keep a snapshot."""
        ...


class BatchCodec(Protocol):
    """What the bus needs of the codec."""

    async def encode_all(self, events: Sequence[Event]) -> list[tuple[str, bytes]]:
        """Encode."""
        ...

    async def decode_all(self, events: Sequence[RecordedEvent]) -> list[object]:
        """Decode."""
        ...


class Bus:
    """Dispatches commands. One per process; safe for any number of coroutines."""

    def __init__(
        self,
        *,
        store: Store,
        codec: BatchCodec,
        vault: Vault,
        passwords: Passwords,
        links: LinkTokens,
        handlers: Handlers,
        claim_secret: bytes,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._codec = codec
        self._vault = vault
        self._passwords = passwords
        self._links = links
        self._handlers = handlers
        self._claim_secret = claim_secret
        self._clock = clock
        self._states = StateCache(STATES_MAX)
        self._turns = Turns()

    async def dispatch(self, command: Command, context: Context) -> Receipt:
        """Run the command; raises what the handler refuses with.

        Also `PreconditionFailed` when a stream is not in the version that is expected, `Repeated`
        when the idempotency key was used before, `Busy` after `ATTEMPTS_MAX` conflicts,
        `StoreUnavailable`.
        """
        async with contextlib.AsyncExitStack() as turn:
            return await self._run(command, context, turn)

    async def _run(
        self, command: Command, context: Context, turn: contextlib.AsyncExitStack
    ) -> Receipt:
        handler = self._handlers[type(command)]
        fresh = in_turn = False
        for attempt in range(ATTEMPTS_MAX):
            work = self._work(context.actor, fresh=fresh)
            try:
                result = await _decide(handler(command, work), work, context)
            except DomainError:
                if not await self._was_out_of_date(work):
                    raise
                fresh = True
                continue
            if await self._was_out_of_date(work, but={c.stream_id for c in work.changes}):
                fresh = True
                continue
            try:
                return await self._append(work, context, Decided(result, work.versions))
            except Conflict as conflict:
                fresh = True
                if in_turn:  # it was another process
                    await asyncio.sleep(random.uniform(0, 0.002 * 2 ** min(attempt, 6)))  # noqa: S311
                else:
                    contended = conflict.stream_id or work.changes[0].stream_id
                    await turn.enter_async_context(self._turns.of(contended))
                    in_turn = True
        raise Busy

    async def load(
        self, aggregate: Aggregate[State], stream_id: str, *, fresh: bool
    ) -> Loaded[State]:
        """Return an aggregate: from memory, or from its snapshot and the events after it."""
        if "\0" in stream_id or not stream_id.isascii():
            return Loaded(aggregate, stream_id, None, 0)  # nothing has such an id
        if not fresh and (known := self._states.get(stream_id)) is not None:
            kept, kept_version = known
            if isinstance(kept, aggregate.state):  # an id of another kind of thing has none of ours
                personal = self._states.is_personal(stream_id)
                return Loaded(
                    aggregate, stream_id, kept, kept_version, cached=True, personal=personal
                )
        state, version = await self._snapshot(aggregate, stream_id)
        recorded = await self._store.read_stream(stream_id, after=version)
        events = await self._codec.decode_all(recorded)
        for event in events:
            if isinstance(event, Exception):
                raise event
            state = aggregate.evolve(state, event)  # type: ignore[arg-type] # by catalogue
        if recorded:
            version = recorded[-1].version
        personal = _tell_of_a_person(events)
        if state is not None:
            self._states.put(stream_id, state, version, personal=personal)
        return Loaded(aggregate, stream_id, state, version, personal=personal)

    async def history(self, stream_id: str) -> AsyncIterator[Event]:
        """Return every event of a stream, the first one first."""
        after = 0
        while page := await self._store.read_stream(stream_id, after=after, limit=HISTORY_PAGE):
            for event in await self._codec.decode_all(page):
                if isinstance(event, Exception):
                    raise event
                yield event  # type: ignore[misc] # by catalogue
            after = page[-1].version

    async def _was_out_of_date(self, work: Work, *, but: Collection[str] = ()) -> bool:
        """Tell whether the decision rests on a state that somebody else has changed since.

        `but`: what the command itself changes needs no such question: its append would conflict.
        """
        remembered = {s: version for s, version in work.remembered.items() if s not in but}
        if not remembered:
            return False
        return await self._store.versions(list(remembered)) != remembered

    def _work(self, actor: Actor, *, fresh: bool) -> Work:
        return Work(
            repository=self,
            actor=actor,
            now=self._clock(),
            vault=self._vault,
            passwords=self._passwords,
            links=self._links,
            claim_stream=self._claim_stream,
            fresh=fresh,
        )

    def _claim_stream(self, scope: str, value: str) -> str:
        digest = hmac.new(
            self._claim_secret, f"{scope}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256
        )
        return f"claim-{digest.hexdigest()[:40]}"

    async def _append(self, work: Work, context: Context, decided: Decided) -> Receipt:
        changes = work.changes
        idempotency = context.idempotency(decided) if context.idempotency is not None else None
        if not changes:
            position = await self._store.remember(idempotency)
            return Receipt(decided.result, decided.versions, position)
        new_events = await self._new_events(changes, context)
        try:
            position = await self._store.append(new_events, idempotency=idempotency)
        except Exception:
            for change in changes:
                self._states.drop(change.stream_id)
            raise
        for change in changes:
            await self._remember(change)
        return Receipt(decided.result, decided.versions, position)

    async def _new_events(
        self, changes: Sequence[Loaded[msgspec.Struct]], context: Context
    ) -> list[NewEvent]:
        encoded = iter(await self._codec.encode_all([e for c in changes for e in c.recorded]))
        address = await self._kept_address(changes, context)
        new_events = []
        for change in changes:
            metadata = _metadata(change, context, address=address)
            for number in range(1, len(change.recorded) + 1):
                topic, data = next(encoded)
                new_events.append(
                    NewEvent(
                        stream_id=change.stream_id,
                        version=change.version + number,
                        topic=topic,
                        data=data,
                        event_id=uuid4(),
                        metadata=metadata,
                    )
                )
        return new_events

    async def _kept_address(
        self, changes: Sequence[Loaded[msgspec.Struct]], context: Context
    ) -> str | None:
        """Return where the command came from as the log may keep it for ever."""
        if context.address is None:
            return None
        subject = whose_address(changes, context.actor)
        if subject is None:
            return network_of(context.address)
        await self._vault.load([subject])
        try:
            return self._vault.seal(context.address, subject=subject, purpose=ADDRESS_PURPOSE)
        except KeyDestroyed:
            return None

    async def _remember(self, change: Loaded[msgspec.Struct]) -> None:
        version = change.version + len(change.recorded)
        if change.state is None:
            self._states.drop(change.stream_id)
            return
        personal = change.personal or _tell_of_a_person(change.recorded)
        self._states.put(change.stream_id, change.state, version, personal=personal)
        every = change.aggregate.snapshot_every
        if every is None or change.version // every == version // every or personal:
            return
        try:
            await self._store.save_snapshot(
                change.stream_id,
                schema_of(change.aggregate),
                version,
                msgspec.json.encode(change.state),
            )
        except Exception as error:  # noqa: BLE001 - a snapshot is only a cache; the append is done
            structlog.get_logger().warning("snapshot not kept", error=str(error))

    async def _snapshot(
        self, aggregate: Aggregate[State], stream_id: str
    ) -> tuple[State | None, int]:
        if aggregate.snapshot_every is None:
            return None, 0
        snapshot = await self._store.load_snapshot(stream_id, schema_of(aggregate))
        if snapshot is None:
            return None, 0
        version, state = snapshot
        try:
            return msgspec.json.decode(state, type=aggregate.state), version
        except msgspec.MsgspecError:  # only a cache: the events tell it all
            structlog.get_logger().warning("snapshot not readable", stream_id=stream_id)
            return None, 0


class Turns:
    """Lets those who were in each other's way go one after the other."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def of(self, stream_id: str) -> AsyncIterator[None]:
        """Hold the turn of a stream."""
        lock, waiting = self._locks.get(stream_id, (asyncio.Lock(), 0))
        self._locks[stream_id] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks.pop(stream_id)
            if waiting > 1:
                self._locks[stream_id] = (lock, waiting - 1)


async def _decide(deciding: Awaitable[Any], work: Work, context: Context) -> object:
    """Return the handler's result; raises `PreconditionFailed` before what a rule refuses.

    But not before the thing turned out to be missing, or not the caller's: who may not know its
    version is not told whether they guessed it.
    """
    try:
        result = await deciding
    except (NotFound, NotAllowed):
        raise
    except DomainError:
        _check_expected(work, context)
        raise
    if not context.expected.keys() <= work.loaded_versions.keys():
        raise AssertionError("a version is expected of a stream that the handler does not load")
    _check_expected(work, context)
    return result


def _check_expected(work: Work, context: Context) -> None:
    loaded = work.loaded_versions
    for stream_id, versions in context.expected.items():
        if stream_id in loaded and loaded[stream_id] not in versions:
            raise PreconditionFailed


def _tell_of_a_person(events: Sequence[object]) -> bool:
    return any(isinstance(e, Event) and personal_fields(type(e)) for e in events)


def _metadata(change: Loaded[msgspec.Struct], context: Context, *, address: str | None) -> Metadata:
    """Return who and why; the team is the changed thing's own, where it has one."""
    return Metadata(
        actor=context.actor.id,
        team_id=getattr(change.state, "team_id", context.actor.home_team_id),
        address=address,
        correlation_id=context.correlation_id,
        causation_id=context.causation_id,
    )


@functools.cache
def schema_of(aggregate: Aggregate[State]) -> str:
    """Return what changes when the shape of the state does: then old snapshots are not read."""
    shape = msgspec.json.encode(msgspec.json.schema(aggregate.state))
    return f"{aggregate.name}:{hashlib.sha256(shape).hexdigest()[:16]}"
