"""Code instead of an image: uploaded by one who may deploy, and deployed by the name it gets."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from projections.revisions import sources_in_use
from tests.api.conftest import Api, Visitor
from tests.api.test_routes import is_problem
from tests.infrastructure.archives.hostile import tarred, zipped

CODE = {"main.py": b"print('hello')\n"}
ZIP = "application/zip"


async def upload(
    visitor: Visitor, content: Any, kind: str = ZIP, query: str = ""
) -> httpx.Response:
    return await visitor.api.client.post(
        f"/v1/sources{query}", content=content, headers={**visitor.headers, "Content-Type": kind}
    )


async def test_uploaded_code_is_deployed_like_an_image(api: Api) -> None:
    anna = await api.join()
    answer = await upload(anna, zipped(CODE))
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["runtime"], made["files"]) == ("python", 1)
    assert made["image"].startswith("source/python:")
    again = await upload(anna, tarred(CODE), "application/gzip", "?runtime=python")
    assert again.json()["image"] == made["image"], "the same files are the same source"

    wish = {"appName": "shop", "image": made["image"], "port": 8080}
    requested = await anna.post("/v1/deployments", wish)
    assert requested.status_code == 201, requested.text
    assert requested.json()["image"] == made["image"]
    other = (await upload(anna, zipped({"main.py": b"2"}))).json()["image"]
    path = f"/v1/deployments/{requested.json()['id']}"
    assert (await anna.ask("PUT", path, {"image": other})).status_code == 200
    await api.installation.caught_up()
    used = await sources_in_use(api.reader)
    assert used == {each.rpartition(":")[2] for each in (made["image"], other)}


async def test_code_of_another_team_is_as_unknown_as_code_of_nobody(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    theirs = (await upload(anna, zipped(CODE))).json()["image"]
    deployment_id = await berta.deploy("shop")
    answers = []
    for image in (theirs, f"source/python:{'0' * 64}"):
        wish = {"appName": "cart", "image": image, "port": 8080}
        answers.append(await berta.post("/v1/deployments", wish))
        answers.append(await berta.ask("PUT", f"/v1/deployments/{deployment_id}", {"image": image}))
    for answer in answers:
        assert is_problem(answer, 422)
        assert answer.json()["error"]["code"] == "unknown_source"


async def test_what_is_not_code_is_refused_with_the_reason_and_nothing_is_kept(api: Api) -> None:
    anna = await api.join()
    for content, status, code in (
        (b"", 422, "archive_refused"),
        (b"no archive", 422, "archive_refused"),
        (zipped({"../main.py": b""}), 422, "archive_refused"),
        (zipped({"readme.md": b""}), 422, "not_startable"),
        (tarred({"zeros": b"\0" * 3_000_000}), 413, "archive_too_large"),
    ):
        answer = await upload(anna, content)
        assert is_problem(answer, status), answer.text
        assert answer.json()["error"]["code"] == code
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
        assert is_problem(await upload(anna, zipped(CODE), kind), 415)
    assert is_problem(await upload(anna, zipped(CODE), query="?runtime=perl"), 422)
    assert is_problem(await upload(anna, zipped(CODE), query="?runtme=go"), 422)
    kept = api.services.sources._folder  # type: ignore[attr-defined]
    assert files_below(kept) == []


async def test_an_upload_over_the_limit_is_413_announced_or_not(api: Api) -> None:
    small = api.another(upload_limit_bytes=100_000, body_limit_bytes=1000)
    anna = await api.join()
    visitor = Visitor(small, anna.headers)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"PK\3\4" * 250

    for content in (b"PK\3\4" + bytes(100_001), endless()):
        assert is_problem(await upload(visitor, content), 413)
    stored = zipped({"main.py": b"", "data": random.Random(1).randbytes(5000)})
    assert (await upload(visitor, stored)).status_code == 201, "more than other bodies may have"
    await small.close()


def files_below(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]
