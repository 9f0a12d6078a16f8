"""Makes uploaded code ready to run as a process: unpacked, with what it needs, in a folder.

A folder is made under another name and renamed when it is whole; its name has the digest of the
code, so it never changes and all replicas share it. A build gets none of our environment.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from domain.kernel.errors import RuleViolated
from infrastructure.archives.packing import SourceChanged, unpack_packed
from infrastructure.containers import BuildFailed, NotRunnable, ReplicaSpec
from infrastructure.sources import Runtime, SourceFiles, SourceReference, source_of
from infrastructure.sources.conventions import GO_PROGRAM, READ, StartPlan, start_plan

APP, PLAN, VENV = "app", "plan.json", "venv"
LAST_LINES = 10
LINE_LENGTH_MAX = 4096
PATH = f"{os.defpath}:/usr/local/bin:/usr/local/go/bin"
PYTHON = Path(sys.base_prefix) / "bin" / "python3"
"""The Python that runs us, without what is installed for us."""


class Built(msgspec.Struct, frozen=True):
    """Code that can be started."""

    name: str
    argv: tuple[str, ...]
    folder: Path


class ProcessBuilds:
    """The builds of one installation, below one folder."""

    def __init__(
        self,
        folder: Path,
        sources: SourceFiles,
        *,
        seconds_max: float = 600,
        size_max: int = 2 * 1024**3,
        told: Callable[[ReplicaSpec, str], None] = lambda _spec, _line: None,
        extra_env: Mapping[str, str] | None = None,
        unused_seconds: float = 3600,
    ) -> None:
        """Tell `told` each line that a build writes. What no deployment needs stays that long.

        `size_max` is what the code may have with all that was fetched for it.
        """
        self._folder = folder
        self._sources = sources
        self._seconds_max = seconds_max
        self._size_max = size_max
        self._told = told
        self._unused_seconds = unused_seconds
        self._extra_env = dict(extra_env or {})
        self._building = threading.Lock()

    def make(self, spec: ReplicaSpec, source: SourceReference) -> Built:
        """Return the build, made now if it is not there; raises `BuildFailed`."""
        place = self._folder / _name_of(source)
        if not place.exists():  # what is there already waits for nobody's build
            with self._building:
                if not place.exists():
                    self._build(spec, source, place)
        plan = msgspec.json.decode((place / PLAN).read_bytes(), type=StartPlan)
        os.utime(place)
        return Built(place.name, self._argv(plan, place), place / APP)

    def prune(self, kept: Collection[str], *, used: set[str]) -> int:
        """Remove the builds of other code than this; return how many.

        What a replica runs stays; what a killed process left half-made goes, too.
        """
        needed = {_name_of(source) for source in map(source_of, kept) if source is not None}
        removed = 0
        with self._building:
            for place in self._folder.glob("*-*"):
                is_old = time.time() - place.stat().st_mtime > self._unused_seconds
                if is_old and place.name not in needed | used:
                    shutil.rmtree(place, ignore_errors=True)
                    removed += 1
        return removed

    def clear(self) -> None:
        """Remove every build."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _build(self, spec: ReplicaSpec, source: SourceReference, place: Path) -> None:
        archive = self._sources.locate(source.digest)
        if archive is None:
            raise NotRunnable(f"the code of {spec.image} is not here any more; upload it again")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        half_made = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            self._told(spec, f"building with {source.runtime} on this machine")
            try:
                unpack_packed(archive, half_made / APP, digest=source.digest)
                plan = _plan_of(half_made / APP, source.runtime)
            except (SourceChanged, RuleViolated) as error:
                raise BuildFailed(f"the code cannot be used: {error}") from error
            for argv in self._steps(plan, half_made):
                self._run(spec, argv, half_made)
            self._must_be_small(half_made)
            (half_made / PLAN).write_bytes(msgspec.json.encode(plan))
            self._told(spec, "built")
            if not place.exists():
                half_made.rename(place)
        finally:
            shutil.rmtree(half_made, ignore_errors=True)

    def _must_be_small(self, place: Path) -> None:
        folders = os.walk(place)
        size = sum(
            os.lstat(f"{path}/{file}").st_size for path, _, files in folders for file in files
        )
        if size > self._size_max:
            raise BuildFailed(
                f"the build failed: it has {size >> 20} MiB; {self._size_max >> 20} are allowed"
            )

    def _steps(self, plan: StartPlan, place: Path) -> list[tuple[str, ...]]:
        match plan.runtime:
            case "python" if plan.fetches:
                python = str(place / VENV / "bin" / "python3")
                install = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input")
                return [
                    (str(PYTHON), "-I", "-m", "venv", str(place / VENV)),
                    (python, *install, "--no-cache-dir", "-r", "requirements.txt"),
                ]
            case "node" if plan.fetches:
                locked = (place / APP / "package-lock.json").exists()
                return [(_tool("npm"), "ci" if locked else "install", "--omit=dev", "--no-audit")]
            case "go":
                return [(_tool("go"), "build", "-o", GO_PROGRAM, ".")]
            case _:
                return []

    def _argv(self, plan: StartPlan, place: Path) -> tuple[str, ...]:
        first, *rest = plan.argv
        venv = place / VENV / "bin"
        match first:
            case "python3":
                return (str(venv / "python3" if venv.exists() else PYTHON), *rest)
            case "node" | "npm":
                return (_tool(first), *rest)
            case "/bin/sh":
                return (first, "-c", f'PATH="{venv}:{PYTHON.parent}:{PATH}"; {rest[-1]}')
            case _:
                return plan.argv

    def _run(self, spec: ReplicaSpec, argv: Sequence[str], place: Path) -> None:
        """Run one step, telling its lines; whatever it started ends with it."""
        cache = self._folder / ".cache"
        env = {
            "PATH": PATH,
            "HOME": str(cache),
            "TMPDIR": str(place),
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-modcacherw",
            **self._extra_env,
        }
        cache.mkdir(exist_ok=True)
        last: deque[str] = deque(maxlen=LAST_LINES)
        with subprocess.Popen(
            argv,
            cwd=place / APP,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            errors="replace",
            text=True,
        ) as step:
            timer = threading.Timer(self._seconds_max, _kill, [step.pid])
            began = time.monotonic()
            timer.start()
            try:
                while step.stdout is not None and (line := step.stdout.readline(LINE_LENGTH_MAX)):
                    last.append(line.rstrip())
                    self._told(spec, line.rstrip())
                code = step.wait()
            finally:
                timer.cancel()
                _kill(step.pid)
        if code != 0:
            took_too_long = time.monotonic() - began >= self._seconds_max
            why = f"it took more than {self._seconds_max:g} s" if took_too_long else f"code {code}"
            raise BuildFailed("\n".join([f"the build failed: {why}", *last]))


def _name_of(source: SourceReference) -> str:
    return f"{source.runtime}-{source.digest}"


def _plan_of(app: Path, runtime: Runtime) -> StartPlan:
    read = {name: (app / name).read_bytes() for name in READ if (app / name).is_file()}
    return start_plan((each.name for each in app.iterdir()), read, runtime=runtime)


def _tool(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        raise NotRunnable(f"{name} is not installed on this machine, and there is no Docker")
    return found


def _kill(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
