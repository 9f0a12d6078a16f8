"""Reads the log and writes into the ledger what each endpoint is to be told.

Endpoints are folded here from the log itself, not read from a view: whether a message is wanted is
decided by what was so when it happened, and a follower that starts anew decides the same.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from domain.identity.events import UserErased
from domain.kernel.ids import ALPHABET, LENGTH
from domain.teams.events import TeamDeleted
from domain.webhooks.events import (
    WebhookCreated,
    WebhookDeleted,
    WebhookDisabled,
    WebhookEnabled,
    WebhookReplayRequested,
    WebhookRetryRequested,
    WebhookSecretRotated,
    WebhookTestRequested,
    WebhookUpdated,
)
from domain.webhooks.values import TEST_TYPE, matches
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import FRAME_TOPIC_PREFIX, Cursor, Progress, Stream, Topic
from infrastructure.webhooks import (
    Change,
    Endpoint,
    Enqueue,
    GiveUp,
    Ledger,
    Message,
    PutEndpoint,
    RemoveEndpoint,
    RemoveTeam,
    Replay,
    SendAgain,
)
from projections.deployments import DeploymentRow, as_of
from projections.live import WATCHED, LiveEvent, Narrator

BATCH_SIZE = 500
REPLAY_BATCH_SIZE = 500
DISABLED = "The webhook was disabled."
SLACK = timedelta(minutes=1)
"""Clocks of writers may differ by so much: a replay begins to look so much earlier."""
READ = (*WATCHED, "webhooks.", "teams.TeamDeleted@", "identity.UserErased@")

ENQUEUED = Counter("tallyport_webhooks_enqueued_total", "Messages that are to be sent")
LAG_SECONDS = Gauge("tallyport_webhooks_lag_seconds", "Age of the newest event when taken in")

log = structlog.get_logger()

Endpoints = Mapping[str, Endpoint]


class Store(Protocol):
    """What is read of the event store itself."""

    async def read_stream(self, stream_id: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        """Return a stream's events."""
        ...

    async def read_all(
        self, *, after: int, up_to: int | None = None, limit: int, without_data_of: str = ""
    ) -> Sequence[RecordedEvent]:
        """Return events after a position, in order."""
        ...


class Decoder(Protocol):
    """Decodes events; one that cannot be read comes back as the error."""

    async def decode_all(self, events: Sequence[RecordedEvent]) -> list[object]:
        """Return an event or an exception for each."""
        ...


