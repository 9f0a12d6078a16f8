"""Analytics over REST: single requests, which one asks for and whose."""

from datetime import UTC, datetime, timedelta
from typing import Any

from infrastructure.clickhouse.client import ClickHouseClient
from projections.analytics.frames import rows_of
from projections.analytics.schema import REQUESTS
from tests.api.conftest import Api, Body, Visitor
from tests.api.test_routes import is_problem
from tests.projections.analytics.frames import FrameCodec, FrameLog, line

RAW = "/v1/analytics/requests/raw"


async def requests(visitor: Visitor, query: str = "") -> Body:
    answer = await visitor.ask("GET", f"{RAW}?limit=100&{query}")
    assert answer.status_code == 200, answer.text
    found: Body = answer.json()
    return found


async def test_single_requests_are_sought_walked_and_kept_from_others(
    api: Api, clickhouse: ClickHouseClient
) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    team_id = anna.account["teamId"]
    now = int((datetime.now(UTC) - timedelta(minutes=5)).timestamp() * 1000)

    def called(number: int, **fields: Any) -> Body:
        usual = {"team": team_id, "deployment": "dpl-0000000001", "key": "key-0000000001"}
        place = {"id": f"req-{number}", "time": now + number, "n": number}
        return line(**{**usual, **place, **fields})

    lines = [
        called(1, path="/orders/7", total_ms=9),
        called(2, path="/orders", method="POST", status=503, total_ms=700),
        called(
            3, path="/", status=401, key="", refused="unauthorized", connect_ms=-1, upstream_ms=-1
        ),
        called(4, path="/orders/8", status=404),
        called(5, time=now - 86_400_000, status=500),
    ]
    rows = rows_of(FrameLog().append(lines), FrameCodec())
    await clickhouse.insert(REQUESTS, rows, writer="test")

    def ids(found: Body) -> list[str]:
        return [each["requestId"] for each in found["requests"]]

    everything = await requests(anna)
    assert ids(everything) == ["req-4", "req-3", "req-2", "req-1"]
    assert everything["requests"][1] | {"time": ""} == {
        "time": "",
        "requestId": "req-3",
        "deploymentId": "dpl-0000000001",
        "keyId": None,
        "method": "GET",
        "path": "/",
        "status": 401,
        "billable": False,
        "refused": "unauthorized",
        "bytesIn": 100,
        "bytesOut": 1000,
        "totalMs": 12,
        "upstreamMs": None,
        "address": "192.0.2.7",
    }
    for query, wanted in (
        ("status=5xx", ["req-2"]),
        ("status=404", ["req-4"]),
        ("method=POST", ["req-2"]),
        ("path=/orders/", ["req-4", "req-1"]),
        ("requestId=req-1", ["req-1"]),
        ("sort=-totalMs", ["req-2", "req-4", "req-3", "req-1"]),
        ("keyId=key-0000000001&path=/", ["req-4", "req-2", "req-1"]),
        ("deploymentId=dpl-0000000002", []),
        ("page=2&limit=3", ["req-1"]),
    ):
        answer = await anna.ask("GET", f"{RAW}?{query}")
        assert ids(answer.json()) == wanted, query
    first = (await anna.ask("GET", f"{RAW}?limit=3")).json()
    assert first["pagination"]["total"] == 4
    cursor = first["pagination"]["nextCursor"]
    rest = await anna.ask("GET", f"{RAW}?limit=3&cursor={cursor}")
    assert ids(rest.json()) == ["req-1"]
    assert rest.json()["pagination"]["nextCursor"] is None

    overview = "/v1/analytics/overview"
    assert (await anna.ask("GET", overview)).json()["points"] is None
    points = (await anna.ask("GET", f"{overview}?resolution=1h")).json()["points"]
    assert len(points) in {24, 25}
    assert [sum(each[name] for each in points) for name in ("requests", "errors")] == [4, 1]
    none = (await berta.ask("GET", f"{overview}?resolution=1d")).json()["points"]
    assert {each["requests"] for each in none} == {0}
    assert is_problem(await anna.ask("GET", f"{overview}?resolution=1y"), 422)

    assert ids(await requests(berta)) == []
    assert is_problem(await berta.ask("GET", f"{RAW}?teamId={team_id}"), 404)
    for wrong in (
        "status=6xx",
        "status=20",
        "method=get",
        "sort=path",
        "from=yesterday",
        "limit=0",
        f"cursor={cursor}&method=POST",
        "path=%00",
    ):
        assert is_problem(await anna.ask("GET", f"{RAW}?{wrong}"), 422), wrong
