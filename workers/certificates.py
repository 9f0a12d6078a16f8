"""Keeps the certificates of active domains: orders, renews, and lets go those of lost domains.

Level-triggered: each look compares the domains with the store and does what is due. An order is a
row with a lease, so of two keepers one does it, and one that was killed is resumed where it was:
its key and the order's URL are kept, sealed, before anything depends on them. The log hears of what
is in the store afterwards, and again until it knows.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
import psycopg
import structlog
from prometheus_client import Counter
from psycopg_pool import PoolTimeout

from commands.bus import Bus, Command, Context
from commands.certificates import NoteCertificate, NoteFailedOrder, NoteLostDomain
from commands.work import Actor
from domain.certificates.values import Facts, renewal_due_at
from domain.kernel.errors import DomainError
from infrastructure.acme import CannotIssue, CertificateAuthority, new_private_key
from infrastructure.certificates import (
    Certificate,
    CertificateStore,
    LeaseLost,
    Order,
    Standing,
    StoredCertificate,
    Unusable,
)
from infrastructure.ending import end
from projections.certificates import WantedCertificate, domains_with_certificates
from projections.news import ViewNews
from projections.reading import Reader

NAME = "certificate keeper"
AT_ONCE_MAX = 10
LOOK_SECONDS = 5.0
"""So often it looks without being told that there is anything new."""
STEP_SECONDS = 60.0
"""How long one step of an order may take; the lease is held for a little longer."""
GATEWAY_SECONDS = 20.0
"""How long the gateways may take to know a challenge."""
GATEWAY_POLL_SECONDS = 0.1
RETRY_SECONDS, RETRY_FACTOR, RETRY_SECONDS_MAX = 60.0, 4, 86_400.0
"""Four tries in the first hour: Let's Encrypt bears five."""

ISSUED = Counter("tallyport_certificates_issued_total", "Certificates issued")
FAILED = Counter("tallyport_certificate_orders_failed_total", "Orders that came to nothing")

log = structlog.get_logger()
Result = TypeVar("Result")
Inspect = Callable[[str], Certificate]


