"""Certificates as files beside HAProxy: written once, never changed, readable by its user only.

A file is named by its content, so a renewed certificate is another file, and what a worker has is
told by names alone. HAProxy itself is asked about each new one before it is used: one that it
refuses would keep it from starting.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from gateway.tls import CERTIFICATE_FOLDER, CERTIFICATES, GLOBAL

FORGOTTEN_AFTER_SECONDS = 300.0
_CHECK_TIMEOUT_SECONDS = 60


class ServedCertificate(msgspec.Struct, frozen=True):
    """A certificate, its key, and the hosts it is shown for."""

    hosts: tuple[str, ...]
    """Whatever else it may name: nobody answers for another's host by naming it."""
    pem: str
    """The chain, from the certificate itself upwards, then the private key."""

    def __repr__(self) -> str:
        return f"ServedCertificate({self.hosts!r})"

    @property
    def file(self) -> str:
        """Its file, seen from the run folder."""
        content = "\n".join((*self.hosts, self.text))
        return f"{CERTIFICATE_FOLDER}/{hashlib.sha256(content.encode()).hexdigest()[:32]}.pem"

    @property
    def text(self) -> str:
        """Its PEM without empty lines, at which HAProxy's command line would stop reading."""
        return "\n".join(line for line in self.pem.splitlines() if line.strip()) + "\n"


class CertificateFolder:
    """The certificates of one HAProxy."""

    def __init__(self, run_folder: Path, haproxy: Path) -> None:
        self._run = run_folder
        self._folder = run_folder / CERTIFICATE_FOLDER
        self._haproxy = haproxy
        self._refused: dict[str, str] = {}

    def keep(self, wanted: Iterable[ServedCertificate]) -> tuple[dict[str, ServedCertificate], int]:
        """Write those not there yet. Return the usable ones by file, and how many are not."""
        by_file = {one.file: one for one in wanted}
        new = {
            file: one
            for file, one in by_file.items()
            if file not in self._refused and not (self._run / file).exists()
        }
        if new:
            self._take(new)
        self._refused = {file: why for file, why in self._refused.items() if file in by_file}
        usable = {file: one for file, one in by_file.items() if file not in self._refused}
        return usable, len(self._refused)

    @property
    def refused(self) -> Mapping[str, str]:
        """What HAProxy said of those it does not take, by file."""
        return self._refused

    def usable(self, listed: str) -> str:
        """Return a list without the lines that would keep HAProxy from starting."""
        lines = {line.split(" ")[0]: line for line in listed.splitlines()}
        there = [file for file in lines if (self._run / file).exists()]
        bad = self._wrong_ones(self._run, there)
        return "".join(f"{lines[file]}\n" for file in there if file not in bad)

    def forget(self) -> None:
        """Remove files that no list names any more, a while after they were written."""
        lists = (
            path.read_text(encoding="utf-8") for path in self._run.glob(f"table-*/{CERTIFICATES}")
        )
        named = {line.split(" ")[0] for text in lists for line in text.splitlines()}
        before = time.time() - FORGOTTEN_AFTER_SECONDS
        for path in self._folder.glob("*.pem"):
            with contextlib.suppress(FileNotFoundError):
                if (
                    f"{CERTIFICATE_FOLDER}/{path.name}" not in named
                    and path.stat().st_mtime < before
                ):
                    path.unlink()

    def _take(self, new: Mapping[str, ServedCertificate]) -> None:
        aside = self._run / f"certificates-{time.time_ns()}"
        (aside / CERTIFICATE_FOLDER).mkdir(parents=True, mode=0o700)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        try:
            for file, one in new.items():
                _write(aside / file, one.text)
            bad = self._wrong_ones(aside, list(new))
            self._refused.update(bad)
            for file in new.keys() - bad.keys():
                (aside / file).replace(self._run / file)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _wrong_ones(self, folder: Path, files: Sequence[str]) -> dict[str, str]:
        """Return which of the files HAProxy does not take; all at once first, then by halves."""
        why = self._refusal(folder, files) if files else None
        if why is None:
            return {}
        if len(files) == 1:
            return {files[0]: why}
        middle = len(files) // 2
        return self._wrong_ones(folder, files[:middle]) | self._wrong_ones(folder, files[middle:])

    def _refusal(self, folder: Path, files: Sequence[str]) -> str | None:
        names = " ".join(f"crt {file}" for file in files)
        config = folder / f"check-{time.time_ns()}.cfg"
        text = f"global\n{GLOBAL}frontend check\n    bind unix@check.sock ssl {names}\n"
        _write(config, text)
        try:
            done = subprocess.run(
                [self._haproxy, "-c", "-q", "-C", folder, "-f", config.name],
                capture_output=True,
                text=True,
                check=False,
                timeout=_CHECK_TIMEOUT_SECONDS,
            )
        finally:
            config.unlink()
        return None if done.returncode == 0 else (done.stderr[-500:] or "refused")


def list_text(certificates: Mapping[str, ServedCertificate]) -> str:
    """Return the list HAProxy starts from."""
    lines = [f"{file} {' '.join(one.hosts)}\n" for file, one in sorted(certificates.items())]
    return "".join(lines)


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor has no path
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
