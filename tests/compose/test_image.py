"""The image is built by a real engine, without any registry or package index, and run.

The engine's containers have no network while it builds: the wheels lie beside the Dockerfile, as
they do for a user who builds where no index can be reached.
"""

import base64
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import docker
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from docker.models.containers import Container

from tests.servers import PostgresServer, ValkeyServer, free_port

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path.home() / ".cache" / "tallyport-tests"
BASE = "tallyport-test/base"
IMAGE = "tallyport-test/image"


@pytest.fixture(scope="session")
def engine(docker_engine: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=docker_engine, timeout=300)
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    context = tmp_path_factory.mktemp("context")
    copy_checkout(context)
    arguments = {}
    if can_make_base():
        import_base(engine)
        download_wheels(context / "wheelhouse")
        arguments = {"BASE_IMAGE": BASE, "PIP_NO_INDEX": "1"}
    try:
        engine.images.build(
            path=str(context),
            tag=IMAGE,
            buildargs=arguments,
            network_mode="none" if arguments else None,
            rm=True,
            forcerm=True,
        )
    except docker.errors.BuildError as error:
        pytest.fail("".join(line.get("stream", "") for line in error.build_log) + str(error))
    yield IMAGE
    engine.images.remove(IMAGE, force=True)


def can_make_base() -> bool:
    """Without debootstrap or root the base is what the Dockerfile names, from its registry."""
    return shutil.which("debootstrap") is not None and os.geteuid() == 0


def copy_checkout(context: Path) -> None:
    listed = subprocess.run(
        [
            "git",
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, context / name)
    build = [sys.executable, str(ROOT / "bin" / "_build_dashboard.py")]
    subprocess.run([*build, str(ROOT / "dashboard")], check=True)
    shutil.copytree(ROOT / "dashboard" / "dist", context / "dashboard" / "dist")


def import_base(engine: docker.DockerClient) -> None:
    codename = re.search(r"^VERSION_CODENAME=(\w+)$", os_release(), re.MULTILINE)
    assert codename, "the base is made of the Debian that runs the test"
    tar = CACHE / f"base-{codename[1]}.tar"
    if not tar.exists():
        subprocess.run([str(ROOT / "tests/compose/base_image.sh"), str(tar)], check=True)
    with tar.open("rb") as content:
        engine.api.import_image_from_data(content, BASE, "latest")


def os_release() -> str:
    return Path("/etc/os-release").read_text()


def download_wheels(wheelhouse: Path) -> None:
    """Fetch what the base's Python needs; it is the same as this Debian's own Python."""
    pip = [sys.executable, "-m", "pip", "--python", "/usr/bin/python3", "download", "--quiet"]
    lock = str(ROOT / "requirements-image.lock")
    strict = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    subprocess.run([*pip, *strict, "--requirement", lock, "--dest", str(wheelhouse)], check=True)


def run(engine: docker.DockerClient, image: str, *command: str, **environment: str) -> str:
    """Run the image as docker-compose.yml does: nothing writable, no rights, no network."""
    output: bytes = engine.containers.run(
        image,
        list(command),
        environment=environment,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        tmpfs={"/tmp": ""},
        remove=True,
    )
    return output.decode()


def test_the_image_tells_what_it_can_do(engine: docker.DockerClient, image: str) -> None:
    text = run(engine, image, "--help")
    for command in ("api", "gateway", "haproxy", "worker", "migrate", "check-settings"):
        assert command in text


def test_the_image_checks_its_settings(engine: docker.DockerClient, image: str) -> None:
    run(engine, image, "check-settings")

    with pytest.raises(docker.errors.ContainerError) as refused:
        run(engine, image, "check-settings", TALLYPORT_API_PORT="eighty")
    assert b"TALLYPORT_API_PORT" in refused.value.stderr


def test_the_image_runs_as_nobody_in_particular_and_holds_no_tools(
    engine: docker.DockerClient, image: str
) -> None:
    found = engine.images.get(image).attrs
    assert found["Config"]["User"] == "tallyport"

    output = engine.containers.run(
        image,
        ["-c", "import importlib.util as u; print([n for n in ('pip', 'chdb') if u.find_spec(n)])"],
        entrypoint="python",
        network_mode="none",
        remove=True,
    )
    assert output.decode().strip() == "[]"


def test_the_image_becomes_haproxy_with_nothing_but_its_volume(
    engine: docker.DockerClient, image: str
) -> None:
    haproxy = engine.containers.run(
        image,
        ["haproxy"],
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        tmpfs={"/tmp": ""},
        volumes=["/var/lib/tallyport/gateway"],
        detach=True,
    )
    ask = "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/nobody/is/here')"
    try:
        deadline = time.monotonic() + 30
        answered = b""
        while b"404" not in answered and time.monotonic() < deadline:
            haproxy.reload()
            assert haproxy.status == "running", haproxy.logs().decode()
            answered = haproxy.exec_run(["python", "-c", ask]).output
        assert b"404" in answered, answered.decode()
    finally:
        haproxy.remove(force=True, v=True)


def test_the_image_makes_its_tables_and_serves_the_api(
    engine: docker.DockerClient, image: str, postgres: PostgresServer, valkey: ValkeyServer
) -> None:
    port, address = free_port(), f"127.0.0.1:{postgres.port}/in_the_image"
    parts = {
        "TALLYPORT_DATABASE_URL": f"postgresql://tallyport_app@{address}",
        "TALLYPORT_REDIS_URL": valkey.url,
        "TALLYPORT_SECRET_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "TALLYPORT_SIGNING_KEY": signing_key(),
        "TALLYPORT_API_HOST": "127.0.0.1",
        "TALLYPORT_API_PORT": str(port),
    }
    owner = {"TALLYPORT_DATABASE_OWNER_URL": f"postgresql://postgres@{address}"}
    engine.containers.run(
        image, ["migrate"], environment={**parts, **owner}, network_mode="host", remove=True
    )
    served = engine.containers.run(
        image, ["api"], environment=parts, network_mode="host", read_only=True, detach=True
    )
    try:
        assert wait_for(f"http://127.0.0.1:{port}/health/live", served) == HTTPStatus.OK
        assert wait_for(f"http://127.0.0.1:{port}/openapi.json", served) == HTTPStatus.OK
        assert wait_for(f"http://127.0.0.1:{port}/assets/{script()}", served) == HTTPStatus.OK
        assert wait_for(f"http://127.0.0.1:{port}/help/errors", served) == HTTPStatus.OK
        served.stop(timeout=20)
        assert served.wait()["StatusCode"] == 0, served.logs().decode()
    finally:
        served.remove(force=True)


def script() -> str:
    [found] = (ROOT / "dashboard" / "dist" / "assets").glob("index-*.js")
    return found.name


def signing_key() -> str:
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return pem.decode()


def wait_for(url: str, container: Container) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        container.reload()
        assert container.status == "running", container.logs().decode()
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status)
        except OSError:
            time.sleep(0.1)
    pytest.fail(container.logs().decode())
