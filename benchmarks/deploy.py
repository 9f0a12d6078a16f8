"""How long from asking for a deployment until it answers through the gateway.

The clock runs from the API call (`POST /v1/deployments`) to the first 200 through the gateway,
keys, health check and routing included. The yardstick is `docker run -d` of the same image on the
same engine to its first 200, asked at the container itself, alternately in the same minutes. Alone,
and ten at once. The target is a ratio of at most 1.5.

Both have their network before: the team has another deployment, which runs all the while.

Needs a Docker engine (DOCKER_HOST) and the `docker` command.
"""

import http.client
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.platform import Person, Platform

ALONE = 7
AT_ONCE = 10
ROUNDS = 3
POLL_SECONDS = 0.02
"""Asking costs processor time that deploying needs, and at the gateway more than elsewhere."""
SECONDS_MAX = 120.0
HOST_SUFFIX = ".apps.localhost"
IMAGE = "tallyport/echo"


def until_200(address: str, port: int, headers: dict[str, str]) -> None:
    """Ask until it answers with 200."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(address, port, timeout=SECONDS_MAX)
        try:
            connection.request("GET", "/hello", headers=headers)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"{address}:{port} {headers}")


def docker(*words: str) -> str:
    """Do what the `docker` command does."""
    return subprocess.run(
        ["docker", *words], check=True, capture_output=True, text=True
    ).stdout.strip()


class Yardstick:
    """`docker run` of the very image, in a network of its own."""

    def __init__(self, network: str) -> None:
        self._network = network
        images = docker("images", "--format", "{{.Repository}}:{{.Tag}}", IMAGE).split()
        self._image = images[0]

    def seconds(self, _number: int) -> float:
        """Return the seconds from `docker run` to the first 200."""
        began = time.monotonic()
        container = docker("run", "-d", "--network", self._network, self._image)
        address = docker(
            *("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"),
            container,
        )
        until_200(address, 8080, {})
        took = time.monotonic() - began
        docker("rm", "-f", container)
        return took


class Deployer:
    """The platform's way."""

    def __init__(self, platform: Platform, anna: Person) -> None:
        self._platform = platform
        self._anna = anna
        # With a key: who asks so often without one meets the limit of an address.
        self._key = anna.create_key()["apiKey"]

    def stay(self) -> None:
        """Deploy what stays: it makes the image and the network, and warms what can be warmed."""
        self._anna.deploy("stays")

    def seconds(self, number: int) -> float:
        """Return the seconds from the call to the first 200 through the gateway."""
        name = f"bench-{number}"
        wish = {"appName": name, "image": IMAGE, "port": 8080}
        check = {"path": "/health", "periodSeconds": 1}
        began = time.monotonic()
        answer = self._anna.api.post("/deployments", json={**wish, "healthCheck": check})
        answer.raise_for_status()
        headers = {"Host": f"{name}{HOST_SUFFIX}", "X-API-Key": self._key}
        until_200("127.0.0.1", self._platform.gateway_port, headers)
        took = time.monotonic() - began
        self._anna.api.delete(f"/deployments/{answer.json()['id']}").raise_for_status()
        return took


def at_once(measure: Callable[[int], float], numbers: Sequence[int]) -> float:
    """Return the seconds until the last of them answered."""
    with ThreadPoolExecutor(len(numbers)) as threads:
        return max(threads.map(measure, numbers))


def measure(platform: Platform, network: str) -> str:
    """Return the line to print."""
    anna = Person(platform, "anna")
    deployer = Deployer(platform, anna)
    deployer.stay()
    deployer.seconds(0)
    yardstick = Yardstick(network)
    yardstick.seconds(0)
    ours, theirs = [], []
    for number in range(1, ALONE + 1):
        ours.append(deployer.seconds(number))
        theirs.append(yardstick.seconds(number))
    ours_at_once, theirs_at_once = [], []
    for turn in range(1, ROUNDS + 1):
        numbers = [turn * 100 + number for number in range(AT_ONCE)]
        ours_at_once.append(at_once(deployer.seconds, numbers))
        theirs_at_once.append(at_once(yardstick.seconds, numbers))
    anna.close()
    return "deploy: " + "; ".join(
        f"{name} {mine:.2f} s against {other:.2f} s by docker run,"
        f" ratio {mine / other:.2f} (target 1.5)"
        for name, mine, other in (
            ("one", statistics.median(ours), statistics.median(theirs)),
            (
                f"{AT_ONCE} at once, the last of them",
                statistics.median(ours_at_once),
                statistics.median(theirs_at_once),
            ),
        )
    )


def main() -> None:
    """Measure and print one line."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Platform(Path(folder) / "home", driver="docker") as platform,
    ):
        network = f"benchmark-{secrets.token_hex(4)}"
        docker("network", "create", network)
        try:
            print(measure(platform, network))
        finally:
            docker("network", "rm", network)


if __name__ == "__main__":
    main()
