"""The files HAProxy starts from: what it serves when everything else is away.

All of them are in one folder, which `current` points at. A change is a new folder and one rename
of the pointer, so HAProxy finds all of the old files or all of the new ones, whenever it looks.
"""

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gateway.tls import CERTIFICATE_FOLDER

CURRENT = "current"
_KEPT_BEFORE_CURRENT = 1
_CHECK_TIMEOUT_SECONDS = 60


class ConfigurationRefused(Exception):
    """HAProxy itself says that this configuration is wrong, so it replaces nothing."""


class Snapshot:
    """One HAProxy's files. Two processes may write: each adds its files to the other's."""

    def __init__(self, run_folder: Path, haproxy: Path) -> None:
        self._run = run_folder
        self._haproxy = haproxy

    def read(self, name: str) -> str | None:
        """Return one current file's text."""
        try:
            return (self._run / CURRENT / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def version(self) -> str:
        """Return a name that is another one after every `write` that changed something."""
        try:
            return str((self._run / CURRENT).readlink())
        except OSError:
            return ""

    def write(self, texts: Mapping[str, str], *, check: bool) -> bool:
        """Make these the current files, beside those not named; return whether any differed."""
        self._run.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            new = {name: text for name, text in texts.items() if self.read(name) != text}
            if not new:
                return False
            folder = self._run / f"table-{time.time_ns()}"
            folder.mkdir(mode=0o700)
            try:
                self._fill(folder, new)
                if check:
                    check_configuration(self._haproxy, folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            self._point_at(folder)
            self._forget_old()
            return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._run / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _fill(self, folder: Path, new: Mapping[str, str]) -> None:
        for name, text in new.items():
            with open(folder / name, "w", encoding="utf-8", opener=_private) as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        current = self._run / CURRENT
        for old in current.iterdir() if current.exists() else ():
            if old.name not in new and not old.is_symlink():
                os.link(old, folder / old.name)
        # The names in the configuration begin with `current/`, also while it is being checked.
        (folder / CURRENT).symlink_to(".")
        (folder / CERTIFICATE_FOLDER).symlink_to(f"../{CERTIFICATE_FOLDER}")

    def _point_at(self, folder: Path) -> None:
        pointer = self._run / "current.new"
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(folder.name)
        pointer.replace(self._run / CURRENT)
        descriptor = os.open(self._run, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _forget_old(self) -> None:
        # The folder before this one may still be being read by a HAProxy that just starts.
        folders = sorted(self._run.glob("table-*"))
        for folder in folders[: -1 - _KEPT_BEFORE_CURRENT]:
            shutil.rmtree(folder, ignore_errors=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def check_configuration(haproxy: Path, folder: Path) -> None:
    """Let HAProxy read the files in a folder; `ConfigurationRefused` with what it says."""
    done = subprocess.run(
        [haproxy, "-c", "-C", folder, *configuration_arguments()],
        capture_output=True,
        text=True,
        check=False,
        timeout=_CHECK_TIMEOUT_SECONDS,
    )
    if done.returncode != 0:
        raise ConfigurationRefused(done.stderr[-2000:] or done.stdout[-2000:])


def configuration_arguments() -> list[str]:
    """Return HAProxy's arguments that name its files, seen from the run folder."""
    return ["-f", f"{CURRENT}/gateway.cfg", "-f", f"{CURRENT}/backends.cfg"]
