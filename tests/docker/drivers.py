"""Both container drivers, ready to use: fixtures for the tests of drivers and provisioner."""

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from infrastructure.containers import ContainerDriver
from infrastructure.containers.docker import DockerDriver, DockerOptions
from infrastructure.containers.process import ProcessDriver
from tests.docker.fixture import no_docker
from tests.images.programs import BUSYBOX, catalogue


@pytest.fixture
def new_docker_driver(docker_engine: str) -> Callable[..., DockerDriver]:
    if not BUSYBOX.exists():
        no_docker("busybox is not installed (Debian: apt-get install busybox-static)")

    def make(**options: object) -> DockerDriver:
        known: dict[str, object] = {
            "installation": f"t{uuid.uuid4().hex[:8]}",
            "host": docker_engine,
        }
        return DockerDriver(DockerOptions(**{**known, **options}), catalogue())  # type: ignore[arg-type]

    return make


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
    new_docker_driver: Callable[..., DockerDriver],
) -> AsyncIterator[DockerDriver]:
    made = new_docker_driver()
    yield made
    await made.clear()
    await made.close()
