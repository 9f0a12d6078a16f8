"""Uploaded code as a container: built on a base image that is made here, with no registry."""

import asyncio
import io
import ipaddress
import shutil
import tarfile
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker
import pytest

from infrastructure.containers import BuildFailed, LogPosition, ReplicaSpec, Resources
from infrastructure.containers.docker import DockerDriver, DockerOptions
from infrastructure.containers.docker_builds import (
    NETWORK,
    BuildOptions,
    DockerBuilds,
    docker_file,
)
from infrastructure.containers.docker_networks import SUBNETS, DockerNetworks
from infrastructure.containers.docker_request import API_VERSION
from infrastructure.containers.python_image import python_image
from infrastructure.sources import Runtime
from infrastructure.sources.conventions import StartPlan
from infrastructure.sources.folder import FolderSources
from tests.docker.hardening import build_deviations
from tests.images.programs import busybox_archive, catalogue
from tests.images.runtimes import go_base, node_base, pip_base
from tests.infrastructure.archives.hostile import tarred, zipped
from tests.infrastructure.containers.test_drivers import until_answering
from tests.infrastructure.containers.test_process_builds import EXAMPLES, echoed, sample, wheel
from tests.node import node

Make = Callable[..., ReplicaSpec]
BASE = "tallyport-test/python-base"


class Place:
    """An engine, code, and the lines that builds wrote."""

    def __init__(self, folder: Path, engine: str, base: str, **limits: object) -> None:
        self.sources = FolderSources(folder)
        self.lines: list[str] = []
        installation = f"t{uuid.uuid4().hex[:8]}"
        self.bases: dict[Runtime, str] = dict.fromkeys(("python", "node", "go"), base)
        builds = DockerBuilds(
            installation,
            self.sources,
            BuildOptions(bases=self.bases, **limits),  # type: ignore[arg-type]
            told=lambda _spec, line: self.lines.append(line),
        )
        options = DockerOptions(installation=installation, host=engine)
        self.driver = DockerDriver(options, catalogue(), builds=builds)

    async def upload(self, content: bytes, runtime: Runtime | None = None) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        kept = await self.sources.keep(
            chunks(), team_id="team-1", runtime=runtime, used=frozenset()
        )
        return str(kept.reference)


@pytest.fixture
def base(docker_engine: str) -> str:
    """Return an image with Python and what the sample imports: no shell, no pip."""
    image = python_image(EXAMPLES / "python" / "main.py", port=8080)
    api = docker.APIClient(base_url=docker_engine, version=API_VERSION)
    try:
        reference = f"{BASE}:{image.content_hash}"
        if not api.images(reference):
            api.import_image_from_data(
                image.archive(),
                repository=BASE,
                tag=image.content_hash,
                changes=[*image.changes, "ENV PATH=/python/bin"],
            )
    finally:
        api.close()
    return reference


@pytest.fixture
async def place(tmp_path: Path, docker_engine: str, base: str) -> AsyncIterator[Place]:
    made = Place(tmp_path, docker_engine, base)
    yield made
    await made.driver.clear()
    await made.driver.close()


async def test_the_python_sample_is_built_once_and_answers_with_the_request(
    place: Place, spec: Make
) -> None:
    image = await place.upload(zipped(sample("python")))
    for number in (1, 2):
        await place.driver.start(spec(image, number))
    assert place.lines.count("built") == 1
    assert any("COPY" in line for line in place.lines), "the build's own lines are told"
    for replica in await place.driver.list_replicas():
        answer = await echoed(replica)
        assert (answer["runtime"], answer["method"]) == ("python", "PATCH")
        assert (answer["path"], answer["body"]) == ("/a/path?x=1", "the body")
        assert answer["headers"]["x-sample"] == "yes"
    await place.driver.clear()
    api = place.driver._api()
    assert not api.images(
        filters={"label": f"tallyport.source={place.driver._options.installation}"}
    )


@pytest.mark.parametrize("runtime", ["node", *(["go"] if shutil.which("go") else [])])
async def test_a_sample_answers_with_the_request(
    runtime: str, tmp_path: Path, docker_engine: str, spec: Make
) -> None:
    api = docker.APIClient(base_url=docker_engine, version=API_VERSION, timeout=300)

    def base_of() -> str:
        return node_base(api, node()) if runtime == "node" else go_base(api, EXAMPLES / "go")

    with closing(api):
        place = Place(tmp_path, docker_engine, await asyncio.to_thread(base_of))
    try:
        image = await place.upload(zipped(sample(runtime)))
        ample = Resources(cpu_millis=1000, memory_bytes=256 * 1024**2)
        await place.driver.start(spec(image, resources=ample))
        [replica] = await place.driver.list_replicas()
        answer = await echoed(replica)
        assert (answer["runtime"], answer["method"]) == (runtime, "PATCH")
        assert (answer["path"], answer["body"]) == ("/a/path?x=1", "the body")
        assert answer["headers"]["x-sample"] == "yes"
    finally:
        await place.driver.clear()
        await place.driver.close()


WHEEL = "thing-1.0-py3-none-any.whl"


