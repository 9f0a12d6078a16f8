"""Sends what is due, each endpoint from its own queue, until it is taken or given up."""

import asyncio
import random
import time
from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import structlog
from prometheus_client import Counter, Gauge

from commands.bus import Bus, Context
from commands.webhooks import SECRET_PURPOSE, URL_PURPOSE, DisableFailingWebhook
from commands.work import Actor
from domain.kernel.errors import DomainError
from domain.webhooks.values import DisabledBecause, InvalidWebhookUrl, endpoint_of
from infrastructure.ending import end
from infrastructure.sealing import KeyDestroyed, Vault
from infrastructure.webhooks import (
    Answer,
    Attempt,
    Due,
    Endpoint,
    Ledger,
    Poster,
    Unreachable,
    Verdict,
)
from workers.webhooks import SenderOptions
from workers.webhooks.signing import headers_of

NAME = "webhooks"
TAKEN = range(200, 300)
GONE = 410
PRUNE_SECONDS = 600.0
BREATH_SECONDS = 0.01
PRUNE_AT_ONCE = 5_000
ERASED = "The team's key was destroyed: nobody can read the URL any more."

DELIVERED = Counter("tallyport_webhooks_delivered_total", "Messages that an endpoint took")
NOT_TAKEN = Counter("tallyport_webhooks_not_taken_total", "Attempts that came to nothing")
GIVEN_UP = Counter("tallyport_webhooks_given_up_total", "Messages that will not be tried again")
DISABLED = Counter("tallyport_webhooks_disabled_total", "Endpoints disabled as they took nothing")
UNDER_WAY = Gauge("tallyport_webhooks_under_way", "Messages being sent just now")
LAST_SUCCESS = Gauge(
    "tallyport_webhooks_last_success_seconds", "Unix time of the last message taken"
)

log = structlog.get_logger()