class CertificateKeeper:
    """Two at the same time are safe, and share the work."""

    def __init__(
        self,
        bus: Bus,
        reader: Reader,
        store: CertificateStore,
        authority: CertificateAuthority | None,
        inspect: Inspect,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        gateway_seconds: float = GATEWAY_SECONDS,
    ) -> None:
        self._bus = bus
        self._reader = reader
        self._store = store
        self._authority = authority
        self._inspect = inspect
        self._clock = clock
        self._gateway_seconds = gateway_seconds
        self._orders: dict[str, asyncio.Task[None]] = {}
        self._defect: BaseException | None = None

    async def run(self, news: ViewNews) -> None:
        """Do what is due, for ever."""
        try:
            while True:
                try:
                    await self.look()
                except (psycopg.Error, PoolTimeout, OSError) as error:
                    log.warning("certificate keeper interrupted", error=type(error).__name__)
                await news.wait(LOOK_SECONDS)
        finally:
            await end(*self._orders.values())

    async def look(self) -> None:
        """Let go, tell, and begin to order what is due."""
        if self._defect is not None:
            raise self._defect  # nobody expected it: the process ends and begins anew
        wanted = {one.domain_id: one for one in await domains_with_certificates(self._reader)}
        active = {one.name: one for one in wanted.values() if one.active}
        kept: dict[str, Standing] = {}
        for standing in await self._store.standings():
            holder = active.get(standing.name)
            if standing.owner_id in wanted and (
                holder is None or holder.domain_id == standing.owner_id
            ):
                kept[standing.name] = standing
            elif await self._do(NoteLostDomain(domain_id=standing.owner_id)):
                await self._store.remove(standing.name, owner_id=standing.owner_id)
        for standing in kept.values():
            if not standing.told:
                await self._tell(standing)
        if self._authority is not None:
            await self._begin_due(active, kept, self._authority)

    async def settle(self) -> None:
        """Return when everything that was begun has ended."""
        while self._orders:
            await asyncio.gather(*self._orders.values())
            await asyncio.sleep(0)

    async def _begin_due(
        self,
        active: Mapping[str, WantedCertificate],
        kept: Mapping[str, Standing],
        authority: CertificateAuthority,
    ) -> None:
        now = self._clock()
        due = {
            name: domain.domain_id
            for name, domain in active.items()
            if name not in self._orders and _is_due(kept.get(name), now)
        }
        if not due:
            return
        room = AT_ONCE_MAX - len(self._orders)
        for name in (await self._store.due(due))[:room]:
            task = asyncio.create_task(self._order(active[name], authority))
            self._orders[name] = task
            task.add_done_callback(functools.partial(self._over, name))

    def _over(self, name: str, order: asyncio.Task[None]) -> None:
        del self._orders[name]
        if not order.cancelled() and order.exception() is not None:
            self._defect = order.exception()

    async def _order(self, domain: WantedCertificate, authority: CertificateAuthority) -> None:
        try:
            order = await self._store.take_order(
                domain.name, owner_id=domain.domain_id, lease_seconds=STEP_SECONDS * 1.5
            )
            if order is not None:
                await self._carry_out(order, authority)
        except LeaseLost:
            log.info("order taken over", name=domain.name)
        except (psycopg.Error, PoolTimeout, OSError) as error:
            log.warning("order interrupted", name=domain.name, error=type(error).__name__)

    async def _carry_out(self, order: Order, authority: CertificateAuthority) -> None:
        try:
            stored = await self._issue(order, authority)
        except CannotIssue as error:
            await self._fail(order, error)
            return
        await self._store.finish_order(order, stored)
        ISSUED.inc()
        log.info("certificate issued", name=order.name, not_after=stored.certificate.not_after)
        await self._tell(
            Standing(
                name=stored.name,
                owner_id=stored.owner_id,
                origin=stored.origin,
                certificate=stored.certificate,
                told=False,
            )
        )

    async def _issue(self, order: Order, authority: CertificateAuthority) -> StoredCertificate:
        url, key = order.url, order.private_key
        if url is None or key is None:
            key = new_private_key()
            url = await self._step(order, authority.begin(order.name))
            order = msgspec.structs.replace(order, url=url, private_key=key)
            await self._store.save_order(order)
        for challenge in await self._step(order, authority.challenges(url)):
            version = await self._store.publish(
                order, token=challenge.token, answer=challenge.answer
            )
            await self._step(order, self._everywhere(version))
            await self._step(order, authority.look(challenge))
        chain = await self._step(order, authority.complete(url, host=order.name, private_key=key))
        return StoredCertificate(
            name=order.name,
            owner_id=order.owner_id,
            origin="authority",
            chain=chain,
            private_key=key,
            certificate=self._inspected(chain),
        )

    def _inspected(self, chain: str) -> Certificate:
        try:
            return self._inspect(chain)
        except Unusable as error:
            raise CannotIssue(f"The certificate authority sent something else: {error}") from error

    async def _step(self, order: Order, step: Coroutine[Any, Any, Result]) -> Result:
        try:
            async with asyncio.timeout(STEP_SECONDS):
                # The lease outlives the step: nobody else begins while we may still be at it.
                await self._store.keep_order(order, lease_seconds=STEP_SECONDS * 1.5)
                return await step
        except TimeoutError:
            raise CannotIssue("The certificate authority did not answer in time.") from None
        finally:
            step.close()

    async def _everywhere(self, version: int) -> None:
        deadline = asyncio.get_running_loop().time() + self._gateway_seconds
        while not await self._store.is_everywhere(version):
            if asyncio.get_running_loop().time() > deadline:
                raise CannotIssue("A gateway did not take the authority's question in time.")
            await asyncio.sleep(GATEWAY_POLL_SECONDS)

    async def _fail(self, order: Order, error: CannotIssue) -> None:
        FAILED.inc()
        failures = order.failures + 1
        seconds = max(retry_seconds(failures), error.retry_after_seconds or 0.0)
        log.warning("no certificate", name=order.name, reason=str(error), failures=failures)
        await self._do(
            NoteFailedOrder(
                domain_id=order.owner_id,
                reason=str(error),
                failures=failures,
                retry_at=self._clock() + timedelta(seconds=seconds),
            )
        )
        await self._store.fail_order(order, retry_seconds=seconds)

    async def _tell(self, standing: Standing) -> None:
        facts = standing.certificate
        command = NoteCertificate(
            domain_id=standing.owner_id,
            facts=Facts(
                issuer=facts.issuer,
                fingerprint=facts.fingerprint,
                not_before=facts.not_before,
                not_after=facts.not_after,
            ),
            uploaded=standing.origin == "uploaded",
        )
        if await self._do(command):
            await self._store.mark_told(standing.name, fingerprint=facts.fingerprint)

    async def _do(self, command: Command) -> bool:
        """Tell whether the command was taken. One domain must not keep the others waiting."""
        try:
            await self._bus.dispatch(command, Context(actor=Actor(id=NAME)))
        except DomainError as error:
            log.warning("not noted", command=type(command).__name__, error=error.code)
            return False
        return True


def retry_seconds(failures: int) -> float:
    """Return how long to wait after so many failures in a row."""
    return float(min(RETRY_SECONDS * RETRY_FACTOR ** min(failures - 1, 10), RETRY_SECONDS_MAX))


def _is_due(standing: Standing | None, now: datetime) -> bool:
    if standing is None:
        return True
    facts = standing.certificate
    if standing.origin == "uploaded":
        return facts.not_after <= now
    return renewal_due_at(not_before=facts.not_before, not_after=facts.not_after) <= now
