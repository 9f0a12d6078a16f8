"""Makes uploaded code into images: a Dockerfile of ours on the runtime's base image.

What the code requires is a layer of its own, so a change of the code alone fetches nothing again.
A build reaches the network only where something has to be fetched, and then one of its own, where
nothing of the platform is. What is run during a build is the code's own, so it is run as nobody,
with limits on memory, processor, files, processes, time and size. What an engine does not let a
build say (no capability at all, a read-only root) is not there; being nobody has to do.
"""

import contextlib
import json
import re
import tarfile
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import IO

import docker
import msgspec
import requests
from docker.errors import APIError, ImageNotFound
from docker.types import CancellableStream
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from domain.kernel.errors import RuleViolated
from infrastructure.containers import BuildFailed, NotRunnable, ReplicaSpec
from infrastructure.containers.docker_networks import DockerNetworks
from infrastructure.containers.docker_request import ulimits
from infrastructure.sources import Runtime, SourceFiles, SourceReference, source_of
from infrastructure.sources.conventions import GO_PROGRAM, READ, StartPlan, start_plan

LAYOUT = 1
"""Part of an image's name: count up when this file makes another image of the same code."""
NOBODY = "65534:65534"
NETWORK = "builds"
"""Of an installation, beside those of its teams."""
SHARES = 256
"""A quarter of what a container has by default: builds step back behind what serves."""
BUILDS_AT_ONCE = 2
LAST_LINES = 10
LINE_LENGTH_MAX = 4096
LABEL = "tallyport.source"
UNTAGGED = "<none>:<none>"
_LOCAL = re.compile(r"^[ \t]*[-.]|/|file:", re.MULTILINE)
"""Requirements that lead to other files of the code, or may."""
_FETCH: Mapping[Runtime, str] = {
    "python": (
        "python3 -m pip install --no-cache-dir --disable-pip-version-check --no-input"
        " --target /app/.dependencies -r requirements.txt"
    ),
    "node": "npm install --omit=dev --no-audit --no-fund --cache /tmp/npm",
    "go": "go mod download",
}
_MANIFESTS: Mapping[Runtime, tuple[str, ...]] = {
    "python": ("requirements.txt",),
    "node": ("package.json", "package-lock.json"),
    "go": ("go.mod", "go.sum"),
}


class BuildOptions(msgspec.Struct, frozen=True, kw_only=True):
    """On what, and within which limits."""

    bases: Mapping[Runtime, str]
    """The base image of each runtime."""
    seconds_max: float = 600
    memory_bytes: int = 2 * 1024**3
    size_max: int = 2 * 1024**3
    """What an image may have on top of its base."""
    unused_seconds: float = 3600
    """How long an image stays at least that no deployment needs."""
    cache_seconds: float = 86_400
    """How long the layers of an earlier build stay, with what was fetched in them."""


class DockerBuilds:
    """The images of one installation's code."""

    def __init__(
        self,
        installation: str,
        sources: SourceFiles,
        options: BuildOptions,
        *,
        told: Callable[[ReplicaSpec, str], None] = lambda _spec, _line: None,
    ) -> None:
        """Tell `told` each line that a build writes."""
        self._installation = installation
        self._sources = sources
        self._options = options
        self._told = told
        self._turns = threading.BoundedSemaphore(BUILDS_AT_ONCE)
        self._networks = DockerNetworks(installation, internal=False, neighbours_meet=False)

    def reference(self, source: SourceReference) -> str:
        """Return the name of the code's image."""
        name = f"tallyport-{self._installation}/source-{source.runtime}".lower()
        return f"{name}:{source.digest}-{LAYOUT}"

    def make(self, api: docker.APIClient, spec: ReplicaSpec, source: SourceReference) -> str:
        """Build the image with a patient client; return its name, or raise `BuildFailed`."""
        archive = self._sources.locate(source.digest)
        if archive is None:
            raise NotRunnable(f"the code of {spec.image} is not here any more; upload it again")
        base = self._options.bases[source.runtime]
        with self._turns, tempfile.TemporaryFile() as context:
            self._told(spec, f"building on {base}")
            plan = _write_context(context, archive, base, source.runtime, self._installation)
            context.seek(0)
            last: deque[str] = deque(maxlen=LAST_LINES)
            try:
                for line in self._lines(api, context, self.reference(source), plan):
                    last.append(line)
                    self._told(spec, line)
            except (requests.ReadTimeout, ReadTimeoutError):
                limit = self._options.seconds_max
                why = f"the build failed: it took more than {limit:g} s"
                raise BuildFailed("\n".join([why, *last])) from None
            except (APIError, _StepFailed) as error:
                raise BuildFailed("\n".join([f"the build failed: {error}", *last])) from error
            self._must_be_small(api, self.reference(source), base)
            self._told(spec, "built")
        return self.reference(source)

    def prune(self, api: docker.APIClient, kept: Collection[str]) -> int:
        """Remove this installation's images of other code than this; return how many.

        What a container was made of stays, because the engine does not let go of it. What the
        first stage of a build leaves is a cache, and stays for a while.
        """
        return self._remove(api, kept, self._options.unused_seconds, self._options.cache_seconds)

    def remove_all(self, api: docker.APIClient) -> None:
        """Remove all that was built of this installation's code."""
        self._remove(api, (), 0, 0)

    def _remove(
        self, api: docker.APIClient, kept: Collection[str], unused_seconds: float, cache: float
    ) -> int:
        needed = {self.reference(source) for source in map(source_of, kept) if source is not None}
        removed = 0
        for image in api.images(filters={"label": f"{LABEL}={self._installation}"}):
            names = [name for name in image["RepoTags"] or () if name != UNTAGGED]
            if time.time() - image["Created"] < (unused_seconds if names else cache):
                continue
            for name in [name for name in names if name not in needed] if names else [image["Id"]]:
                try:
                    api.remove_image(name)
                    removed += 1
                except (ImageNotFound, APIError):
                    continue  # something still runs on it
        return removed

    def _lines(
        self, api: docker.APIClient, context: IO[bytes], reference: str, plan: StartPlan
    ) -> Iterator[str]:
        memory, seconds = self._options.memory_bytes, self._options.seconds_max
        deadline = time.monotonic() + seconds
        network = self._networks.ensure(api, NETWORK) if plan.fetches else "none"
        # The engine takes this too, the library's `build` does not: so as what every request has.
        api.params = {"ulimits": json.dumps(ulimits())}
        answers: list[requests.Response] = []
        api.hooks["response"] = [lambda answer, **_: answers.append(answer)]
        lines = api.build(
            fileobj=context,
            custom_context=True,
            tag=reference,
            rm=True,
            forcerm=True,
            decode=True,
            labels={LABEL: self._installation},
            timeout=seconds,
            network_mode=network,
            container_limits={"memory": memory, "memswap": memory, "cpushares": SHARES},
        )
        hang_up = CancellableStream(lines, answers[-1]).close
        with contextlib.closing(answers[-1]), _ended_at(deadline, hang_up):
            for told in lines:
                if "error" in told:
                    raise _StepFailed(str(told["error"]).strip())
                for line in str(told.get("stream", "")).splitlines():
                    if line.strip():
                        yield line.rstrip()[:LINE_LENGTH_MAX]

    def _must_be_small(self, api: docker.APIClient, reference: str, base: str) -> None:
        size = api.inspect_image(reference)["Size"] - api.inspect_image(base)["Size"]
        if size > self._options.size_max:
            api.remove_image(reference)
            raise BuildFailed(
                f"the build failed: its image has {size >> 20} MiB on top of {base};"
                f" {self._options.size_max >> 20} are allowed"
            )


