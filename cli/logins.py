"""Saved logins: one per API, readable by their person only, renewed by one command at a time.

A refresh token is good for one use: two commands that renew at the same time would look like a
thief, so whoever renews holds a lock and looks first whether another has just done it.
"""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cli.failures import Failed

FILE, LOCK = "logins.json", "logins.lock"
EARLY = timedelta(seconds=30)
"""A token that ends so soon is renewed before it is used."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """Somebody signed in at one API: by a session's tokens, or by a key."""

    url: str
    who: str
    access_token: str
    """The access token, or the key."""
    refresh_token: str | None = None
    expires_at: datetime | None = None

    @property
    def is_stale(self) -> bool:
        """Whether the access token has to be renewed before it is used."""
        return self.expires_at is not None and datetime.now(UTC) + EARLY >= self.expires_at


class Logins:
    """The logins of this person on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, url: str | None) -> Login | None:
        """Return the login at this API; without one, the login made last."""
        kept = self._read()
        return kept.logins.get(url or kept.current)

    def save(self, login: Login) -> None:
        """Keep a login. It is the one that is used unless another API is named."""
        with self._alone():
            kept = self._read()
            self._write(_Kept(login.url, {**kept.logins, login.url: login}))

    def forget(self, url: str) -> None:
        """Keep it no longer."""
        with self._alone():
            kept = self._read()
            left = {name: login for name, login in kept.logins.items() if name != url}
            current = kept.current if kept.current in left else next(iter(left), "")
            self._write(_Kept(current, left))

    def renewed(self, stale: Login, renew: Callable[[Login], Login]) -> Login:
        """Return the login with new tokens, renewed by us or by another command meanwhile."""
        with self._alone():
            kept = self._read()
            known = kept.logins.get(stale.url, stale)
            if known.access_token != stale.access_token and not known.is_stale:
                return known
            fresh = renew(known)
            self._write(replace(kept, logins={**kept.logins, fresh.url: fresh}))
            return fresh

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Failed(f"Logins cannot be kept in {self._folder}: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> "_Kept":
        file = self._folder / FILE
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return _Kept("", {})
        except OSError as error:
            raise Failed(f"{file} cannot be read: {error.strerror}.") from error
        try:
            said = json.loads(text)
            logins = {url: _login_of(url, each) for url, each in said["logins"].items()}
            return _Kept(str(said["current"]), logins)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise Failed(
                f"{file} is not what it should be.", "Remove it and sign in again."
            ) from error

    def _write(self, kept: "_Kept") -> None:
        said = {
            "current": kept.current,
            "logins": {url: _said_of(login) for url, login in kept.logins.items()},
        }
        # A new file takes the place of the old one: nobody ever reads a half, or more than its own.
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=f".{FILE}-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(said, file, indent=2)
            Path(name).replace(self._folder / FILE)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@dataclass(frozen=True)
class _Kept:
    current: str
    logins: dict[str, Login]


def _login_of(url: str, said: dict[str, Any]) -> Login:
    ends = said.get("expires_at")
    return Login(
        url=url,
        who=str(said["who"]),
        access_token=str(said["access_token"]),
        refresh_token=said.get("refresh_token"),
        expires_at=datetime.fromisoformat(ends) if ends else None,
    )


def _said_of(login: Login) -> dict[str, Any]:
    said = asdict(login)
    del said["url"]
    if login.expires_at is not None:
        said["expires_at"] = login.expires_at.isoformat()
    return said
