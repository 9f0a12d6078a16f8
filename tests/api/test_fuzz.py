"""Thousands of requests that make no sense: none of them is answered with 500."""

import json
import random
from typing import Any
from urllib.parse import quote

from tests.api.conftest import Api
from tests.api.test_routes import TABLE, url_of

SEED = 20261123
TEXTS = [
    "",
    " ",
    "a" * 5000,
    "null",
    "0",
    "-1",
    "1e308",
    "NaN",
    "\u202eabc",
    "e\u0301\U0001f600",
    "\ufffd\ufeff",
    "' OR 1=1 --",
    "{{7*7}}",
    "../../etc/passwd",
    "%00",
    "\r\nX: y",
    "dpl-0000000000",
    "key-0000000000",
    "org-0000000000",
    "2026-11-23T02:00:00Z",
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:60+14:00",
    "call:*",
    "admin:*",
    "sealed:1:org-0000000000:AAAA",
]
NUMBERS = [0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**40, 0.1, -0.0, 1e308, 5e-324]
QUERIES = [
    *("page", "limit", "cursor", "sort", "status", "asOf", "tail", "follow", "since", "until"),
    *("search", "from", "to", "deploymentId", "keyId", "actor", "type", "streamId"),
]


def value(rng: random.Random, depth: int = 0) -> Any:
    """Return any JSON value."""
    kind = rng.randrange(7 if depth < 3 else 5)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in {1, 2}:
        return rng.choice(NUMBERS)
    if kind in {3, 4}:
        return rng.choice(TEXTS)
    if kind == 5:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(TEXTS): value(rng, depth + 1) for _ in range(rng.randrange(4))}


async def test_nothing_a_client_sends_is_our_fault(api: Api) -> None:
    rng = random.Random(SEED)
    patient = api.another(wait_seconds_max=0.05, deletion_wait_seconds=0.01)
    anna = await api.join()
    statuses: set[int] = set()
    for row in TABLE:
        path = await url_of(row, anna)
        for _ in range(60 if row.body or row.query else 15):
            body = dict(row.body) if row.body and rng.random() < 0.8 else value(rng)
            for _ in range(rng.randrange(1, 3)):
                if row.body and isinstance(body, dict):
                    body[rng.choice([*row.body, "envVars", "resources", "scopes"])] = value(rng)
            pairs = [
                f"{rng.choice(QUERIES)}={quote(rng.choice(TEXTS)[:200])}"
                for _ in range(rng.randrange(3) if row.method == "GET" else 0)
            ]
            headers = {**anna.headers, "Content-Type": "application/json"}
            if rng.random() < 0.2:
                headers["Idempotency-Key"] = rng.choice(["a", "b", "c"])
            if rng.random() < 0.2:
                headers["If-Match"] = rng.choice(['"1"', "*", "x", 'W/"1"', ",,,"])
            if rng.random() < 0.2:
                headers["X-Tallyport-Min-Position"] = rng.choice(["0", "1", "9" * 18, "x"])
            content = json.dumps(body) if row.method != "GET" or rng.random() < 0.1 else ""
            answer = await patient.client.request(
                row.method, f"{path}?{'&'.join(pairs)}", content=content, headers=headers
            )
            statuses.add(answer.status_code)
            fine = answer.status_code < 500 or answer.json()["error"]["code"] == "view_behind"
            assert fine, (row.name, pairs, content, headers, answer.text)
        if row.path == "/v1/auth/logout":
            anna = await api.sign_in("anna@example.com")
    assert {200, 400, 404, 422} <= statuses
    await patient.close()
