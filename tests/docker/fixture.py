"""Gives tests a Docker engine: the one of DOCKER_HOST, else one of our own for the session.

Where there is none, tests are skipped with the reason; with TALLYPORT_REQUIRE_DOCKER=1 they fail.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
import requests
from docker.errors import DockerException

from infrastructure.containers.docker_request import API_VERSION

ENGINE = Path(__file__).parent / "engine.sh"


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[str]:
    """The address of a Docker engine that tests may use."""
    given = os.environ.get("DOCKER_HOST")
    if given and _answers(given):
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="tp-engine-", ignore_cleanup_errors=True) as folder:
        started = subprocess.run(
            [ENGINE, "start", folder], capture_output=True, text=True, check=False
        )
        if started.returncode != 0:
            no_docker(started.stderr.strip())
        try:
            yield started.stdout.strip().removeprefix("DOCKER_HOST=")
        finally:
            subprocess.run([ENGINE, "stop", folder], check=True)


def no_docker(reason: str) -> None:
    """Skip for want of an engine, or fail where one is required."""
    if os.environ.get("TALLYPORT_REQUIRE_DOCKER") == "1":
        pytest.fail(f"a Docker engine is required: {reason}")
    pytest.skip(reason)


def _answers(host: str) -> bool:
    try:
        client = docker.APIClient(base_url=host, version=API_VERSION, timeout=5)
        with closing(client):
            return bool(client.ping())
    except (DockerException, requests.RequestException):
        return False
