from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from domain.deployments.values import ReplicaPhase
from infrastructure.clickhouse.client import ClickHouseClient
from projections.analytics.frames import rows_of
from projections.analytics.samples import ClickHouseSampleSink
from projections.analytics.schema import REQUESTS
from tests.api.conftest import Api, Body, Visitor
from tests.api.test_routes import is_problem
from tests.projections.analytics.frames import FrameCodec, FrameLog, line
from tests.projections.analytics.test_samples import Sample

HOUR = timedelta(hours=1)
NAMES = {
    "cpu",
    "memory",
    "networkIn",
    "networkOut",
    "requests",
    "errors",
    "latencyP50",
    "latencyP95",
    "latencyP99",
}


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


async def metrics(visitor: Visitor, deployment_id: str, **query: object) -> Body:
    answer = await visitor.get(f"/v1/deployments/{deployment_id}/metrics?{urlencode(query)}")
    assert answer.status_code == 200, answer.text
    shown: Body = answer.json()
    return shown


def values(shown: Body, name: str) -> list[float | None]:
    return [point["value"] for point in shown["metrics"][name]]


async def test_metrics_are_what_was_sampled_and_what_was_metered(
    api: Api, clickhouse: ClickHouseClient
) -> None:
    anna = await api.join()
    deployment_id, team_id = await anna.deploy(), anna.account["teamId"]
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - HOUR
    began = int(start.timestamp())
    await ClickHouseSampleSink(clickhouse).write(
        [
            Sample(
                at=began + second,
                team_id=team_id,
                deployment_id=deployment_id,
                replica_id=f"{deployment_id}-1-{number}",
                cpu_millis=100.0 * number,
            )
            for second in (0, 10, 120)
            for number in (1, 2)
        ]
    )
    about = {"team": team_id, "deployment": deployment_id}
    lines = [
        line(**about, time=(began + 1) * 1000, n=1, status=200, total_ms=10),
        line(**about, time=(began + 2) * 1000, n=2, status=503, total_ms=30),
        line(**about, time=(began + 3) * 1000, n=3, status=401, refused="no", connect_ms=-1),
        line(**about, time=(began + 130) * 1000, n=4, status=401, refused="no", connect_ms=-1),
    ]
    rows = rows_of(FrameLog().append(lines), FrameCodec())
    await clickhouse.insert(REQUESTS, rows, writer="test")

    span = {"from": text(start), "to": text(start + timedelta(minutes=3))}
    shown = await metrics(anna, deployment_id, **span, resolution="1m")
    assert (shown["from"], shown["to"], shown["resolution"]) == (span["from"], span["to"], "1m")
    assert set(shown["metrics"]) == NAMES
    times = [text(start + timedelta(minutes=number)) for number in range(3)]
    for name in NAMES:
        assert [point["timestamp"] for point in shown["metrics"][name]] == times, name
    assert values(shown, "cpu") == [300, None, 300]
    assert values(shown, "memory") == [2000, None, 2000]
    assert values(shown, "networkIn") == [40, None, 20]
    assert values(shown, "networkOut") == [80, None, 40]
    assert values(shown, "requests") == [3, 0, 1]
    assert values(shown, "errors") == [1, 0, 0]
    assert values(shown, "latencyP95")[1:] == [None, None], "nothing billable was served"
    first = values(shown, "latencyP50")[0]
    assert first is not None
    assert 10 <= first <= 30
    assert shown["replicas"] == []

    overview = (
        await anna.ask(
            "GET", f"/v1/analytics/overview?{urlencode({**span, 'deploymentId': deployment_id})}"
        )
    ).json()
    assert overview["totals"]["requests"] == 4
    whole = await metrics(anna, deployment_id, **span, resolution="1d")
    assert values(whole, "requests") == [4]


async def test_replicas_show_what_they_use_now(api: Api, clickhouse: ClickHouseClient) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    await api.report(deployment_id, ReplicaPhase.READY)
    await api.installation.caught_up()
    now = int(datetime.now(UTC).timestamp())
    about = {"team_id": anna.account["teamId"], "deployment_id": deployment_id, "at": now - 5}
    await ClickHouseSampleSink(clickhouse).write(
        [
            Sample(**about, replica_id=f"{deployment_id}-1-1", network_in_bytes=None),
            Sample(**about, replica_id=f"{deployment_id}-0-1"),
        ]
    )
    shown = await metrics(anna, deployment_id)
    assert shown["replicas"] == [
        {
            "id": f"{deployment_id}-1-1",
            "timestamp": text(datetime.fromtimestamp(now - 5, UTC)),
            "cpu": 100,
            "memory": 1000,
            "networkIn": None,
            "networkOut": 20,
        }
    ]


async def test_without_a_span_it_is_the_last_hour_and_the_resolution_fits(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    shown = await metrics(anna, deployment_id)
    assert shown["resolution"] == "1m"
    assert len(shown["metrics"]["cpu"]) in {60, 61}
    assert set(values(shown, "cpu")) == {None}
    assert set(values(shown, "requests")) == {0}
    now = datetime.now(UTC)
    for days, expected in ((2, "5m"), (30, "1h"), (366, "1d")):
        since = text(now - timedelta(days=days))
        longer = await metrics(anna, deployment_id, **{"from": since, "to": text(now)})
        assert longer["resolution"] == expected
        assert len(longer["metrics"]["errors"]) <= 1500


async def test_too_many_points_are_refused_with_what_to_ask_for(api: Api) -> None:
    anna = await api.join()
    path = f"/v1/deployments/{await anna.deploy()}/metrics"
    now = datetime.now(UTC)
    span = urlencode({"from": text(now - timedelta(days=7)), "to": text(now)})
    answer = await anna.get(f"{path}?{span}&resolution=1m")
    assert is_problem(answer, 422)
    error = answer.json()["error"]
    assert error["code"] == "too_many_points"
    assert "1500" in error["message"]
    assert "1h" in error["message"]
    assert (await anna.get(f"{path}?{span}&resolution=1h")).status_code == 200


async def test_what_cannot_be_a_span_is_refused(api: Api) -> None:
    anna = await api.join()
    path = f"/v1/deployments/{await anna.deploy()}/metrics"
    now = datetime.now(UTC)
    for wrong in (
        {"from": text(now), "to": text(now - HOUR)},
        {"from": text(now - timedelta(days=400))},
        {"from": "yesterday"},
        {"to": "99999-01-01T00:00:00Z"},
        {"from": "\x00"},
        {"resolution": "2m"},
        {"resolution": ""},
        {"teamId": "org-0000000000"},
    ):
        assert is_problem(await anna.get(f"{path}?{urlencode(wrong)}"), 422), wrong
    future = {"from": "2199-12-31T00:00:00Z", "to": "2199-12-31T01:00:00Z"}
    assert (await anna.get(f"{path}?{urlencode(future)}")).status_code == 200


async def test_metrics_count_with_the_logs_not_with_other_reads(api: Api) -> None:
    anna = await api.join()
    path = f"/v1/deployments/{await anna.deploy()}"
    for asked, rate in ((f"{path}/metrics", "logs"), (path, "reads")):
        assert (await anna.get(asked)).headers["RateLimit-Policy"].startswith(f'"{rate}"'), asked