class Sender:
    """The one that is awake does the work; another one at the same time would send twice."""

    def __init__(
        self,
        ledger: Ledger,
        poster: Poster,
        vault: Vault,
        bus: Bus,
        news: asyncio.Event,
        *,
        private_hosts: Collection[str] = (),
        options: SenderOptions | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Take also what is set when there may be more to send."""
        self._ledger = ledger
        self._poster = poster
        self._vault = vault
        self._bus = bus
        self._news = news
        self._private_hosts = private_hosts
        self._options = options or SenderOptions()
        self._clock = clock
        self._under_way: dict[str, tuple[Endpoint, asyncio.Task[None]]] = {}
        self._proven: set[str] = set()
        """Endpoints that took what they were sent last, as far as this process knows."""
        self._recording = asyncio.Lock()

    async def run(self) -> None:
        """Send. Ends only by an error; what was under way is then sent again by the next."""
        prune_at = 0.0
        try:
            while True:
                self._news.clear()
                is_more_due = await self._start_what_is_due()
                if time.monotonic() >= prune_at:
                    await self._prune()
                    prune_at = time.monotonic() + PRUNE_SECONDS
                if is_more_due:
                    await asyncio.sleep(BREATH_SECONDS)
                else:
                    await self._wait()
                self._reap()
        finally:
            await end(*(task for _, task in self._under_way.values()))
            self._under_way.clear()
            UNDER_WAY.set(0)

    async def _start_what_is_due(self) -> bool:
        """Tell whether there may be more that could begin."""
        others = await self._start_due(failing=False)
        failing = await self._start_due(failing=True)
        UNDER_WAY.set(len(self._under_way))
        return others or failing

    async def _start_due(self, *, failing: bool) -> bool:
        """Start messages to endpoints that take nothing, or to the others, where there is room.

        Tells whether there may be more of them that could begin.
        """
        options = self._options
        endpoints = [endpoint for endpoint, _ in self._under_way.values()]
        room = options.at_once_max - len(endpoints)
        each_max = options.per_endpoint_max
        if failing:
            each_max = 1
            known = sum(endpoint.failing_since is not None for endpoint in endpoints)
            room = min(room, int(options.at_once_max * options.failing_share) - known)
        if room <= 0:
            return False
        busy = Tally(endpoint.webhook_id for endpoint in endpoints)
        found = await self._ledger.due(
            now=self._clock(),
            limit=room,
            per_endpoint=each_max,
            under_way=list(self._under_way),
            busy=busy,
            failing=failing,
        )
        unproven = 0
        for due in found if failing else in_turn(found, self._proven):
            webhook_id = due.endpoint.webhook_id
            if busy[webhook_id] and len(self._under_way) >= self._further_max(webhook_id):
                continue
            if webhook_id not in self._proven:
                if unproven == options.unproven_at_once:
                    return True
                unproven += 1
            busy[webhook_id] += 1
            task = asyncio.create_task(self._send(due))
            task.add_done_callback(lambda _: self._news.set())
            self._under_way[due.message.delivery_id] = (due.endpoint, task)
        return False

    def _further_max(self, webhook_id: str) -> float:
        """Return up to how many may be under way when an endpoint is given a further place."""
        options = self._options
        is_proven = webhook_id in self._proven
        share = options.further_share if is_proven else options.unproven_share
        return options.at_once_max * share

    def _reap(self) -> None:
        """Let go of what has ended; an error of the ledger ends the whole sender."""
        for name, (_, task) in list(self._under_way.items()):
            if task.done():
                del self._under_way[name]
                task.result()
        UNDER_WAY.set(len(self._under_way))

    async def _wait(self) -> None:
        now = self._clock()
        due_at = await self._ledger.next_due(after=now)
        seconds = self._options.look_seconds
        if due_at is not None:
            seconds = min(max((due_at - now).total_seconds(), 0.01), seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def _send(self, due: Due) -> None:
        at, started = self._clock(), time.monotonic()
        answer: Answer | None = None
        problem: str | None = None
        try:
            answer = await self._post(due, at)
        except (Unreachable, InvalidWebhookUrl) as error:
            problem = str(error)
        except KeyDestroyed:
            problem = ERASED
        if answer is not None and answer.status not in TAKEN:
            problem = f"It answered {answer.status}."
        attempt = Attempt(
            at=at,
            duration_ms=int((time.monotonic() - started) * 1000),
            status=answer.status if answer is not None else None,
            answer=answer.body if answer is not None else None,
            problem=problem,
        )
        verdict = self._verdict(due, answer)
        if verdict.status == "delivered":
            self._proven.add(due.message.webhook_id)
            await self._ledger.record(due, attempt, verdict)
            self._count(due, attempt, verdict)
            return
        self._proven.discard(due.message.webhook_id)
        async with self._recording:  # one by one, so that a success waits for none of them
            failing_since = await self._ledger.record(due, attempt, verdict)
        self._count(due, attempt, verdict)
        await self._disable_if_hopeless(due.endpoint, answer, failing_since)

    async def _post(self, due: Due, at: datetime) -> Answer:
        """Sign and send it, to where the webhook leads now and where it still may lead."""
        endpoint = due.endpoint
        await self._vault.load([endpoint.team_id])
        url = self._vault.open(endpoint.url, purpose=URL_PURPOSE)
        endpoint_of(url, private_hosts=self._private_hosts)
        sealed = [endpoint.secret]
        until = endpoint.previous_until
        if endpoint.previous_secret is not None and until is not None and at < until:
            sealed.append(endpoint.previous_secret)
        body = due.message.body.encode()
        headers = headers_of(
            due.message.delivery_id,
            body,
            secrets=[self._vault.open(each, purpose=SECRET_PURPOSE) for each in sealed],
            at=at,
        )
        return await self._poster.post(url, headers=headers, body=body)

    def _verdict(self, due: Due, answer: Answer | None) -> Verdict:
        if answer is not None and answer.status in TAKEN:
            return Verdict(status="delivered")
        now = self._clock()
        rests_until = self._rests_until(due.endpoint, now)
        waits = self._options.waits_seconds
        if due.tries >= len(waits) or (answer is not None and answer.status == GONE):
            return Verdict(status="failed", rests_until=rests_until)
        seconds = waits[due.tries] * self._by_chance()
        if answer is not None and answer.retry_after is not None:
            asked = min(_seconds_in(answer.retry_after, now), self._options.retry_after_seconds_max)
            seconds = max(seconds, asked)
        due_at = now + timedelta(seconds=seconds)
        return Verdict(status="pending", due_at=due_at, rests_until=rests_until)

    def _rests_until(self, endpoint: Endpoint, now: datetime) -> datetime | None:
        """Return until when an endpoint that took nothing, once more, is left alone."""
        if endpoint.failing_since is None:
            return None
        options = self._options
        seconds = (now - endpoint.failing_since).total_seconds() * options.rest_share
        seconds = min(max(seconds, options.rest_seconds_min), options.rest_seconds_max)
        return now + timedelta(seconds=seconds * self._by_chance())

    def _by_chance(self) -> float:
        """Return by how much a wait is longer, so that what failed together does not come so."""
        return 1 + random.uniform(0, self._options.jitter)  # noqa: S311 - no secret

    def _count(self, due: Due, attempt: Attempt, verdict: Verdict) -> None:
        about = {
            "webhook_id": due.message.webhook_id,
            "delivery_id": due.message.delivery_id,
            "status": attempt.status,
        }
        if verdict.status == "delivered":
            DELIVERED.inc()
            LAST_SUCCESS.set_to_current_time()
            log.debug("webhook message taken", **about)
            return
        NOT_TAKEN.inc()
        GIVEN_UP.inc(verdict.status == "failed")
        log.info("webhook message not taken", **about, given_up=verdict.status == "failed")

    async def _disable_if_hopeless(
        self, endpoint: Endpoint, answer: Answer | None, failing_since: datetime | None
    ) -> None:
        if failing_since is None or not endpoint.enabled:
            return
        if answer is not None and answer.status == GONE:
            reason = DisabledBecause.GONE
        elif self._clock() - failing_since >= timedelta(days=self._options.disable_days):
            reason = DisabledBecause.FAILING
        else:
            return
        command = DisableFailingWebhook(
            webhook_id=endpoint.webhook_id, reason=reason, failing_since=failing_since
        )
        try:
            await self._bus.dispatch(command, Context(actor=Actor(id=NAME)))
        except DomainError as error:  # the store is away: its next failure comes here again
            log.warning("webhook not disabled", webhook_id=endpoint.webhook_id, error=error.code)
            return
        DISABLED.inc()
        log.warning("webhook disabled", webhook_id=endpoint.webhook_id, reason=reason.value)

    async def _prune(self) -> None:
        before = self._clock() - timedelta(days=self._options.retention_days)
        forgotten = PRUNE_AT_ONCE
        while forgotten == PRUNE_AT_ONCE:  # more than it forgets at once
            forgotten = await self._ledger.prune(before=before, limit=PRUNE_AT_ONCE)


def in_turn(found: Sequence[Due], proven: Collection[str]) -> Iterator[Due]:
    """Yield first what goes to endpoints that take messages, then one for each of the others.

    Of those the one that has waited least goes first: who has a queue is most likely dead.
    """
    yield from (due for due in found if due.endpoint.webhook_id in proven)
    unproven = [due for due in found if due.endpoint.webhook_id not in proven]
    firsts: dict[str, Due] = {}
    for due in unproven:
        firsts.setdefault(due.endpoint.webhook_id, due)
    yield from reversed(firsts.values())
    yield from (due for due in unproven if firsts[due.endpoint.webhook_id] is not due)


def _seconds_in(retry_after: str, now: datetime) -> float:
    """Return how long an endpoint wants to be left alone; 0 for what nobody understands."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    return (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
