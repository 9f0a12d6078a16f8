"""Bodies that only hurt, beyond those that every route is sent in `test_routes.py`."""

import gzip
import json
import tracemalloc

import httpx

from api.bodies import DEPTH_MAX, PARTS_MAX
from tests.api.conftest import Api, Visitor
from tests.api.test_routes import is_problem


async def post(visitor: Visitor, content: bytes, **headers: str) -> httpx.Response:
    sent = {**visitor.headers, "Content-Type": "application/json", **headers}
    return await visitor.api.client.post("/v1/api-keys", content=content, headers=sent)


async def test_a_body_that_is_compressed_is_refused_and_never_inflated(api: Api) -> None:
    anna = await api.join()
    bomb = gzip.compress(b" " * 50_000_000)
    for encoding in ("gzip", "deflate", "br", "gzip, gzip", "x"):
        answer = await post(anna, bomb, **{"Content-Encoding": encoding})
        assert is_problem(answer, 415), encoding
    assert is_problem(await post(anna, bomb), 400)  # what it says it is not


async def test_a_body_of_very_many_parts_is_refused(api: Api) -> None:
    anna = await api.join()
    many = {
        "names": {f"n{number}": 0 for number in range(PARTS_MAX)},
        "items": {"name": [0] * PARTS_MAX},
        "levels": {"name": [[[0] * 99] * 99] * 3},
    }
    for name, body in many.items():
        answer = await post(anna, json.dumps(body).encode())
        assert is_problem(answer, 422), name
        assert answer.json()["error"]["code"] == "invalid_value", name


async def test_a_body_may_be_only_so_deep(api: Api) -> None:
    anna = await api.join()
    for depth, code in ((DEPTH_MAX - 2, "invalid_request"), (DEPTH_MAX + 1, "invalid_value")):
        body = b'{"name": ' + b"[" * depth + b"]" * depth + b"}"
        answer = await post(anna, body)
        assert is_problem(answer, 422)
        assert answer.json()["error"]["code"] == code, depth


async def test_a_body_of_a_million_bytes_takes_little_memory(api: Api) -> None:
    anna = await api.join()
    parts = (b"[]", b"{}", b'{"a":1}', b'"a"', b"0.5", b'"\\",[],["')
    for part in parts:
        body = b'{"name": [' + b",".join([part] * (900_000 // (len(part) + 1))) + b"]}"
        tracemalloc.start()
        answer = await post(anna, body)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert is_problem(answer, 422), part
        assert most < 20_000_000, part
