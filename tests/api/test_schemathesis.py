"""Schemathesis walks the whole OpenAPI document as two teams: every route, every check.

Its choices are seeded, so that a run can be repeated, and bounded by number: a slow machine sees
the same requests. Values at the edges of what is allowed: `test_fuzz.py` and `test_routes.py`.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from commands.bus import Context
from commands.deployments import ReportReplicas
from commands.work import Actor
from infrastructure.ending import end
from tests.api.conftest import Api
from tests.wiring import PASSWORD, Installation

POSITION = b"x-tallyport-min-position"
PEOPLE = ("anna", "berta")
CONFIG = """
seed = 20261123
workers = 1
continue-on-failure = true
request-timeout = 60

[generation]
deterministic = true
no-shrink = true
database = "none"

[cache]
enabled = false

[phases.fuzzing]
generation.max-examples = 2

[phases.stateful]
generation.max-examples = 6
max-steps = 8

[phases.coverage]
enabled = false

[auth.wfc]
path = "{folder}/people.json"
peers = ["anna", "berta"]

# A schema cannot say every rule: that two passwords are equal, that a name is reserved.
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 410, 412, 422]

# OAuth's words for a code that is wrong or not approved yet are a 400 (RFC 8628, section 3.5).
[[operations]]
include-path = "/v1/auth/device/token"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 429]
"""
LOGIN = {
    "verb": "POST",
    "endpoint": "/v1/auth/login",
    "contentType": "application/json",
    "token": {
        "extractFrom": "body",
        "extractSelector": "/accessToken",
        "sendIn": "header",
        "sendName": "Authorization",
        "sendTemplate": "Bearer {token}",
    },
}


class CarefulClient:
    """Reads what was written before: views are a moment behind the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._written = 0
        self.asked: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            sent = dict(scope["headers"])
            sent.setdefault(POSITION, str(self._written).encode())
            if scope["path"].startswith("/v1/analytics") and sent[POSITION].isdigit():
                sent[POSITION] = b"0"  # no projector feeds ClickHouse here: it would wait in vain
            scope = {**scope, "headers": list(sent.items())}

        async def answer(message: Message) -> None:
            for name, value in message.get("headers", ()):
                if name == b"x-tallyport-position":
                    self._written = max(self._written, int(value))
            await send(message)

        await self._app(scope, receive, answer)
        if (route := scope.get("route")) is not None:
            self.asked.add((scope["method"], route.path))


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, server_header=False, lifespan="off")
    )
    running = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def containers_that_obey(installation: Installation) -> AsyncIterator[None]:
    """Let what is to be deleted be gone, as a provisioner would."""

    async def obey() -> None:
        while True:
            for row in await installation.query(
                "SELECT id FROM views.deployments WHERE status = 'deleting'"
            ):
                gone = ReportReplicas(deployment_id=row["id"], replicas=())
                await installation.dispatch(gone, Context(actor=Actor(id="provisioner")))
            await asyncio.sleep(0.02)

    obeying = asyncio.create_task(obey())
    try:
        yield
    finally:
        await end(obeying)


def sign_in() -> str:
    """Say how Schemathesis signs in, and again when it has signed itself out."""
    auth = [
        {
            "name": name,
            "loginEndpointAuth": {
                **LOGIN,
                "payloadRaw": json.dumps({"email": f"{name}@example.com", "password": PASSWORD}),
            },
        }
        for name in PEOPLE
    ]
    return json.dumps({"schemaVersion": "0.2.0", "auth": auth})


def operations(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }


async def test_nothing_contradicts_the_document(api: Api, tmp_path: Path) -> None:
    for name in PEOPLE:
        await api.join(name)
    document = (await api.client.get("/openapi.json")).json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "people.json").write_text(sign_in())
    (tmp_path / "schemathesis.toml").write_text(CONFIG.format(folder=tmp_path))
    patient = api.another(deletion_wait_seconds=20.0)
    client = CarefulClient(patient.app)
    async with (
        containers_that_obey(api.installation),
        serving(client) as url,
    ):
        walking = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file"),
            *(str(tmp_path / "schemathesis.toml"), "run", str(tmp_path / "openapi.json")),
            *("--url", url),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await walking.communicate()
    await patient.close()
    assert walking.returncode == 0, said.decode()
    assert operations(document) <= client.asked