class Follower:
    """The one that is awake does the work; another one at the same time is fenced off."""

    def __init__(
        self,
        stream: Stream,
        store: Store,
        decoder: Decoder,
        ledger: Ledger,
        tell: Callable[[Cursor], Awaitable[None]],
        news: asyncio.Event,
    ) -> None:
        """Take also what shows how far we are, and what is set when there is more to send."""
        self._stream = stream
        self._store = store
        self._decoder = decoder
        self._ledger = ledger
        self._tell = tell
        self._news = news
        self._endpoints: dict[str, Endpoint] = {}
        self._narrator: Narrator | None = None
        self._replays_wanted = asyncio.Event()

    async def run(self) -> None:
        """Follow the log. Ends only by an error; then whoever starts it again goes on."""
        position = await self._ledger.position()
        self._endpoints = {e.webhook_id: e for e in await self._ledger.endpoints()}
        self._narrator = None
        async for batch in self._stream.follow(
            Topic.EVENTS, {0: Progress(position=position)}, batch_size_max=BATCH_SIZE
        ):
            changes = await self._changes(batch.events)
            after = batch.progress[0].position
            await self._ledger.advance(changes, before=position, after=after)
            position = after
            await self._tell(batch.progress)
            if batch.events:
                newest = batch.events[-1].recorded_at
                LAG_SECONDS.set(max(0.0, (datetime.now(UTC) - newest).total_seconds()))
            if changes:
                ENQUEUED.inc(sum(isinstance(each, Enqueue) for each in changes))
                self._news.set()
            if any(isinstance(each, Replay) for each in changes):
                self._replays_wanted.set()

    async def replay(self) -> None:
        """Do the replays that were asked for, one after the other. Ends only by an error."""
        self._replays_wanted.set()
        while True:
            await self._replays_wanted.wait()
            self._replays_wanted.clear()
            for replay in await self._ledger.replays():
                await self._replay(replay)

    async def _changes(self, events: Sequence[RecordedEvent]) -> list[Change]:
        read = [event for event in events if event.topic.startswith(READ)]
        changes: list[Change] = []
        for event, recorded in zip(await self._decoder.decode_all(read), read, strict=True):
            if isinstance(event, Exception):
                log.warning("event not told", position=recorded.position, error=str(event))
            elif recorded.topic.startswith(WATCHED):
                changes += [Enqueue(message) for message in await self._told(event, recorded)]
            else:
                found = self._about_endpoints(event, recorded)
                changes += found
                self._remember(found)
        return changes

    async def _told(self, event: object, recorded: RecordedEvent) -> list[Message]:
        """Return what the endpoints there are now are to be told."""
        if not self._endpoints:
            self._narrator = None  # what it remembers of deployments would be out of date
            return []
        self._narrator = self._narrator or Narrator(self._past_of)
        told = await self._narrator.tell(event, recorded)
        return messages_of(told, recorded, self._endpoints)

    def _about_endpoints(self, event: object, recorded: RecordedEvent) -> list[Change]:
        if isinstance(event, WebhookCreated):
            return [
                PutEndpoint(
                    Endpoint(
                        webhook_id=event.webhook_id,
                        team_id=event.team_id,
                        url=event.url,
                        event_types=event.event_types,
                        secret=event.secret,
                    )
                )
            ]
        if isinstance(event, TeamDeleted):
            return [RemoveTeam(recorded.stream_id)]
        if isinstance(event, UserErased):
            return [RemoveTeam(event.user_id.replace("usr-", "org-", 1))]
        endpoint = self._endpoints.get(recorded.stream_id)
        return _of_known(event, recorded, endpoint) if endpoint is not None else []

    def _remember(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case PutEndpoint(endpoint):
                    self._endpoints[endpoint.webhook_id] = endpoint
                case RemoveEndpoint(webhook_id):
                    self._endpoints.pop(webhook_id, None)
                case RemoveTeam(team_id):
                    self._endpoints = {
                        name: each
                        for name, each in self._endpoints.items()
                        if each.team_id != team_id
                    }

    async def _replay(self, replay: Replay) -> None:
        """Read the log from the time on, and put into the ledger what the endpoint wants now."""
        narrator = Narrator(self._past_of)
        reached = replay.reached
        if reached is None:
            reached = await self._position_before(replay.since - SLACK, up_to=replay.position)
        while True:
            page = await self._store.read_all(
                after=reached,
                up_to=replay.position,
                limit=REPLAY_BATCH_SIZE,
                without_data_of=FRAME_TOPIC_PREFIX,
            )
            endpoint = self._endpoints.get(replay.webhook_id)
            messages: list[Message] = []
            if endpoint is not None and endpoint.enabled:
                messages = await self._told_again(narrator, page, replay, endpoint)
            past = not page or page[-1].recorded_at > replay.until + SLACK or endpoint is None
            reached = page[-1].position if page else reached
            await self._ledger.replay(replay, messages, reached=reached, done=past)
            self._news.set()
            if past:
                log.info("webhook replayed", webhook_id=replay.webhook_id)
                return

    async def _told_again(
        self,
        narrator: Narrator,
        page: Sequence[RecordedEvent],
        replay: Replay,
        endpoint: Endpoint,
    ) -> list[Message]:
        watched = [event for event in page if event.topic.startswith(WATCHED)]
        messages: list[Message] = []
        for event, recorded in zip(await self._decoder.decode_all(watched), watched, strict=True):
            if isinstance(event, Exception):
                continue
            told = await narrator.tell(event, recorded)
            if replay.since <= recorded.recorded_at < replay.until:
                messages += messages_of(told, recorded, {endpoint.webhook_id: endpoint})
        return messages

    async def _position_before(self, moment: datetime, *, up_to: int) -> int:
        """Return a position with nothing recorded since that time at or before it."""
        low, high = 0, up_to
        while low < high:
            middle = (low + high) // 2
            [*found] = await self._store.read_all(
                after=middle, up_to=up_to, limit=1, without_data_of=FRAME_TOPIC_PREFIX
            )
            if found and found[0].recorded_at < moment:
                low = found[0].position
            else:
                high = middle
        return low

    async def _past_of(self, deployment_id: str, position: int) -> DeploymentRow | None:
        recorded = [
            event
            for event in await self._store.read_stream(deployment_id)
            if event.position < position
        ]
        return as_of(zip(await self._decoder.decode_all(recorded), recorded, strict=True))


def messages_of(
    told: Sequence[LiveEvent], recorded: RecordedEvent, endpoints: Endpoints
) -> list[Message]:
    """Return a message for each endpoint that wants to hear of what is told."""
    return [
        Message(
            delivery_id=_new_id(),
            webhook_id=endpoint.webhook_id,
            cursor=event.cursor,
            position=recorded.position,
            event_type=event.type,
            body=body_of(event.type, event.timestamp, _data(event)),
        )
        for event in told
        for endpoint in endpoints.values()
        if endpoint.enabled
        and endpoint.team_id == event.team_id
        and matches(endpoint.event_types, event.type)
    ]


def body_of(event_type: str, timestamp: datetime, data: Mapping[str, Any]) -> str:
    """Return the message as it is sent: the same bytes with every attempt."""
    return msgspec.json.encode({"type": event_type, "timestamp": timestamp, "data": data}).decode()


def _data(event: LiveEvent) -> dict[str, Any]:
    ids = {
        "teamId": event.team_id,
        "deploymentId": event.deployment_id,
        "keyId": event.key_id,
    }
    return {**{name: value for name, value in ids.items() if value is not None}, **event.data}


def _of_known(event: object, recorded: RecordedEvent, endpoint: Endpoint) -> list[Change]:
    """Return what happened to an endpoint that there is."""
    webhook_id = endpoint.webhook_id
    changed: dict[str, Any] = {}
    match event:
        case WebhookUpdated():
            changed = {"url": event.url, "event_types": event.event_types}
        case WebhookSecretRotated():
            changed = {
                "secret": event.secret,
                "previous_secret": endpoint.secret,
                "previous_until": event.previous_until,
            }
        case WebhookEnabled():
            changed = {"enabled": True}
        case WebhookDisabled():
            disabled = msgspec.structs.replace(endpoint, enabled=False)
            return [PutEndpoint(disabled), GiveUp(webhook_id, DISABLED)]
        case WebhookDeleted():
            return [RemoveEndpoint(webhook_id)]
        case WebhookTestRequested():
            return [Enqueue(_test_message(event, recorded, endpoint), first=True)]
        case WebhookRetryRequested():
            return [SendAgain(webhook_id, event.delivery_id)]
        case WebhookReplayRequested():
            return [
                Replay(
                    position=recorded.position,
                    webhook_id=webhook_id,
                    since=event.since,
                    until=event.until,
                    missed_only=event.missed_only,
                )
            ]
    return [PutEndpoint(msgspec.structs.replace(endpoint, **changed))] if changed else []


def _test_message(
    event: WebhookTestRequested, recorded: RecordedEvent, endpoint: Endpoint
) -> Message:
    data = {
        "teamId": endpoint.team_id,
        "webhookId": endpoint.webhook_id,
        "message": "This is a test. If you can read it, and its signature is right, all is well.",
    }
    return Message(
        delivery_id=event.delivery_id,
        webhook_id=endpoint.webhook_id,
        cursor=f"{recorded.position}.1",
        position=recorded.position,
        event_type=TEST_TYPE,
        body=body_of(TEST_TYPE, recorded.recorded_at, data),
    )


def _new_id() -> str:
    return "whd-" + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
