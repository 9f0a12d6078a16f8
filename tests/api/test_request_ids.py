"""One id from the request to its answer, its events and its log lines."""

from dataclasses import replace

import structlog
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from projections.analytics.queries import AnalyticsQueries
from tests.api.conftest import Api

SENT = "trace:4711/2"


async def test_the_events_of_a_request_have_its_id(api: Api) -> None:
    anna = await api.join()
    made = await anna.post("/v1/api-keys", {"name": "k"}, X_Request_Id=SENT)
    key_id = made.json()["id"]
    own = await anna.ask("DELETE", f"/v1/api-keys/{key_id}")
    [created, revoked] = await api.installation.store.read_stream(key_id)
    assert made.headers["x-request-id"] == created.metadata.correlation_id == SENT
    assert own.headers["x-request-id"] == revoked.metadata.correlation_id
    events = (await anna.get(f"/v1/history/{key_id}")).json()["events"]
    assert [event["correlationId"] for event in events] == [
        SENT,
        own.headers["x-request-id"],
    ]


async def test_every_log_line_of_a_request_has_its_id_and_none_of_another(api: Api) -> None:
    anna = await api.join()
    await anna.get("/v1/user/profile")
    nowhere = ClickHouseClient(ClickHouseOptions(url="http://127.0.0.1:1", retries_max=0))
    services = replace(api.services, analytics=AnalyticsQueries(nowhere))
    limping = Api(api.installation, services, api.reader)
    with capture_logs(processors=[merge_contextvars]) as lines:
        for number in range(3):
            headers = {**anna.headers, "X-Request-Id": f"req-{number}"}
            answer = await limping.client.get("/v1/analytics/overview", headers=headers)
            assert answer.json()["requestId"] == f"req-{number}"
        structlog.get_logger().info("not of a request")
    said = [line.get("correlation_id") for line in lines]
    assert [one for one in said if one is not None] == ["req-0", "req-1", "req-2"]
    assert said[-1] is None
    await limping.close()
    await nowhere.close()
