import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Cursor
from projections.analytics import NAME
from projections.analytics.metrics import AnalyticsMetrics
from projections.analytics.projector import AnalyticsOptions, AnalyticsProjector
from projections.analytics.schema import create_tables
from projections.tables import tell_progress
from tests.api.conftest import Api, Visitor
from tests.api.test_routes import is_problem
from tests.infrastructure.clickhouse.process import ClickHouseProcess
from tests.projections.analytics.frames import frame_of, line


@pytest.fixture
async def clickhouse(clickhouse_server: ClickHouseProcess) -> AsyncIterator[ClickHouseClient]:
    """A database of its own: here the log's requests are written into it."""
    root = ClickHouseClient(ClickHouseOptions(url=clickhouse_server.url))
    await root.command("CREATE DATABASE usage")
    url = clickhouse_server.url.removesuffix("default") + "usage"
    client = ClickHouseClient(ClickHouseOptions(url=url))
    await create_tables(client)
    yield client
    await client.close()
    await root.command("DROP DATABASE usage SYNC")
    await root.close()


async def serve(api: Api, visitor: Visitor, *statuses: int, frame: int, **more: object) -> None:
    """Let the gateway have answered requests to the visitor's things."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    lines = [
        line(
            team=visitor.account["teamId"],
            time=now,
            n=number,
            status=status,
            refused="unauthorized" if status == 401 else "",
            connect_ms=-1 if status == 401 else 1,
            **more,
        )
        for number, status in enumerate(statuses)
    ]
    position = await api.installation.append(f"gtw-{frame}", frame_of(lines))
    visitor.position = str(position)


async def test_usage_and_its_price_are_what_the_gateway_served(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    shop, till = await anna.deploy("shop"), await anna.deploy("till")
    key = await anna.create_key()
    await serve(api, anna, 200, 200, 500, 401, frame=1, deployment=shop, key=key["id"])
    await serve(api, anna, 200, 404, frame=2, deployment=till, key="")
    await serve(api, berta, 200, frame=3)
    anna.position = berta.position

    usage = (await anna.get("/v1/usage")).json()
    assert usage["totals"] == {
        "requests": 6,
        "billable": 5,
        "clientErrors": 2,
        "serverErrors": 1,
        "bytesIn": 600,
        "bytesOut": 6000,
    }
    by_deployment = {each["deploymentId"]: each["billable"] for each in usage["byDeployment"]}
    assert by_deployment == {shop: 3, till: 2}
    assert {each["keyId"]: each["requests"] for each in usage["byKey"]} == {key["id"]: 4, "": 2}
    assert [each["day"] for each in usage["byDay"]] == [datetime.now(UTC).strftime("%Y-%m-%d")]

    estimate = (await anna.get("/v1/billing/estimate")).json()
    assert estimate["requests"] == 5
    assert (estimate["currency"], estimate["pricePerMillionRequests"]) == ("EUR", "0.5")
    assert {each["deploymentId"]: each["amount"] for each in estimate["lines"]} == {
        shop: "0.0000015",
        till: "0.000001",
    }
    assert sum(Decimal(each["amount"]) for each in estimate["lines"]) == Decimal(estimate["total"])
    assert isinstance(estimate["total"], str)

    shown = (await anna.get(f"/v1/api-keys/{key['id']}")).json()
    async with asyncio.timeout(20):
        while shown["requestCount"] < 4:
            shown = (await anna.get(f"/v1/api-keys/{key['id']}")).json()
    assert shown["requestCount"] == 4
    assert shown["lastUsed"]


async def test_a_price_with_many_digits_still_adds_up(api: Api) -> None:
    anna = await api.join()
    odd = api.another(price_per_million_requests=Decimal("0.333333333333333333"), currency="USD")
    for frame, name in enumerate(("one", "two", "three"), start=1):
        deployment_id = await anna.deploy(name)
        await serve(api, anna, *[200] * (frame * 7), frame=frame, deployment=deployment_id)
    answer = await odd.client.get(
        "/v1/billing/estimate",
        headers={**anna.headers, "X-Tallyport-Min-Position": anna.position},
    )
    estimate = answer.json()
    assert estimate["requests"] == 42
    total = sum(Decimal(each["amount"]) for each in estimate["lines"])
    assert total == Decimal(estimate["total"]) == Decimal("0.333333333333333333") * 42 / 10**6
    assert estimate["currency"] == "USD"
    await odd.close()


async def test_the_overview_counts_what_clickhouse_has(
    api: Api, clickhouse: ClickHouseClient
) -> None:
    async def park(_: RecordedEvent, reason: str) -> None:
        raise AssertionError(reason)

    async def tell(progress: Cursor) -> None:
        async with api.installation.pool.connection() as connection:
            await tell_progress(connection, NAME, progress)

    projector = AnalyticsProjector(
        clickhouse,
        api.installation.stream(),
        api.installation.codec,
        park,
        tell,
        AnalyticsMetrics(CollectorRegistry()),
        AnalyticsOptions(progress_interval_seconds=0.2),
    )
    running = asyncio.create_task(projector.run())
    anna, berta = await api.join("anna"), await api.join("berta")
    shop = await anna.deploy("shop")
    await serve(api, berta, 200, 200, frame=1)
    await serve(api, anna, 200, 200, 503, 401, frame=2, deployment=shop, path="/buy", key="key-a")

    overview = (await anna.get("/v1/analytics/overview")).json()
    totals = overview["totals"]
    assert (totals["requests"], totals["billable"]) == (4, 3)
    assert (totals["errors"], totals["clientErrors"]) == (1, 1)
    assert (totals["errorRate"], totals["latency"]["p50"]) == (0.25, 12.0)
    assert overview["byStatus"] == {"200": 2, "401": 1, "503": 1}
    assert overview["topEndpoints"][0]["path"] == "/buy"
    elsewhere = (await anna.get("/v1/analytics/overview?deploymentId=dpl-0000000000")).json()
    assert elsewhere["totals"]["requests"] == 0
    by_key = (await anna.get("/v1/analytics/overview?keyId=key-a")).json()
    assert by_key["totals"]["requests"] == 4
    hers = (await berta.get("/v1/analytics/overview")).json()
    assert hers["totals"]["requests"] == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_span_is_a_span(api: Api) -> None:
    anna = await api.join()
    now = datetime.now(UTC)

    def at(moment: datetime) -> str:
        return moment.isoformat().replace("+00:00", "Z")

    for path in ("/v1/usage", "/v1/analytics/overview"):
        for query in (
            f"from={at(now)}&to={at(now - timedelta(hours=1))}",
            f"from={at(now - timedelta(days=400))}",
            "from=yesterday",
            "from=2026-01-01T00:00:00",
            "to=1e9",
            "to=99999-01-01T00:00:00Z",
            "from=%00",
        ):
            assert is_problem(await anna.ask("GET", f"{path}?{query}"), 422), (path, query)
        answer = await anna.ask("GET", f"{path}?from={at(now - timedelta(days=2))}&to={at(now)}")
        assert answer.status_code == 200
        assert answer.json()["from"] < answer.json()["to"]
