"""Both container drivers, ready to use: fixtures for the tests of drivers and provisioner."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from infrastructure.containers import ContainerDriver
from infrastructure.containers.docker import DockerOptions
from infrastructure.containers.process import ProcessDriver
from tests.docker.fixture import no_docker
from tests.docker.hardening import InspectedDocker
from tests.images.programs import BUSYBOX, catalogue


@pytest.fixture
def new_docker_driver(docker_engine: str) -> Iterator[Callable[..., InspectedDocker]]:
    """Make drivers; in the end, none of their containers was less hardened than all must be."""
    if not BUSYBOX.exists():
        no_docker("busybox is not installed (Debian: apt-get install busybox-static)")

    made: list[InspectedDocker] = []

    def make(**options: object) -> InspectedDocker:
        known: dict[str, object] = {
            "installation": f"t{uuid.uuid4().hex[:8]}",
            "host": docker_engine,
        }
        made.append(InspectedDocker(DockerOptions(**{**known, **options}), catalogue()))  # type: ignore[arg-type]
        return made[-1]

    yield make
    assert [each.deviations for each in made if each.deviations] == []


@pytest.fixture(params=["process", "docker"])
async def driver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ContainerDriver]:
    made: ContainerDriver
    if request.param == "docker":
        made = request.getfixturevalue("new_docker_driver")()
    else:
        made = ProcessDriver(tmp_path / "with a space" / "replicas", catalogue())
    yield made
    await made.clear()
    await made.close()


@pytest.fixture
async def docker_driver(
    new_docker_driver: Callable[..., InspectedDocker],
) -> AsyncIterator[InspectedDocker]:
    made = new_docker_driver()
    yield made
    await made.clear()
    await made.close()
