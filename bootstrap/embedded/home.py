"""TALLYPORT_HOME: one folder with everything an embedded Tallyport keeps.

    data/      what must survive: one folder per server
    run/       what a restart may find: locks, ports, sockets, registry of processes
    logs/      one file per part
    secrets/   passwords that were made here, one file each, readable by the owner only

A path may hold spaces, and be longer than a Unix socket's name may be: ask `socket` for those.
"""

import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

# A socket's path ends at 104 bytes (macOS) or 108 (Linux), and HAProxy binds to a longer name
# first (the path, its pid, ".tmp") and renames it.
SOCKET_PATH_BYTES_MAX = 84


class HomeError(Exception):
    """The home folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Home:
    """An opened home: the folders exist and are ours."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> "Home":
        """Make the folders that are missing and refuse a home that belongs to someone else."""
        home = cls(root.expanduser().absolute())
        try:
            home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (home.data, home.run, home.logs, home.secrets):
                folder.mkdir(mode=0o700, exist_ok=True)
                owner = folder.stat().st_uid
                if owner != os.geteuid():
                    # Also for root: what it wrote here the owner could not read again.
                    raise HomeError(
                        f"{folder} belongs to user id {owner}, and this is user id {os.geteuid()}: "
                        "run as that user, or choose another TALLYPORT_HOME"
                    )
                folder.chmod(0o700)
        except OSError as error:
            raise HomeError(f"cannot use {home.root} as TALLYPORT_HOME: {error}") from error
        return home

    @property
    def data(self) -> Path:
        """What must survive a restart."""
        return self.root / "data"

    @property
    def run(self) -> Path:
        """Locks, ports, sockets, the registry of processes."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One log file per part."""
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        """Passwords and keys made here."""
        return self.root / "secrets"

    def secret(self, name: str) -> str:
        """Return the secret of this name; the first call makes it (256 random bits)."""
        path = self.secret_file(name)
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32), replace=False)
        return path.read_text(encoding="ascii").strip()

    def secret_file(self, name: str) -> Path:
        """Return where the secret of this name is kept, whether or not it is there yet."""
        return self.secrets / name

    def socket(self, name: str) -> Path:
        """Return a path for a Unix socket: in `run/`, or in /tmp where that would be too long."""
        path = self.run / name
        if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
            return path
        digest = hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:16]
        folder = Path("/tmp") / f"tallyport-{os.geteuid()}-{digest}"  # noqa: S108 - checked below
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
        if not private or found.st_uid != os.geteuid():
            raise HomeError(f"{folder} is not a private folder of ours: remove it")
        return folder / name


def write_private(path: Path, text: str, *, replace: bool = True) -> None:
    """Write a file that only the owner reads: whole or not at all, also if the power goes.

    With `replace=False` a file that is already there wins, so two writers end with one secret.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
            return
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)
