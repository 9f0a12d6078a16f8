"""Looks custom domains up in DNS when it is their time, and lets them follow their deployments.

Level-triggered: the view says which checks are due. What was seen is reported together with the
check it was for, so a report that comes twice, from here or from another one, counts once.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import structlog
from prometheus_client import Counter, Gauge
from psycopg_pool import PoolTimeout

from commands.bus import Bus, Command, Context
from commands.custom_domains import FollowDeployment, ReportDomainCheck
from commands.work import Actor
from domain.custom_domains.values import (
    INCONCLUSIVE,
    PROOF_LABEL,
    Answer,
    Fault,
    Schedule,
    Sighting,
    Target,
)
from domain.kernel.errors import DomainError
from infrastructure.dns import Lookup, Outcome, Resolver
from projections.custom_domains import DueDomain, astray_domains, due_domains, next_domain_due
from projections.news import ViewNews
from projections.reading import Reader

NAME = "domain checker"
AT_ONCE_MAX = 50
"""So many domains are looked up at the same time."""
ALIASES_MAX = 8
CHECK_SECONDS = 15.0
"""For all questions about one domain: slow servers do not keep the others waiting."""
LOOK_SECONDS = 15.0
"""So often it looks without being told that anything is new."""
GATHER_SECONDS = 0.1
"""News of a moment are one look."""

CHECKS = Counter("tallyport_domain_checks_total", "Domains looked up in DNS")
FAILURES = Counter("tallyport_domain_checker_failures_total", "Looks that came to nothing")
LAST_SUCCESS = Gauge("tallyport_domain_checker_last_success_seconds", "Unix time of the last look")

_FAULTS = {
    Outcome.NO_RECORD: Fault.MISSING,
    Outcome.NO_SUCH_NAME: Fault.NO_SUCH_NAME,
    Outcome.SERVER_FAILURE: Fault.SERVER_FAILURE,
    Outcome.TIMEOUT: Fault.TIMEOUT,
}

log = structlog.get_logger()


class DomainChecker:
    """The one that is awake does the work; another one at the same time would repeat it."""

    def __init__(
        self,
        bus: Bus,
        reader: Reader,
        news: ViewNews,
        resolver: Resolver,
        target: Target,
        *,
        schedule: Schedule | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._bus = bus
        self._reader = reader
        self._news = news
        self._resolver = resolver
        self._target = target
        self._schedule = schedule or Schedule()
        self._clock = clock
        self._reported: dict[str, datetime] = {}
        """By domain, the check that was reported: the view takes a moment to know."""

    async def run(self) -> None:
        """Check whatever is due. Never returns."""
        while True:
            try:
                await self.look()
                LAST_SUCCESS.set_to_current_time()
                seconds = await self._seconds_to_next()
            except (psycopg.Error, PoolTimeout, OSError) as error:
                FAILURES.inc()
                log.warning("domain checker interrupted", error=type(error).__name__)
                seconds = 1.0
            await asyncio.sleep(GATHER_SECONDS)
            await self._news.wait(seconds)

    async def look(self) -> None:
        """Do what there is to do now."""
        for domain_id in await astray_domains(self._reader, limit=AT_ONCE_MAX):
            await self._ask(domain_id, FollowDeployment(domain_id=domain_id))
        due = await due_domains(self._reader, now=self._clock(), limit=AT_ONCE_MAX)
        known, self._reported = self._reported, {}
        for domain in due:
            if known.get(domain.id) == domain.next_check_at:
                self._reported[domain.id] = domain.next_check_at
        await asyncio.gather(
            *(self._check(domain) for domain in due if domain.id not in self._reported)
        )

    async def _check(self, domain: DueDomain) -> None:
        seen = await look_up(self._resolver, domain.name)
        CHECKS.inc()
        command = ReportDomainCheck(
            domain_id=domain.id,
            due_at=domain.next_check_at,
            seen=seen,
            target=self._target,
            schedule=self._schedule,
        )
        if await self._ask(domain.id, command):
            self._reported[domain.id] = domain.next_check_at

    async def _ask(self, domain_id: str, command: Command) -> bool:
        """Return whether it was carried out; one domain must not keep the others waiting."""
        try:
            await self._bus.dispatch(command, Context(actor=Actor(id=NAME)))
        except DomainError as error:
            FAILURES.inc()
            log.warning("domain not decided", domain_id=domain_id, error=error.code)
            return False
        return True

    async def _seconds_to_next(self) -> float:
        now = self._clock()
        due_at = await next_domain_due(self._reader, after=now)
        if due_at is None:
            return LOOK_SECONDS
        return min(max((due_at - now).total_seconds(), 0.01), LOOK_SECONDS)


async def look_up(
    resolver: Resolver, name: str, *, timeout_seconds: float = CHECK_SECONDS
) -> Sighting:
    """Return what DNS has of a name."""

    async def within(asking: "asyncio.Future[Answer]") -> Answer:
        try:
            async with asyncio.timeout_at(deadline):
                return await asking
        except TimeoutError:
            return Answer(fault=Fault.TIMEOUT)

    deadline = asyncio.get_running_loop().time() + timeout_seconds
    aliases, addresses, texts = await asyncio.gather(
        *(
            within(asyncio.ensure_future(asking))
            for asking in (
                _aliases(resolver, name),
                _addresses(resolver, name),
                _texts(resolver, f"{PROOF_LABEL}.{name}"),
            )
        )
    )
    return Sighting(aliases=aliases, addresses=addresses, texts=texts)


async def _aliases(resolver: Resolver, name: str) -> Answer:
    """Follow the CNAMEs, one after the other: some servers tell only their own."""
    found: list[str] = []
    while len(found) < ALIASES_MAX:
        lookup = await resolver.lookup(found[-1] if found else name, "CNAME")
        if not lookup.values:
            # Where the last one leads to may have no name at all; the CNAME is there nevertheless.
            ended = found and lookup.outcome in {Outcome.NO_RECORD, Outcome.NO_SUCH_NAME}
            return Answer(values=tuple(found), fault=None if ended else _FAULTS[lookup.outcome])
        if lookup.values[0] in found:
            break
        found.append(lookup.values[0])
    return Answer(values=tuple(found))


async def _addresses(resolver: Resolver, name: str) -> Answer:
    lookups = await asyncio.gather(resolver.lookup(name, "A"), resolver.lookup(name, "AAAA"))
    for each in lookups:
        if _answer(each).fault in INCONCLUSIVE:  # half of the addresses would say too much
            return _answer(each)
    values = tuple(value for each in lookups for value in each.values)
    return Answer(values=values) if values else _answer(lookups[0])


async def _texts(resolver: Resolver, name: str) -> Answer:
    return _answer(await resolver.lookup(name, "TXT"))


def _answer(lookup: Lookup) -> Answer:
    return Answer(values=lookup.values, fault=_FAULTS.get(lookup.outcome))