class _StepFailed(Exception):
    """A step of the Dockerfile failed."""


@contextlib.contextmanager
def _ended_at(deadline: float, hang_up: Callable[[], None]) -> Iterator[None]:
    """Hang up then, whatever comes or does not, and raise `ReadTimeout`: the engine ends it."""

    def end() -> None:
        with contextlib.suppress(OSError, AttributeError):  # it ended by itself in this moment
            hang_up()

    timer = threading.Timer(deadline - time.monotonic(), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (ProtocolError, OSError):
        if time.monotonic() < deadline:
            raise
    finally:
        timer.cancel()
    if time.monotonic() >= deadline:
        raise requests.ReadTimeout


def _write_context(
    context: IO[bytes], archive: Path, base: str, runtime: Runtime, owner: str
) -> StartPlan:
    """Write what the engine is sent: the Dockerfile, what is required, and the code."""
    with (
        tarfile.open(archive, "r:gz", encoding="utf-8") as code,
        tarfile.open(fileobj=context, mode="w") as out,
    ):
        names, read = [], {}
        for entry in code:
            content = code.extractfile(entry)
            if content is None:
                raise BuildFailed(f"the code cannot be used: {entry.name} is not a file")
            names.append(entry.name)
            if entry.name in READ:
                read[entry.name] = content.read()
                content.seek(0)
            name, entry.name = entry.name, f"source/app/{entry.name}"
            out.addfile(entry, content)
            if name in _MANIFESTS[runtime]:
                content.seek(0)
                entry.name = f"manifests/app/{name}"
                out.addfile(entry, content)
        try:
            plan = start_plan(names, read, runtime=runtime)
        except RuleViolated as error:
            raise BuildFailed(f"the code cannot be used: {error}") from error
        text = b"".join(read.get(name, b"") for name in _MANIFESTS[runtime]).decode(
            errors="replace"
        )
        dockerfile = docker_file(
            plan,
            base=base,
            manifests_alone=runtime == "go" or not _LOCAL.search(text),
            owner=owner,
        ).encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        with tempfile.TemporaryFile() as file:
            file.write(dockerfile)
            file.seek(0)
            out.addfile(entry, file)
    return plan


def docker_file(plan: StartPlan, *, base: str, manifests_alone: bool, owner: str = "") -> str:
    """Return the Dockerfile; with `manifests_alone` what is required is fetched before the code."""
    code = [f"COPY --chown={NOBODY} source/ /", "WORKDIR /app"]
    made = [
        f"FROM {base} AS made",
        f"LABEL {LABEL}={owner}",
        "ENV HOME=/tmp CGO_ENABLED=0 GOTOOLCHAIN=local GOPATH=/tmp/go",
    ]
    if plan.fetches:
        first = [f"COPY --chown={NOBODY} manifests/ /", "WORKDIR /app"] if manifests_alone else code
        made += [*first, f"USER {NOBODY}", f"RUN {_FETCH[plan.runtime]}"]
    made += code
    if plan.runtime == "go":
        made += [f"USER {NOBODY}", f"RUN go build -o {GO_PROGRAM} ."]
    final = [
        f"FROM {base}",
        "COPY --from=made /app/ /app/",
        "WORKDIR /app",
        "ENV HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1",
        "ENV PYTHONPATH=/app/.dependencies NODE_ENV=production",
        f"USER {NOBODY}",
        "ENTRYPOINT []",
        f"CMD {json.dumps(plan.argv)}",
    ]
    return "\n".join([*made, *final, ""])
