"""On a machine of its own (a network namespace, with its engine) a hostile container is shut out.

Without the rule it connects, by the machine's address on its team's network and, past the routes,
by every other: which is why there is a rule.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from infrastructure.containers import ReplicaSpec, Resources
from infrastructure.containers.docker import DockerOptions
from infrastructure.containers.docker_request import network_name
from tests.docker.fixture import ENGINE, no_docker
from tests.docker.hardening import InspectedDocker
from tests.images.programs import HOSTILE, SERVES, catalogue
from tests.infrastructure.containers.test_hostile import tries_of
from tests.workers.provisioner.scene import wanted

PUBLIC = "203.0.113.5"
PARTS = {
    "API": 8000,
    "API with TLS": 8444,
    "gateway": 8080,
    "gateway with TLS": 8443,
    "store": 5432,
}
FORBIDDEN_EXIT_CODE = 1
SET_UP = f"""
set -e
ip link set lo up
ip address add {PUBLIC}/32 dev lo
exec "$0" start "$1"
"""
LISTEN = """
import socket, sys
places = [each.rsplit(":", 1) for each in sys.argv[1:]]
listening = [socket.create_server((host, int(port)), backlog=50) for host, port in places]
print("listening", flush=True)
sys.stdin.read()
"""
CALL = """
import http.client, sys
calling = http.client.HTTPConnection(sys.argv[1], 8080, timeout=30)
calling.request("GET", "/")
print(calling.getresponse().status)
"""
"""The friend has no file to show, and says so."""


class Machine:
    """A network namespace, and the engine that lives in it."""

    def __init__(self, folder: Path) -> None:
        self.host = f"unix://{folder}/docker.sock"
        self._inside = ["nsenter", f"--net=/proc/{(folder / 'dockerd.pid').read_text()}/ns/net"]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._inside, *command], capture_output=True, text=True, check=False, timeout=120
        )

    def start(self, *command: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen([*self._inside, *command], stdin=pipe, stdout=pipe, text=True)

    def tallyport(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "bootstrap.main", *arguments)


@pytest.fixture
def machine() -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="tp-machine-"))
    try:
        if os.geteuid() != 0:
            no_docker("a network namespace needs root")
        started = subprocess.run(
            ["unshare", "--net", "bash", "-c", SET_UP, ENGINE, folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if started.returncode != 0:
            no_docker(started.stderr.strip())
        yield Machine(folder)
    finally:
        subprocess.run([ENGINE, "stop", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def listeners(machine: Machine) -> Iterator[None]:
    """All parts listen on all addresses, and the store on the public one besides."""
    places = [f"0.0.0.0:{port}" for port in PARTS.values()] + [f"{PUBLIC}:15432"]
    program = machine.start(sys.executable, "-c", LISTEN, *places)
    assert program.stdin is not None
    assert program.stdout is not None
    assert program.stdout.readline() == "listening\n"
    yield
    program.stdin.close()
    program.stdout.close()
    program.wait(timeout=30)


async def reached(
    driver: InspectedDocker, targets: list[tuple[str, str, int]], *, deployment_id: str
) -> Mapping[str, bool]:
    """Return whether a hostile container connected to each, by what it says itself."""
    spec = hostile(deployment_id, targets)
    await driver.start(spec)
    replicas = await driver.list_replicas()
    [replica] = [each for each in replicas if each.deployment_id == deployment_id]
    tries = await tries_of(driver, replica, "all of it")
    names = {f"{name}{way}" for name, _, _ in targets for way in ("", ", past the routes")}
    return {each.what: each.succeeded for each in tries if each.what in names}


def hostile(deployment_id: str, targets: list[tuple[str, str, int]]) -> ReplicaSpec:
    env = {"MODE": "targets", "TARGETS": json.dumps(targets)}
    ample = Resources(cpu_millis=1000, memory_bytes=256 * 1024**2)
    return wanted(deployment_id, image=HOSTILE.image, env=env, resources=ample).replica(1)


@pytest.mark.usefixtures("listeners")
async def test_no_port_of_the_machine_is_reached_from_a_container_once_the_rule_is_set(
    machine: Machine,
) -> None:
    installation = f"t{uuid.uuid4().hex[:8]}"
    driver = InspectedDocker(
        DockerOptions(installation=installation, host=machine.host), catalogue()
    )
    try:
        await driver.start(wanted("dpl-friend", image=SERVES).replica(1))
        [friend] = await driver.list_replicas()
        network = driver._api().inspect_network(network_name(installation, "team-1"))
        gateway = network["IPAM"]["Config"][0]["Gateway"]
        friendly = ("a friend", str(friend.address), 8080)
        machines = [
            *(
                (f"{name} at {host}", host, at)
                for name, at in PARTS.items()
                for host in (gateway, PUBLIC)
            ),
            ("the store at its own address", PUBLIC, 15432),
        ]
        before = await reached(driver, [friendly, *machines], deployment_id="dpl-before")
        assert before[f"API at {gateway}"]
        assert before[f"API at {PUBLIC}, past the routes"]

        assert machine.tallyport("firewall", "--once").returncode == 0
        assert machine.tallyport("firewall", "--once").returncode == 0
        after = await reached(driver, [friendly, *machines], deployment_id="dpl-after")
        assert {name for name, well in after.items() if well} == {
            "a friend",
            "a friend, past the routes",
        }
        assert after.keys() == before.keys()
        # The machine itself still calls the replicas.
        assert machine.run(sys.executable, "-c", CALL, str(friend.address)).stdout == "404\n"

        assert machine.tallyport("firewall", "--remove").returncode == 0
        assert driver.deviations == []
    finally:
        await driver.clear()
        await driver.close()


def test_who_may_not_set_it_is_told_what_it_takes() -> None:
    as_nobody = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    refused = subprocess.run(
        [*as_nobody, sys.executable, "-m", "bootstrap.main", "firewall"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert refused.returncode == FORBIDDEN_EXIT_CODE
    assert "NET_ADMIN" in refused.stderr
