from tests.docker.drivers import docker_driver, driver, new_docker_driver  # noqa: F401 - fixtures
