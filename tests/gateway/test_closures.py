"""During maintenance the gateway itself answers, for one app or all, and says until when."""

from datetime import UTC, datetime, timedelta

import msgspec

from gateway.closures import Closure, route_suffix, still_to_come
from gateway.configuration import (
    HOSTS,
    ROUTES,
    GatewayOptions,
    Host,
    Route,
    RoutingTable,
    render,
)
from gateway.rendering import Renderer
from tests.gateway.conftest import FOREIGN_KEY, KEY, Gateway, Table, eventually
from tests.gateway.test_answers import assert_is_problem

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def closed(starts_at: datetime, hours: float, deployment_id: str | None = None) -> Closure:
    return Closure(
        deployment_id=deployment_id, starts_at=starts_at, ends_at=starts_at + hours * HOUR
    )


def test_times_that_touch_are_one_and_the_next_two_are_told() -> None:
    noon = int(NOON.timestamp())
    windows = (
        closed(NOON + 5 * HOUR, 1),
        closed(NOON, 1),
        closed(NOON + HOUR, 1),
        closed(NOON + 9 * HOUR, 1),
        closed(NOON, 3, "dpl-1"),
    )
    assert route_suffix(windows, "dpl-1") == (
        f":{noon}:{noon + 10800}:{noon + 18000}:{noon + 21600}:planned"
    )
    assert route_suffix(windows, "dpl-2") == (
        f":{noon}:{noon + 7200}:{noon + 18000}:{noon + 21600}:planned"
    )
    assert route_suffix(windows[4:], "dpl-2") == ""
    assert still_to_come(windows, NOON + 2 * HOUR) == (windows[0], windows[3], windows[4])


def test_the_same_routes_come_out_of_a_whole_table_and_of_a_step() -> None:
    route = Route(deployment_id="dpl-1", team_id="team-1", app_name="shop")
    host = Host(name="shop.example.com", deployment_id="dpl-1")
    table = RoutingTable(routes=(route,), hosts=(host,), closures=(closed(NOON, 1),))
    whole = render(table, GatewayOptions())
    assert Renderer(GatewayOptions()).step(table, metering="on").after.maps == whole.maps
    assert whole.maps[ROUTES]["shop"].endswith(":planned")
    assert whole.maps[HOSTS]["shop.example.com"] == whole.maps[ROUTES]["shop"]


async def test_an_app_under_maintenance_says_so_and_when_to_come_back(
    serving: Gateway, table: Table
) -> None:
    now = datetime.now(UTC)
    before = table.table
    deployment_id = next(route.deployment_id for route in before.routes if route.app_name == "shop")

    async def answers_with(status: int) -> bool:
        return (await serving.ask("/shop/", key=KEY)).status == status

    later = closed(now + 2 * HOUR, 1, deployment_id)
    table.set(msgspec.structs.replace(before, closures=(later,)))
    for closures in ((closed(now - HOUR, 2, deployment_id), later), (closed(now - HOUR, 2),)):
        assert await answers_with(200)
        table.set(msgspec.structs.replace(before, closures=closures))
        await eventually(lambda: answers_with(503))
        answer = await serving.ask("/shop/", key=KEY)
        assert_is_problem(answer, 503, "maintenance")
        assert 3000 < int(answer.headers["retry-after"]) <= 3600
        page = await serving.ask("/shop/", key=KEY, headers={"Accept": "text/html"})
        assert page.status == 503
        assert page.headers["content-type"].startswith("text/html")
        assert b"<h1>Maintenance</h1>" in page.body
        table.set(msgspec.structs.replace(before, closures=(later,)))
        await eventually(lambda: answers_with(200))


async def test_maintenance_of_another_teams_app_tells_nobody_that_it_is_there(
    serving: Gateway, table: Table
) -> None:
    now = datetime.now(UTC)
    deployment_id = next(
        route.deployment_id for route in table.table.routes if route.app_name == "shop"
    )
    closures = (closed(now - HOUR, 2, deployment_id),)
    table.set(msgspec.structs.replace(table.table, closures=closures))

    async def is_closed() -> bool:
        return (await serving.ask("/shop/", key=KEY)).status == 503

    await eventually(is_closed)
    assert_is_problem(await serving.ask("/shop/", key=FOREIGN_KEY), 404, "app_not_found")
