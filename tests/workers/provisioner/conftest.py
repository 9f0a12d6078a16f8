from tests.docker.drivers import docker_driver, driver, new_docker_driver  # noqa: F401 - fixtures
from tests.docker.fixture import docker_engine  # noqa: F401 - a fixture
