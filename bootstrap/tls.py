"""The wiring of TLS: a gateway's certificates come from the shared store and from the operator."""

import asyncio
import contextlib
import os
import time
from pathlib import Path

import psycopg
import structlog
from prometheus_client import REGISTRY
from psycopg_pool import PoolTimeout

from bootstrap.core import Core
from bootstrap.haproxy import launch_options
from gateway.certificate_files import ServedCertificate
from gateway.certificates import CertificateFollower, CertificateMetrics, TlsTable
from infrastructure.certificates import CertificateStore, Unusable
from infrastructure.certificates.inspecting import facts_of_pem

SAY_SECONDS = 2.0
"""So often a gateway says that it is there, when nothing changes."""

log = structlog.get_logger()


async def follow_certificates(core: Core) -> None:
    """Keep HAProxy's certificates equal to the store. Never returns."""
    launch = launch_options(core.settings)
    if not launch.gateway.tls_binds:
        await asyncio.Event().wait()
    source = SharedTable(core.certificates(), launch.gateway_id, own=core.settings.tls.certificate)
    await CertificateFollower(source, launch, CertificateMetrics(REGISTRY)).run()


class SharedTable:
    """What one gateway shall serve: all of the store, and the operator's own certificate."""

    def __init__(
        self, store: CertificateStore, gateway_id: str, *, own: Path | None = None
    ) -> None:
        self._store = store
        self._gateway_id = gateway_id
        self._own = own
        self._read = (-1, "")
        """The version, and the state of the operator's file, that `read` had last."""
        self._applied = -1
        self._said_at = -float("inf")

    async def read(self) -> TlsTable:
        """Return the table as it is now; raises `OSError` while it cannot be read."""
        state_of_own = self._state_of_own()
        try:
            state = await self._store.read()
        except (psycopg.Error, PoolTimeout) as error:
            raise OSError(f"the store cannot be read: {error}") from error
        self._read = (state.version, state_of_own)
        served = [
            ServedCertificate((one.name,), one.chain + one.private_key)
            for one in state.certificates
        ]
        return TlsTable(
            version=state.version,
            certificates=(*await asyncio.to_thread(self._operators), *served),
            challenges=state.challenges,
        )

    async def wait_for_change(self, timeout: float) -> bool:  # noqa: ASYNC109 - a poll's bound
        """Ask after the time whether there is anything new, and say how far we are."""
        await asyncio.sleep(timeout)
        newest = await self._say()
        return (newest, self._state_of_own()) != self._read

    async def applied(self, version: int) -> None:
        """Say at once that we have a new version."""
        if version != self._applied:
            self._applied = version
            self._said_at = -float("inf")
            await self._say()

    async def _say(self) -> int:
        try:
            if self._applied >= 0 and time.monotonic() - self._said_at > SAY_SECONDS:
                self._said_at = time.monotonic()
                return await self._store.applied(self._gateway_id, self._applied)
            return await self._store.version()
        except (psycopg.Error, PoolTimeout) as error:
            raise OSError(f"the store cannot be asked: {error}") from error

    def _state_of_own(self) -> str:
        if self._own is None:
            return ""
        with contextlib.suppress(OSError):
            state = os.stat(self._own)  # noqa: PTH116 - as quick as it gets, twice a second
            return f"{state.st_mtime_ns} {state.st_size} {state.st_ino}"
        return "missing"

    def _operators(self) -> list[ServedCertificate]:
        if self._own is None:
            return []
        try:
            pem = self._own.read_text(encoding="utf-8")
            return [ServedCertificate(facts_of_pem(pem).hosts, pem)]
        except (OSError, UnicodeDecodeError, Unusable) as error:
            log.error("the operator's certificate cannot be used", reason=str(error))  # noqa: TRY400 - its words say it all
            return []
