"""Asks each deployment that shall publish its own document for it, once for every live revision.

Level-triggered: the views say whose live revision was not asked yet. A replica that has just become
ready may not have its document yet, so it is asked a few times before that is told. What came of it
is reported with path and revision, so a report that comes twice changes nothing. A document that is
the same as before leaves no trace in the log: after a restart it is looked at once more.
"""

import asyncio
from collections.abc import Callable

import msgspec
import psycopg
import structlog
from prometheus_client import Counter, Gauge
from psycopg_pool import PoolTimeout

from commands.bus import Bus, Context
from commands.portals import ReportDocument
from commands.work import Actor
from domain.deployments.values import ReplicaPhase
from domain.kernel.errors import DomainError
from infrastructure.documents import Fetcher, NotFetched, Unreadable, as_json, read
from projections.news import ViewNews
from projections.portals import DueDocument, due_documents
from projections.reading import Reader

NAME = "document fetcher"
AT_ONCE_MAX = 20
ATTEMPTS_MAX = 5
FIRST_PAUSE_SECONDS = 1.0
"""After the first failure; twice as long after each one more."""
LOOK_SECONDS = 15.0
"""So often it looks without being told that anything is new."""
GATHER_SECONDS = 0.2
"""News of a moment are one look."""

FETCHES = Counter("tallyport_document_fetches_total", "Documents asked for", ["outcome"])
FAILURES = Counter("tallyport_document_fetcher_failures_total", "Looks that came to nothing")
LAST_SUCCESS = Gauge(
    "tallyport_document_fetcher_last_success_seconds", "Unix time of the last look"
)

log = structlog.get_logger()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was done for one deployment."""

    path: str
    revision: int
    failures: int = 0
    again_at: float | None = None
    """None: nothing is left to do."""


class DocumentFetcher:
    """The one that is awake does the work; another one at the same time would repeat it."""

    def __init__(
        self,
        bus: Bus,
        reader: Reader,
        news: ViewNews,
        fetcher: Fetcher,
        *,
        host_of: Callable[[str], str],
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        """Take what says under which name a deployment's callers know it."""
        self._bus = bus
        self._reader = reader
        self._news = news
        self._fetcher = fetcher
        self._host_of = host_of
        self._first_pause_seconds = first_pause_seconds
        self._asked: dict[str, Asked] = {}

    async def run(self) -> None:
        """Fetch whatever is to be fetched. Never returns."""
        while True:
            try:
                await self.look()
                LAST_SUCCESS.set_to_current_time()
                seconds = self._seconds_to_next()
            except (psycopg.Error, PoolTimeout, OSError) as error:
                FAILURES.inc()
                log.warning("document fetcher interrupted", error=type(error).__name__)
                seconds = 1.0
            await asyncio.sleep(GATHER_SECONDS)
            await self._news.wait(seconds)

    async def look(self) -> None:
        """Do what there is to do now."""
        now = asyncio.get_running_loop().time()
        due = await due_documents(self._reader)
        self._asked = {
            each.deployment_id: asked
            for each in due
            if (asked := self._asked.get(each.deployment_id)) is not None
            and (asked.path, asked.revision) == (each.path, each.revision)
        }
        waiting = [each for each in due if self._is_its_turn(each.deployment_id, now)]
        await asyncio.gather(*(self._fetch(each) for each in waiting[:AT_ONCE_MAX]))

    def _is_its_turn(self, deployment_id: str, now: float) -> bool:
        asked = self._asked.get(deployment_id)
        return asked is None or (asked.again_at is not None and asked.again_at <= now)

    async def _fetch(self, due: DueDocument) -> None:
        ready = [
            replica
            for replica in due.running
            if replica.revision == due.revision
            and replica.phase is ReplicaPhase.READY
            and replica.address is not None
            and replica.port is not None
        ]
        if not ready:
            return  # the view tells when there is one
        replica = ready[0]
        text, problem = None, ""
        try:
            answered = await self._fetcher.fetch(
                str(replica.address), replica.port or 0, due.path, host=self._host_of(due.app_name)
            )
            text = await asyncio.to_thread(lambda: as_json(read(answered)))
        except (NotFetched, Unreadable) as error:
            problem = str(error)
        if text is None and self._tries_again(due):
            FETCHES.labels("tried again").inc()
            return
        FETCHES.labels("failed" if text is None else "fetched").inc()
        await self._report(due, text, problem)

    def _tries_again(self, due: DueDocument) -> bool:
        """Note a failure; tell whether it is worth asking once more."""
        before = self._asked.get(due.deployment_id)
        failures = 1 if before is None else before.failures + 1
        if failures >= ATTEMPTS_MAX:
            return False
        pause = self._first_pause_seconds * 2 ** (failures - 1)
        again_at = asyncio.get_running_loop().time() + pause
        self._asked[due.deployment_id] = Asked(
            path=due.path, revision=due.revision, failures=failures, again_at=again_at
        )
        return True

    async def _report(self, due: DueDocument, text: bytes | None, problem: str) -> None:
        command = ReportDocument(
            deployment_id=due.deployment_id,
            path=due.path,
            revision=due.revision,
            text=text,
            problem=problem,
        )
        try:
            await self._bus.dispatch(command, Context(actor=Actor(id=NAME)))
        except DomainError as error:  # one document must not keep the others waiting
            FAILURES.inc()
            log.warning("document not taken", deployment_id=due.deployment_id, error=error.code)
        self._asked[due.deployment_id] = Asked(path=due.path, revision=due.revision)

    def _seconds_to_next(self) -> float:
        now = asyncio.get_running_loop().time()
        times = [asked.again_at for asked in self._asked.values() if asked.again_at is not None]
        return min([max(at - now, 0.01) for at in times], default=LOOK_SECONDS)
