"""Keeps one HAProxy's certificates equal to the store that all gateways share.

Like the agent it compares and does not follow: each turn it looks at which worker takes connections
and closes the difference. A renewed certificate is there before the old one goes, and nothing is
reloaded. It says how far it got, so that a certificate authority is told to look only when
every gateway has what it will ask for.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Gauge

from gateway.certificate_files import CertificateFolder, ServedCertificate, list_text
from gateway.changes import map_changes
from gateway.configuration import map_text
from gateway.launch import LaunchOptions
from gateway.runtime import ChangeRefused, HAProxyAway, Runtime
from gateway.snapshot import Snapshot
from gateway.tls import CERTIFICATES, CHALLENGES, SECURE_HOSTS

FORGET_SECONDS = 60.0
AUDIT_SECONDS = 300.0

log = structlog.get_logger()


class TlsTable(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a gateway knows about TLS."""

    version: int = 0
    """Grows with every change of the store."""
    certificates: tuple[ServedCertificate, ...] = ()
    challenges: Mapping[str, str] = {}
    """What a certificate authority shall read, by its token."""


class TlsSource(Protocol):
    """Where the certificates come from, and who hears how far we are."""

    async def read(self) -> TlsTable:
        """Return the table as it is now."""
        ...

    async def wait_for_change(self, timeout: float) -> bool:  # noqa: ASYNC109 - a poll's bound
        """Return True as soon as the table has changed since `read` last began, else False."""
        ...

    async def applied(self, version: int) -> None:
        """Hear that this gateway has everything of that version."""
        ...


class CertificateMetrics:
    """What the follower says about itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.served = Gauge(
            "tallyport_gateway_certificates", "Certificates served.", registry=registry
        )
        self.refused = Gauge(
            "tallyport_gateway_certificates_refused",
            "Certificates that HAProxy does not take.",
            registry=registry,
        )


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    certificates: Mapping[str, ServedCertificate]
    maps: Mapping[str, dict[str, str]]

    def files(self) -> dict[str, str]:
        maps = {name: map_text(entries) for name, entries in self.maps.items()}
        return {CERTIFICATES: list_text(self.certificates), **maps}


class CertificateFollower:
    """One gateway's certificates, for as long as `run` runs."""

    def __init__(
        self,
        source: TlsSource,
        launch: LaunchOptions,
        metrics: CertificateMetrics,
        *,
        tick_seconds: float = 0.5,
    ) -> None:
        self._source = source
        self._snapshot = Snapshot(launch.run_folder, launch.haproxy)
        self._folder = CertificateFolder(launch.run_folder, launch.haproxy)
        self._runtime = Runtime(launch.run_folder)
        self._metrics = metrics
        self._tick_seconds = tick_seconds
        self._wanted: _Wanted | None = None
        self._equal: tuple[int, _Wanted] | None = None
        self._told_refused: set[str] = set()
        self._forget_at = 0.0
        self._audit_at = 0.0

    async def run(self) -> None:
        """Never returns. The source and HAProxy may come and go."""
        changed = True
        while True:
            try:
                if changed or self._wanted is None:
                    await self._read()
                await self._turn()
                changed = await self._source.wait_for_change(self._tick_seconds)
            except HAProxyAway:
                # The agent says so already. Files are there: whoever starts has everything.
                self._equal = None
                await asyncio.sleep(self._tick_seconds)
                changed = False
            except ChangeRefused as error:
                self._equal = None
                log.warning("haproxy refused a certificate's change", reason=str(error))
                await asyncio.sleep(self._tick_seconds)
                changed = False
            except OSError as error:
                log.warning("certificates cannot be followed", reason=str(error))
                await asyncio.sleep(self._tick_seconds)
                changed = True

    async def _read(self) -> None:
        table = await self._source.read()
        usable, refused = await asyncio.to_thread(self._folder.keep, table.certificates)
        self._metrics.served.set(len(usable))
        self._metrics.refused.set(refused)
        for file in self._folder.refused.keys() - self._told_refused:
            log.error("haproxy does not take a certificate", reason=self._folder.refused[file])
        self._told_refused = set(self._folder.refused)
        hosts = {host: "on" for one in usable.values() for host in one.hosts}
        self._wanted = _Wanted(
            version=table.version,
            certificates=usable,
            maps={SECURE_HOSTS: hosts, CHALLENGES: dict(table.challenges)},
        )
        await asyncio.to_thread(self._snapshot.write, self._wanted.files(), check=False)

    async def _turn(self) -> None:
        wanted = self._wanted
        if wanted is None:
            return
        if time.monotonic() > self._audit_at:
            self._equal = None
            self._audit_at = time.monotonic() + AUDIT_SECONDS
        current, _ = await self._runtime.workers()
        if self._equal is None or self._equal[0] != current or self._equal[1] is not wanted:
            await self._equalize(current, wanted)
            self._equal = (current, wanted)
        await self._source.applied(wanted.version)
        if time.monotonic() > self._forget_at:
            await asyncio.to_thread(self._folder.forget)
            self._forget_at = time.monotonic() + FORGET_SECONDS

    async def _equalize(self, worker: int, wanted: _Wanted) -> None:
        loaded, listed = await self._runtime.certificates(worker)
        changes: list[str] = []
        ways: list[str] = []
        for name, entries in wanted.maps.items():
            has = await self._runtime.read_map(worker, name)
            gone = {key: has[key] for key in has.keys() - entries.keys()}
            changes += map_changes(name, gone, {})
            ways += map_changes(name, {k: v for k, v in has.items() if k not in gone}, entries)
        # Nobody is sent to HTTPS before the certificate is there, or after it is gone.
        changes += [*certificate_changes(loaded, listed, wanted.certificates), *ways]
        if changes:
            await self._runtime.change(worker, changes)


def certificate_changes(
    loaded: set[str], listed: Mapping[str, str], wanted: Mapping[str, ServedCertificate]
) -> Iterator[str]:
    """Yield the commands that make a worker show these certificates, the new ones first."""
    for file, one in wanted.items():
        if file in listed:
            continue
        if file not in loaded:
            yield f"new ssl cert {file}"
        yield f"set ssl cert {file} <<\n{one.text}"
        yield f"commit ssl cert {file}"
        yield f"add ssl crt-list current/{CERTIFICATES} <<\n{file} {' '.join(one.hosts)}\n"
    for file in listed.keys() - wanted.keys():
        yield f"del ssl crt-list current/{CERTIFICATES} {file}"
    for file in loaded - wanted.keys():
        yield f"del ssl cert {file}"
