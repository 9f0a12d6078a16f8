"""Calls from the dashboard: its pages are of another origin, and a browser asks first."""

import msgspec
import pytest

from gateway.configuration import GatewayOptions, RoutingTable, render
from tests.gateway.conftest import KEY, Gateway, Upstream

DASHBOARD = "http://localhost:8000"
ALLOWED = "access-control-allow-origin"


@pytest.fixture
def options(options: GatewayOptions) -> GatewayOptions:
    return msgspec.structs.replace(options, dashboard_origins=(DASHBOARD,))


async def test_the_dashboard_may_call_an_app_and_read_what_it_says(
    serving: Gateway, upstream: Upstream
) -> None:
    asking = {
        "Origin": DASHBOARD,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "x-api-key,x-of-the-app",
    }
    served = upstream.served
    asked = await serving.ask("/shop/x", method="OPTIONS", headers=asking)
    assert (asked.status, asked.headers[ALLOWED]) == (204, DASHBOARD)
    assert asked.headers["access-control-allow-headers"] == "x-api-key,x-of-the-app"
    assert upstream.served == served
    for key, status in ((KEY, 200), (None, 401)):
        answer = await serving.ask("/shop/x", key=key, headers={"Origin": DASHBOARD})
        assert (answer.status, answer.headers[ALLOWED]) == (status, DASHBOARD)
        assert answer.headers["vary"] == "Origin"


async def test_no_other_page_may(serving: Gateway) -> None:
    for origin in ("http://localhost", "https://localhost:8000", "null", "nowhere", "", "*"):
        headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        for method, status in (("OPTIONS", 401), ("GET", 401)):
            answer = await serving.ask("/shop/x", method=method, headers=headers)
            assert answer.status == status, origin
            assert ALLOWED not in answer.headers, origin


def test_an_origin_that_is_none_is_refused() -> None:
    for origin in ("localhost:8000", "http://a b", "http://a/path", "http://a\nb"):
        with pytest.raises(ValueError, match="origin"):
            render(RoutingTable(), GatewayOptions(dashboard_origins=(origin,)))
