"""Uploaded code as a process: the three samples, what a build fetches, and how it fails."""

import asyncio
import io
import os
import shutil
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from infrastructure.containers import (
    ActualReplica,
    BuildFailed,
    LogPosition,
    NotRunnable,
    ReplicaSpec,
)
from infrastructure.containers.catalogue import PredefinedImages
from infrastructure.containers.process import ProcessDriver
from infrastructure.containers.process_builds import PATH, ProcessBuilds
from infrastructure.sources import Runtime
from infrastructure.sources.folder import FolderSources
from tests.infrastructure.archives.hostile import tarred, zipped
from tests.infrastructure.containers.test_drivers import until_answering

EXAMPLES = Path(__file__).parents[3] / "examples"
Make = Callable[..., ReplicaSpec]
CACHES = {"GOCACHE": os.environ.get("GOCACHE", str(Path("~/.cache/go-build").expanduser()))}
"""What the compiler made of its standard library once; that alone takes it half a minute."""


class Place:
    """A driver, its builds, the code they are made of, and the lines they wrote."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.folder = folder
        self.sources = FolderSources(folder / "sources")
        self.lines: list[str] = []
        self.options = options
        self.driver = self.another()

    def another(self) -> ProcessDriver:
        builds = ProcessBuilds(
            self.folder / "builds",
            self.sources,
            told=lambda _spec, line: self.lines.append(line),
            extra_env=CACHES,
            **self.options,  # type: ignore[arg-type]
        )
        return ProcessDriver(self.folder / "replicas", PredefinedImages(), builds=builds)

    async def upload(self, content: bytes, runtime: Runtime | None = None) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        kept = await self.sources.keep(
            chunks(), team_id="team-1", runtime=runtime, used=frozenset()
        )
        return str(kept.reference)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    await made.driver.clear()


async def echoed(replica: ActualReplica) -> dict:
    await until_answering(replica)
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.patch(
            f"http://{replica.address}:{replica.port}/a/path?x=1",
            headers={"X-Sample": "yes"},
            content=b"the body",
        )
    return answer.json()


def sample(name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (EXAMPLES / name).iterdir()}


@pytest.mark.parametrize(
    "runtime",
    ["python", *(name for name in ("node", "go") if shutil.which(name, path=PATH) is not None)],
)
async def test_a_sample_answers_with_the_request(runtime: str, place: Place, spec: Make) -> None:
    image = await place.upload(zipped(sample(runtime)))
    assert image.startswith(f"source/{runtime}:")
    for number in (1, 2):
        await place.driver.start(spec(image, number))
    assert place.lines.count("built") == 1, "replicas share their build"
    for replica in await place.driver.list_replicas():
        answer = await echoed(replica)
        assert (answer["runtime"], answer["method"]) == (runtime, "PATCH")
        assert (answer["path"], answer["body"]) == ("/a/path?x=1", "the body")
        assert answer["headers"]["x-sample"] == "yes"
    # Another process finds the build, and the replicas.
    again = place.another()
    await again.start(spec(image, 2))
    assert place.lines.count("built") == 1


def wheel() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = "thing-1.0.dist-info"
        archive.writestr("thing.py", "WORD = 'fetched'\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"thing.py,,\n{info}/METADATA,,\n{info}/RECORD,,\n")
    return out.getvalue()


async def test_what_python_code_requires_is_installed_for_it_alone(
    place: Place, spec: Make
) -> None:
    program = b"import thing, time; print(thing.WORD, flush=True); time.sleep(600)"
    files = {
        "main.py": program,
        "requirements.txt": b"./thing-1.0-py3-none-any.whl\n",
        "thing-1.0-py3-none-any.whl": wheel(),
    }
    await place.driver.start(spec(await place.upload(tarred(files))))
    [replica] = await place.driver.list_replicas()
    async for lines in place.driver.logs(replica, LogPosition()):
        assert [line.text for line in lines] == ["fetched"]
        break
    assert any("Successfully installed thing" in line for line in place.lines)


async def test_a_build_that_fails_says_its_last_lines_and_leaves_nothing(
    place: Place, spec: Make
) -> None:
    files = {"main.py": b"", "requirements.txt": b"./missing-1.0-py3-none-any.whl\n"}
    image = await place.upload(zipped(files))
    with pytest.raises(BuildFailed, match=r"code 1\n(.*\n)*.*missing"):
        await place.driver.start(spec(image))
    assert await place.driver.list_replicas() == []
    assert [each.name for each in (place.folder / "builds").iterdir()] == [".cache"]


async def test_a_build_that_takes_too_long_is_ended(tmp_path: Path, spec: Make) -> None:
    place = Place(tmp_path, seconds_max=0.2)
    image = await place.upload(zipped({"main.py": b"", "requirements.txt": b"x\n"}))
    with pytest.raises(BuildFailed, match=r"more than 0\.2 s"):
        await place.driver.start(spec(image))


async def test_a_build_over_the_limit_is_refused_and_leaves_nothing(
    tmp_path: Path, spec: Make
) -> None:
    place = Place(tmp_path, size_max=1000)
    image = await place.upload(zipped({"main.py": b"# a long comment\n" * 100}))
    with pytest.raises(BuildFailed, match="are allowed"):
        await place.driver.start(spec(image))
    assert list((place.folder / "builds").iterdir()) == []


async def test_what_is_built_already_does_not_wait_for_what_is_being_built(
    place: Place, spec: Make
) -> None:
    image = await place.upload(zipped({"main.py": b"import time; time.sleep(600)"}))
    await place.driver.start(spec(image, 1))
    builds = place.driver._builds
    assert builds is not None
    with builds._building:
        async with asyncio.timeout(60):
            await place.driver.start(spec(image, 2))
    assert len(await place.driver.list_replicas()) == 2


async def test_code_that_is_gone_or_not_wished_is_refused_in_words(
    tmp_path: Path, spec: Make
) -> None:
    image = f"source/python:{'0' * 64}"
    with pytest.raises(NotRunnable, match="upload it again"):
        await Place(tmp_path).driver.start(spec(image))
    without = ProcessDriver(tmp_path / "replicas", PredefinedImages())
    with pytest.raises(NotRunnable, match="could read all that we can"):
        await without.start(spec(image))


async def test_what_no_revision_needs_is_removed_and_nothing_that_runs(
    tmp_path: Path, spec: Make
) -> None:
    place = Place(tmp_path, unused_seconds=-1)
    source = {"main.py": b"import time; time.sleep(600)"}
    images = [
        await place.upload(zipped({**source, "which.txt": str(number).encode()}))
        for number in range(3)
    ]
    for number, image in enumerate(images, start=1):
        await place.driver.start(spec(image, number))
    for replica in await place.driver.list_replicas():
        if not replica.replica_id.endswith("-3"):
            await place.driver.remove(replica)
    assert await place.driver.prune({images[1]}) == 1
    built = {each.name for each in (tmp_path / "builds").glob("*-*")}
    assert built == {f"python-{image.partition(':')[2]}" for image in images[1:]}
    await place.driver.clear()