@contextmanager
def package_index(address: str, folder: Path) -> Iterator[str]:
    """Serve the packages in a folder as an index does (PEP 503); yield where."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer((address, 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://{address}:{server.server_port}/simple/"
        finally:
            server.shutdown()
            serving.join()


async def test_what_python_code_requires_comes_from_an_index(
    tmp_path: Path, docker_engine: str, spec: Make
) -> None:
    (packages := tmp_path / "index" / "simple" / "thing").mkdir(parents=True)
    (packages / WHEEL).write_bytes(wheel())
    place = Place(tmp_path / "sources", docker_engine, "")
    api = docker.APIClient(base_url=docker_engine, version=API_VERSION)
    name = DockerNetworks(place.driver._options.installation, internal=False).ensure(api, NETWORK)
    [subnet] = api.inspect_network(name)["IPAM"]["Config"]
    base = ""
    try:
        with package_index(subnet["Gateway"], tmp_path / "index") as index:
            base = pip_base(api, packages / WHEEL, tmp_path, index=index)
            place.bases["python"] = base
            program = b"import thing, time; print(thing.WORD, flush=True); time.sleep(600)"
            files = {"main.py": program, "requirements.txt": b"thing==1.0\n"}
            await place.driver.start(spec(await place.upload(zipped(files))))
        [replica] = await place.driver.list_replicas()
        async for lines in place.driver.logs(replica, LogPosition()):
            assert [line.text for line in lines] == ["fetched"]
            break
    finally:
        await place.driver.clear()
        await place.driver.close()
        if base:
            api.remove_image(base, force=True)
        api.close()


PIP = b"""#!/bin/sh
cat /proc/self/status /proc/self/limits
until test -e /tmp/go-on; do sleep 0.1; done
"""
"""In place of Python: what a fetching build runs, so long as it is looked at."""


@pytest.fixture
def fetching_base(docker_engine: str) -> Iterator[str]:
    """Return an image with a shell, whose `python3` is the script above."""
    archive = io.BytesIO(busybox_archive())
    with tarfile.open(fileobj=archive, mode="a") as more:
        program = tarfile.TarInfo("bin/python3")
        program.size, program.mode = len(PIP), 0o755
        more.addfile(program, io.BytesIO(PIP))
    reference = f"tallyport-test/fetching-base:{uuid.uuid4().hex[:8]}"
    api = docker.APIClient(base_url=docker_engine, version=API_VERSION)
    try:
        repository, tag = reference.split(":")
        api.import_image_from_data(archive.getvalue(), repository=repository, tag=tag)
        yield reference
        api.remove_image(reference, force=True)
    finally:
        api.close()


async def looked_at(api: docker.APIClient, installation: str) -> dict[str, Any]:
    """Return what the engine says of the container that a build runs in, and let it go on."""
    filters = {"label": f"tallyport.source={installation}", "status": "running"}
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(120):
        while not found:
            await asyncio.sleep(0.05)
            found = await asyncio.to_thread(api.containers, filters=filters)
    details: dict[str, Any] = await asyncio.to_thread(api.inspect_container, found[0]["Id"])
    touching = {"cmd": ["touch", "/tmp/go-on"], "user": "0"}
    touch = await asyncio.to_thread(api.exec_create, found[0]["Id"], **touching)
    await asyncio.to_thread(api.exec_start, touch["Id"])
    return details


async def test_what_a_build_runs_is_shut_in_as_far_as_an_engine_lets_a_build_be(
    tmp_path: Path, docker_engine: str, fetching_base: str, spec: Make
) -> None:
    place = Place(tmp_path, docker_engine, fetching_base)
    try:
        image = await place.upload(zipped({"main.py": b"", "requirements.txt": b"thing==1\n"}))
        starting = asyncio.create_task(place.driver.start(spec(image)))
        api = place.driver._api()
        details = await looked_at(api, place.driver._options.installation)
        await starting
        assert build_deviations(details) == []
        told = {" ".join(line.split()[:-1]) for line in place.lines}
        assert "Max processes 1024 1024" in told
        assert "CapEff:\t0000000000000000" in place.lines
        network = api.inspect_network(details["HostConfig"]["NetworkMode"])
        assert network["Options"]["com.docker.network.bridge.enable_icc"] == "false"
        subnet = ipaddress.IPv4Network(network["IPAM"]["Config"][0]["Subnet"])
        # So the firewall's rule holds for builds as for replicas.
        assert subnet.subnet_of(SUBNETS)
    finally:
        await place.driver.clear()
        await place.driver.close()


async def test_what_is_required_is_fetched_once_however_often_the_code_changes(
    tmp_path: Path, docker_engine: str, fetching_base: str, spec: Make
) -> None:
    place = Place(tmp_path, docker_engine, fetching_base, seconds_max=60)
    required = {"requirements.txt": b"thing==1\n"}
    try:
        image = await place.upload(zipped({"main.py": b"", **required}))
        starting = asyncio.create_task(place.driver.start(spec(image)))
        await looked_at(place.driver._api(), place.driver._options.installation)
        await starting
        place.lines.clear()
        changed = await place.upload(zipped({"main.py": b"changed", **required}))
        await place.driver.start(spec(changed, 2, revision=2))
        told = [line.strip() for line in place.lines]
        fetching = next(n for n, line in enumerate(told) if "RUN python3 -m pip" in line)
        assert told[fetching + 1] == "---> Using cache"
    finally:
        await place.driver.clear()
        await place.driver.close()


async def test_a_build_that_says_nothing_for_too_long_is_ended(
    tmp_path: Path, docker_engine: str, fetching_base: str, spec: Make
) -> None:
    place = Place(tmp_path, docker_engine, fetching_base, seconds_max=2)
    try:
        image = await place.upload(zipped({"main.py": b"", "requirements.txt": b"thing==1\n"}))
        with pytest.raises(BuildFailed, match="the build failed: it took more than 2 s"):
            await place.driver.start(spec(image))
        api = place.driver._api()
        builds = {"label": f"tallyport.source={place.driver._options.installation}"}
        async with asyncio.timeout(120):
            while await asyncio.to_thread(api.containers, filters=builds):  # noqa: ASYNC110 - asked
                await asyncio.sleep(0.05)
    finally:
        await place.driver.clear()
        await place.driver.close()


async def test_changed_code_is_another_image(place: Place, spec: Make) -> None:
    files = sample("python")
    await place.driver.start(spec(await place.upload(zipped(files))))
    files["main.py"] = files["main.py"].replace(b'"runtime": "python"', b'"runtime": "changed"')
    await place.driver.start(spec(await place.upload(tarred(files)), 2, revision=2))
    answers = set()
    for replica in await place.driver.list_replicas():
        await until_answering(replica)
        answers.add((await echoed(replica))["runtime"])
    assert answers == {"python", "changed"}


async def test_a_build_that_fails_says_why_and_starts_nothing(place: Place, spec: Make) -> None:
    # The base image has no shell, so nothing can be fetched in it.
    image = await place.upload(zipped({"main.py": b"", "requirements.txt": b"thing==1\n"}))
    with pytest.raises(BuildFailed, match=r"the build failed: (.*\n)*.*RUN"):
        await place.driver.start(spec(image))
    assert await place.driver.list_replicas() == []


async def test_an_image_over_the_limit_is_refused(
    tmp_path: Path, docker_engine: str, base: str, spec: Make
) -> None:
    place = Place(tmp_path, docker_engine, base, size_max=1000)
    image = await place.upload(zipped({"main.py": b"# a long comment\n" * 100}))
    with pytest.raises(BuildFailed, match="are allowed"):
        await place.driver.start(spec(image))
    await place.driver.clear()
    await place.driver.close()


def test_what_is_required_is_a_layer_before_the_code_and_run_as_nobody() -> None:
    plan = StartPlan(runtime="python", argv=("python3", "-u", "main.py"), fetches=True)
    lines = docker_file(plan, base="python:3.12-slim", manifests_alone=True).splitlines()
    run = next(n for n, line in enumerate(lines) if line.startswith("RUN"))
    code = next(n for n, line in enumerate(lines) if "source/" in line)
    assert run < code
    assert any(line.startswith("USER 65534") for line in lines[:run])
    together = docker_file(plan, base="x", manifests_alone=False).splitlines()
    assert together.index(next(each for each in together if "source/" in each)) < together.index(
        next(each for each in together if each.startswith("RUN"))
    )


def test_go_code_is_compiled_before_its_image_is_made() -> None:
    plan = StartPlan(runtime="go", argv=("./.tallyport-program",), fetches=False)
    text = docker_file(plan, base="golang:1.23", manifests_alone=True)
    assert "go mod download" not in text
    assert text.index("RUN go build") < text.index("COPY --from=made")


async def test_what_no_revision_needs_is_removed_and_nothing_that_runs_or_is_not_ours(
    tmp_path: Path, docker_engine: str, base: str, spec: Make
) -> None:
    place = Place(tmp_path, docker_engine, base, unused_seconds=-1, cache_seconds=-1)
    source = {"main.py": b"import time; time.sleep(600)"}
    images = [await place.upload(zipped({**source, f"{n}.txt": b""})) for n in range(2)]
    for number, image in enumerate(images, start=1):
        await place.driver.start(spec(image, number, revision=number))
    for replica in await place.driver.list_replicas():
        if replica.revision == 1:
            await place.driver.remove(replica)
    api = place.driver._api()

    def built() -> set[str]:
        label = f"tallyport.source={place.driver._options.installation}"
        tags = [name for each in api.images(filters={"label": label}) for name in each["RepoTags"]]
        return {name.rpartition(":")[2][:64] for name in tags} - {"<none>"}

    digests = [image.partition(":")[2] for image in images]
    await place.driver.prune(images)
    assert built() == set(digests)
    await place.driver.prune(())  # nobody needs the first; the second runs
    assert built() == {digests[1]}
    assert api.images(base), "the base image is not ours to remove"
    await place.driver.clear()
    await place.driver.close()
