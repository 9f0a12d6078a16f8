"""Whatever is changed about an app, those who call it do not notice."""

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import pytest

from tests.platform import Person, Platform

SLOW = "/slow?ms=400"
BODY_BYTES = 64 * 1024**2
"""More than all buffers on the way can hold."""


class Callers:
    """Clients that keep their connections, each with a request in flight nearly always."""

    def __init__(self, app: "App", paths: tuple[str, ...]) -> None:
        self.answers: Counter[int] = Counter()
        self.failures: list[str] = []
        self.connections = 0
        self._address = ("127.0.0.1", app.platform.gateway_port)
        self._headers = app.headers
        self._paths = paths
        self._stop = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def calling(self) -> Iterator[Self]:
        threads = [threading.Thread(target=self._call, args=(path,)) for path in self._paths]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _call(self, path: str) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        try:
            while not self._stop.wait(0.005):
                is_new = connection.sock is None
                try:
                    connection.request("GET", path, headers=self._headers)
                    answer = connection.getresponse()
                    body = answer.read()
                except (OSError, http.client.HTTPException) as error:
                    connection.close()
                    self._note(0, f"{path}: {error!r}", is_new=is_new)
                else:
                    self._note(answer.status, f"{path}: {body!r}", is_new=is_new)
        finally:
            connection.close()

    def _note(self, status: int, what: str, *, is_new: bool) -> None:
        with self._lock:
            self.answers[status] += 1
            self.connections += is_new
            if status != 200:
                self.failures.append(what)


class App:
    """One deployed app, and what may be done to it."""

    def __init__(self, anna: Person, name: str) -> None:
        self.anna, self.platform, self.name = anna, anna.platform, name
        self.key = str(anna.create_key()["apiKey"])
        self.id = str(anna.deploy(name)["id"])
        self._count = iter(range(1000))
        self.platform.wait_until(self.answers, 30, "the gateway does not know the key")

    @property
    def headers(self) -> dict[str, str]:
        return {"Host": f"{self.name}.apps.localhost", "X-API-Key": self.key}

    def change(self, what: str) -> None:
        path = f"/deployments/{self.id}"
        match what.split(" "):
            case ["update"]:
                change = {"envVars": {"ROUND": str(next(self._count))}}
                self.anna._answer(self.anna.api.put(path, json=change))
            case ["scale", "to", number]:
                self.anna.patch(f"{path}/scale", replicas=int(number))
            case ["settle"]:
                replicas = self.anna.get(path)["replicas"]
                self.anna.until_running(self.id, replicas=replicas, seconds=120)
            case ["another", "app"]:
                self.anna.deploy("another")
            case ["kill", part]:
                self.platform.kill(part)
            case ["delete"]:
                self.anna.delete(path)
            case _:
                self.anna.post(f"{path}/{what}")

    @contextmanager
    def reading(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """Ask for something and hand over the answer, of which only the head was read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.platform.gateway_port, timeout=60)
        try:
            connection.request("GET", path, headers=self.headers)
            yield connection.getresponse()
        finally:
            connection.close()

    def answers(self, status: int = 200) -> bool:
        with self.reading("/work") as answer:
            return answer.status == status


@contextmanager
def running(home: Path, driver: str) -> Iterator[Person]:
    with Platform(home, driver=driver) as platform, closing(Person(platform, "anna")) as anna:
        yield anna


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """Somebody on a platform without Docker."""
    with running(tmp_path_factory.mktemp("zero") / "home", "process") as person:
        yield person


def must_go_unnoticed(app: App, changes: tuple[str, ...]) -> None:
    with Callers(app, ("/work", "/work", SLOW, SLOW, SLOW)).calling() as callers:
        for change in changes:
            app.change(change)
    assert callers.failures == []
    assert callers.answers[200] > 100
    assert callers.connections < 50


ROUND = (
    *("update", "settle", "scale to 3", "restart", "settle"),
    *("update", "scale to 1", "settle", "rollback", "settle"),
)
TWENTY_CHANGES = (*ROUND, "another app", *ROUND, *ROUND, "update", "rollback", "settle")


def test_no_request_fails_over_twenty_changes(tmp_path: Path, docker_engine: str) -> None:
    assert docker_engine
    with running(tmp_path / "home", "docker") as anna:
        must_go_unnoticed(App(anna, "steady"), TWENTY_CHANGES)


def test_no_request_fails_when_who_makes_a_change_is_killed_in_the_middle(anna: Person) -> None:
    must_go_unnoticed(
        App(anna, "interrupted"),
        (
            *("update", "kill provisioner", "settle"),
            *("scale to 3", "kill gateway", "update", "settle"),
            *("scale to 1", "rollback", "kill provisioner", "settle"),
        ),
    )


@pytest.mark.parametrize(("way", "status"), [("stop", 503), ("delete", 404)])
def test_what_is_being_answered_when_an_app_goes_is_answered_to_the_end(
    anna: Person, way: str, status: int
) -> None:
    app = App(anna, f"to-{way}")
    with ThreadPoolExecutor(1) as thread, app.reading(f"/bytes/{BODY_BYTES}") as answer:
        going = thread.submit(app.change, way)  # a deletion is answered when all is gone
        anna.platform.wait_until(lambda: app.answers(status), 30, "it is still called")
        assert len(answer.read()) == BODY_BYTES
        answer.close()
        going.result()

    def is_gone() -> bool:
        shown = anna.api.get(f"/deployments/{app.id}")
        return shown.status_code == 404 or shown.json()["status"] == "stopped"

    anna.platform.wait_until(is_gone, 60, "it does not go")
