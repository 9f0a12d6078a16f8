from collections.abc import Callable

import pytest

from infrastructure.containers import ReplicaSpec
from tests.docker.drivers import docker_driver, driver, new_docker_driver  # noqa: F401 - fixtures


@pytest.fixture
def spec() -> Callable[..., ReplicaSpec]:
    def make(image: str = "tallyport/echo", number: int = 1, **fields: object) -> ReplicaSpec:
        known: dict[str, object] = {
            "replica_id": f"dpl-1-1-{number}",
            "deployment_id": "dpl-1",
            "team_id": "team-1",
            "app_name": "hello",
            "revision": 1,
            "image": image,
            "port": 8080,
            "env": {"GREETING": "hello"},
        }
        return ReplicaSpec(**{**known, **fields})  # type: ignore[arg-type]

    return make
