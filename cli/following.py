"""Waiting until a deployment is as it was asked to be, and telling what happens meanwhile."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cli.failures import ExitCode, Failed
from cli.terminal import say, working

if TYPE_CHECKING:
    from cli.client import Client

FIRST_POLL_SECONDS, POLL_SECONDS_MAX = 0.3, 1.0
LOG_POLL_SECONDS = 2.0
STILL_GOING = "It goes on without this command: `tallyport deployments status"

Shown = dict[str, Any]


def until_live(api: "Client", deployment_id: str, revision: int, *, seconds: int) -> Shown:
    """Return the deployment once this revision serves; raises `Failed` when it never will."""
    build = BuildLog(api, deployment_id, revision)

    def is_live(shown: Shown) -> bool:
        build.tell()
        if shown["liveRevision"] == revision and shown["status"] == "running":
            return True
        if shown["status"] == "failed" or shown["revision"] != revision:
            build.tell(at_once=True)
            _must_not_have_failed(api, shown, revision)
        return False

    return _until(api, deployment_id, is_live, seconds=seconds)


def until_status(
    api: "Client", deployment_id: str, status: str, *, seconds: int, replicas: int | None = None
) -> Shown:
    """Return the deployment once it has this status, with so many replicas if told so."""

    def is_so(shown: Shown) -> bool:
        if shown["status"] == "failed":
            raise Failed(f"{shown['appName']} failed.", *_lines(shown["failure"]))
        return bool(shown["status"] == status and replicas in {None, shown["replicas"]})

    return _until(api, deployment_id, is_so, seconds=seconds)


class BuildLog:
    """What the build of uploaded code says, each line once."""

    def __init__(self, api: "Client", deployment_id: str, revision: int) -> None:
        self._api = api
        self._builder = f"{deployment_id}-{revision}-build"
        self._path = f"/deployments/{deployment_id}/logs"
        self._since: str | None = None
        self._told: set[tuple[str, str]] = set()
        self._next = time.monotonic() + LOG_POLL_SECONDS
        self._may_read = True

    def tell(self, *, at_once: bool = False) -> None:
        """Say the lines that are new, if it is time to look again."""
        if not self._may_read or (time.monotonic() < self._next and not at_once):
            return
        self._next = time.monotonic() + LOG_POLL_SECONDS
        try:
            lines = self._api.get(self._path, since=self._since, tail=1000)["logs"]
        except Failed:  # one may deploy without being allowed to read logs
            self._may_read = False
            return
        for line in lines:
            told = (line["timestamp"], line["message"])
            if line["replica"] == self._builder and told not in self._told:
                self._told.add(told)
                self._since = line["timestamp"]
                say(f"  {line['message']}")


def _until(
    api: "Client", deployment_id: str, is_so: Callable[[Shown], bool], *, seconds: int
) -> Shown:
    deadline = time.monotonic() + seconds
    pause = FIRST_POLL_SECONDS
    shown: Shown = {"appName": deployment_id}
    try:
        with working("Waiting ...") as tell:
            while True:
                shown = api.get(f"/deployments/{deployment_id}")
                if is_so(shown):
                    return shown
                tell(f"{shown['appName']} is {shown['status']} ...")
                if time.monotonic() > deadline:
                    raise Failed(
                        f"{shown['appName']} is still {shown['status']} after {seconds} s.",
                        f"{STILL_GOING} {shown['appName']}`.",
                        code=ExitCode.FAILED,
                    )
                time.sleep(pause)
                pause = min(POLL_SECONDS_MAX, pause * 1.5)
    except KeyboardInterrupt:
        raise Failed(
            "Not waiting any more.",
            f"{STILL_GOING} {shown['appName']}`.",
            code=ExitCode.INTERRUPTED,
        ) from None


def _must_not_have_failed(api: "Client", shown: Shown, revision: int) -> None:
    """Refuse to wait for a revision that has failed or was replaced."""
    path = f"/deployments/{shown['id']}/revisions"
    rows = api.get(path, limit=20)["revisions"]
    mine = next((row for row in rows if row["revision"] == revision), None)
    if mine is None or mine["status"] == "pending":
        return
    if mine["status"] == "failed":
        serving = shown["liveRevision"]
        goes_on = [f"Revision {serving} goes on serving."] if serving else []
        raise Failed(
            f"Revision {revision} of {shown['appName']} failed.",
            *_lines(mine["failure"]),
            *goes_on,
            f"See `tallyport logs {shown['appName']}`.",
        )
    if mine["status"] == "superseded":
        raise Failed(
            f"Revision {revision} of {shown['appName']} was replaced by another one meanwhile.",
            code=ExitCode.CONFLICT,
        )


def _lines(text: str | None) -> list[str]:
    return [f"  {line}" for line in (text or "").splitlines()]
