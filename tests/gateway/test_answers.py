"""What a caller gets from the real HAProxy."""

import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.configuration import GatewayOptions, RoutingTable
from gateway.runtime import Runtime
from tests.gateway.conftest import (
    FOREIGN_KEY,
    KEY,
    SCOPED_KEY,
    Answer,
    Gateway,
    Table,
    Upstream,
    eventually,
    hash_of,
    key_named,
    route_named,
)


def assert_has_every_header(answer: Answer) -> None:
    headers = answer.headers
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,128}", headers["x-request-id"])
    limit, remaining = headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]
    reset = int(headers["x-ratelimit-reset"])
    # Of the window in which it arrived: an answer may take seconds to come.
    assert time.time() - 5 <= reset <= time.time() + 61
    assert 0 <= int(remaining) <= int(limit)
    assert headers["ratelimit-policy"] == f'"requests";q={limit};w=60'
    assert re.fullmatch(rf'"requests";r={remaining};t=\d+', headers["ratelimit"])


def assert_is_problem(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail", "requestId", "error"}
    assert problem["status"] == status
    assert problem["requestId"] == answer.headers["x-request-id"]
    assert problem["error"] == {"code": code, "message": problem["detail"], "details": []}
    assert_has_every_header(answer)


async def test_an_app_is_reached_by_its_host_name_however_it_is_written(
    serving: Gateway, upstream: Upstream
) -> None:
    for host in ("shop.apps.localhost", "SHOP.Apps.Localhost:8080", "shop.apps.localhost.:80"):
        answer = await serving.ask("/a/b?x=1", key=KEY, host=host)
        assert (answer.status, answer.json()["target"]) == (200, "/a/b?x=1")
        assert_has_every_header(answer)
        timing = r"queue;dur=\d+, connect;dur=\d+, upstream;dur=\d+"
        assert re.fullmatch(timing, answer.headers["server-timing"])
    assert upstream.seen[-1][2]["host"] == "shop.apps.localhost.:80"


async def test_an_app_is_reached_by_path_on_the_gateways_own_host(serving: Gateway) -> None:
    for target, inside in (("/shop", "/"), ("/shop/", "/"), ("/shop/a/b?x=/y", "/a/b?x=/y")):
        for host in ("localhost", f"127.0.0.1:{serving.port}", "[::1]:80"):
            answer = await serving.ask(target, key=KEY, host=host)
            assert (answer.status, answer.json()["target"]) == (200, inside)


async def test_an_unknown_app_is_not_found(serving: Gateway) -> None:
    for host, target in [
        ("nope.apps.localhost", "/"),
        ("localhost", "/nope/x"),
        ("localhost", "/"),
        ("a.shop.apps.localhost", "/"),
        ("shop.example.org", "/"),
        ("apps.localhost", "/shop/"),
        ("shopxappsxlocalhost", "/"),
    ]:
        assert_is_problem(await serving.ask(target, key=KEY, host=host), 404, "app_not_found")
        assert_is_problem(await serving.ask(target, host=host), 404, "app_not_found")


WRONG_KEYS = [
    KEY[:-1],
    KEY + "x",
    KEY.swapcase(),
    "",
    "*",
    hash_of(KEY),
    f"{KEY}, {KEY}",
    "tp_live_" + "a" * 5000,
]


async def test_a_wrong_key_is_refused_with_one_body(serving: Gateway) -> None:
    missing = await serving.ask("/shop/")
    for wrong in WRONG_KEYS:
        refused = await serving.ask("/shop/", key=wrong)
        bearer = await serving.ask("/shop/", headers={"Authorization": f"Bearer {wrong}"})
        for answer in (missing, refused, bearer):
            assert_is_problem(answer, 401, "key_invalid")
            assert answer.json() | {"requestId": ""} == missing.json() | {"requestId": ""}
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_key_works_as_header_and_as_bearer_token_but_not_twice(serving: Gateway) -> None:
    bearer = {"Authorization": f"Bearer {KEY}"}
    assert (await serving.ask("/shop/", key=KEY)).status == 200
    assert (await serving.ask("/shop/", headers=bearer)).status == 200
    assert_is_problem(await serving.ask("/shop/", key=KEY, headers=bearer), 401, "key_invalid")
    twice = (
        f"GET /shop/ HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nX-API-Key: {KEY}\r\n\r\n"
    )
    assert_is_problem(await serving.send(twice.encode()), 401, "key_invalid")
    other = {"Authorization": "Basic dTpw"}
    assert (await serving.ask("/shop/", key=KEY, headers=other)).status == 200


async def test_a_key_in_the_query_is_refused_and_written_nowhere(serving: Gateway) -> None:
    for query in (
        "api_key=x",
        "apikey=x",
        "a=1&API_KEY=x",
        "x-api-key=1",
        f"key={KEY}",
        f"t={KEY}",
    ):
        assert_is_problem(await serving.ask(f"/shop/?{query}", key=KEY), 400, "key_in_query")
    assert KEY.encode() not in serving.text_of_all_files()


async def test_a_scope_decides_inside_the_team_and_nothing_exists_outside_it(
    serving: Gateway,
) -> None:
    assert (await serving.ask("/shop/", key=SCOPED_KEY)).status == 200
    assert_is_problem(await serving.ask("/other/", key=SCOPED_KEY), 403, "scope_missing")
    foreign = await serving.ask("/shop/", key=FOREIGN_KEY)
    nothing = await serving.ask("/nope/", key=FOREIGN_KEY)
    assert_is_problem(foreign, 404, "app_not_found")
    assert foreign.json() | {"requestId": ""} == nothing.json() | {"requestId": ""}
    assert foreign.headers.keys() == nothing.headers.keys()


async def test_an_admin_key_may_call_every_app_of_its_team_and_no_other(
    serving: Gateway, table: Table
) -> None:
    admin = key_named("key-9", "tp_admin", scopes=("admin:*",))
    table.set(RoutingTable(routes=table.table.routes, keys=(admin,)))

    async def accepted() -> bool:
        return (await serving.ask("/other/", key="tp_admin")).status == 200

    await eventually(accepted)
    assert (await serving.ask("/theirs/", key="tp_admin")).status == 404


async def test_a_public_app_needs_no_key_and_never_sees_one(
    serving: Gateway, upstream: Upstream
) -> None:
    answer = await serving.ask("/open/", key=KEY, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status == 200
    assert_has_every_header(answer)
    assert answer.headers["x-ratelimit-limit"] == "6000"
    assert not {"x-api-key", "authorization"} & upstream.seen[-1][2].keys()
    await serving.ask("/open/", headers={"Authorization": "Bearer their.own.token"})
    assert upstream.seen[-1][2]["authorization"] == "Bearer their.own.token"


async def test_an_app_without_a_healthy_replica_is_unavailable_for_now(serving: Gateway) -> None:
    answer = await serving.ask("/empty/", key=KEY)
    assert_is_problem(answer, 503, "no_healthy_replica")
    assert answer.headers["retry-after"] == "1"


async def test_a_replica_that_refuses_connections_is_unreachable_then_set_aside(
    serving: Gateway, upstream: Upstream
) -> None:
    await upstream.stop()

    async def refused_with(code: str) -> bool:
        answer = await serving.ask("/shop/", key=KEY)
        assert_is_problem(answer, 503, str(answer.code))
        assert answer.headers["retry-after"] == "1"
        return bool(answer.code == code)

    await eventually(lambda: refused_with("no_healthy_replica"))
    await upstream.start(upstream.port)

    async def serves_again() -> bool:
        return (await serving.ask("/shop/", key=KEY)).status == 200

    await eventually(serves_again)


async def test_what_the_replica_is_told_about_the_caller_is_said_by_the_gateway(
    serving: Gateway, upstream: Upstream
) -> None:
    lies = {
        "X-Tallyport-Key-Id": "key-root",
        "X-Tallyport-Plan": "gold",
        "X_Tallyport_Team": "org-9",
        "X-Forwarded-For": "9.9.9.9",
        "X_Forwarded_For": "9.9.9.9",
        "X-Forwarded-User": "root",
        "X-Real-IP": "9.9.9.9",
        "X_Api_Key": "x",
        "Forwarded": "for=9.9.9.9",
        "X-Original-URL": "/admin",
        "Proxy": "http://9.9.9.9",
        "X-Request-Id": "no good\x7f",
        "Upgrade": "h2c",
        "HTTP2-Settings": "x",
        "Accept-Language": "it",
    }
    answer = await serving.ask("/shop/", key=KEY, headers=lies)
    assert answer.status == 200
    seen = upstream.seen[-1][2]
    assert seen == {
        "host": "localhost",
        "accept-language": "it",
        "x-request-id": answer.headers["x-request-id"],
        "x-tallyport-key-id": "key-1",
        "x-tallyport-team": "org-1",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "localhost",
    }


async def test_a_request_id_that_is_one_is_kept_and_any_other_replaced(
    serving: Gateway, upstream: Upstream
) -> None:
    given = "req-0123456789.abc_DEF"
    answer = await serving.ask("/shop/", key=KEY, headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == given == upstream.seen[-1][2]["x-request-id"]
    for bad in ("short", "a" * 129, 'with "quotes"', "sp ace space"):
        answer = await serving.ask("/shop/", headers={"X-Request-Id": bad})
        assert answer.headers["x-request-id"] != bad
        assert_has_every_header(answer)


async def test_an_uploaded_file_arrives_whole(serving: Gateway, upstream: Upstream) -> None:
    file = b"a line of a file\n" * 2**19
    answer = await serving.ask("/shop/upload", key=KEY, method="POST", body=file)
    assert answer.status == 200
    method, _, headers = upstream.seen[-1]  # it answers when it has read that much
    assert (method, headers["content-length"]) == ("POST", str(len(file)))


async def test_requests_go_round_the_replicas(
    serving: Gateway, table: Table, upstream: Upstream, upstream2: Upstream
) -> None:
    route = route_named("shop", upstream, upstream2)
    table.set(RoutingTable(routes=(route,), keys=table.table.keys))

    async def both() -> bool:
        await serving.ask("/shop/", key=KEY)
        return upstream2.served > 0

    await eventually(both)
    before = upstream.served, upstream2.served
    for _ in range(100):
        assert (await serving.ask("/shop/", key=KEY)).status == 200
    assert upstream.served - before[0] == upstream2.served - before[1] == 50


async def test_an_expired_key_is_refused_without_any_event(serving: Gateway, table: Table) -> None:
    expires = datetime.now(UTC) + timedelta(seconds=2)
    key = key_named("key-4", "tp_soon", expires_at=expires)
    table.set(RoutingTable(routes=table.table.routes, keys=(key,)))

    async def answers(status: int) -> bool:
        return (await serving.ask("/shop/", key="tp_soon")).status == status

    await eventually(lambda: answers(200))
    await eventually(lambda: answers(401))
    assert datetime.now(UTC) >= expires.replace(microsecond=0)


async def hands_counts_on(gateway: Gateway) -> bool:
    runtime = Runtime(gateway.launch.run_folder)
    worker, _ = await runtime.workers()
    return "resync_timeout=<PAST>" in await runtime._ask([f"@!{worker} show peers"])


async def has_counted(gateway: Gateway, requests: int) -> bool:
    runtime = Runtime(gateway.launch.run_folder)
    worker, _ = await runtime.workers()
    entries = await runtime._ask([f"@!{worker} show table limit_by_key"])
    return any("key-7:" in line and line.endswith(f"={requests}") for line in entries.split("\n"))


class TestLimits:
    @pytest.fixture
    def options(self, options: GatewayOptions) -> GatewayOptions:
        # A window as long as the test, so no test runs across the end of one.
        return GatewayOptions(
            binds=options.binds,
            connections_max=500,
            window_seconds=86_400,
            address_requests_per_window=120,
        )

    @pytest.fixture
    def table(self, upstream: Upstream) -> Table:
        few = key_named("key-7", "tp_few", requests_per_minute=7)
        retiring = key_named("key-7", "tp_few_before", requests_per_minute=7)
        keys = key_named("key-1", KEY), few, retiring
        routes = route_named("shop", upstream), route_named("open", upstream, visibility="public")
        return Table(RoutingTable(routes=routes, keys=keys))

    async def test_exactly_the_limit_is_let_through_whatever_form_the_request_takes(
        self, serving: Gateway, upstream: Upstream
    ) -> None:
        before = upstream.served
        forms = [
            {"target": "/shop/"},
            {"target": "/shop/x", "host": "LOCALHOST"},
            {"target": "/x", "host": "shop.apps.localhost."},
            {"target": "/x", "method": "POST"},
        ]
        answers = [await serving.ask(key="tp_few", **forms[n % 4]) for n in range(20)]  # type: ignore[arg-type]
        assert [answer.status for answer in answers[:2]] == [200, 200]
        passed = [answer for answer in answers if answer.headers["x-ratelimit-limit"] == "7"]
        assert sum(answer.status == 200 for answer in answers) <= 7
        assert upstream.served - before == sum(answer.status == 200 for answer in answers)
        refused = [answer for answer in passed if answer.status == 429]
        assert answers[-1].status == 429
        for answer in refused:
            problem = answer.json()
            assert problem["error"]["code"] == "limit_reached"  # type: ignore[index]
            assert answer.headers["x-ratelimit-remaining"] == "0"
            assert 0 < int(answer.headers["retry-after"]) <= 86_400
        assert (await serving.ask("/shop/", key=KEY)).status == 200

    async def test_the_count_is_exact_and_shown(self, serving: Gateway) -> None:
        remaining = []
        statuses = []
        for _ in range(12):
            answer = await serving.ask("/shop/", key="tp_few")
            statuses.append(answer.status)
            remaining.append(int(answer.headers["x-ratelimit-remaining"]))
        assert statuses == [200] * 7 + [429] * 5
        assert remaining == [6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0]

    async def test_both_secrets_of_a_rotated_key_use_up_one_limit(self, serving: Gateway) -> None:
        secrets = ("tp_few", "tp_few_before") * 6
        statuses = [(await serving.ask("/shop/", key=secret)).status for secret in secrets]
        assert statuses == [200] * 7 + [429] * 5

    async def test_a_reload_does_not_give_the_limit_back(
        self, serving: Gateway, table: Table, upstream: Upstream
    ) -> None:
        # A worker hands counts on once it knows that it gets none: 10 s after a start.
        await eventually(lambda: hands_counts_on(serving), within=20)
        statuses = [(await serving.ask("/shop/", key="tp_few")).status for _ in range(5)]
        routes = (*table.table.routes, route_named("new", upstream))
        table.set(RoutingTable(routes=routes, keys=table.table.keys))

        async def reloaded() -> bool:
            return (await serving.ask("/new/", key=KEY)).status == 200

        await eventually(reloaded)
        await eventually(lambda: has_counted(serving, 5))
        statuses += [(await serving.ask("/shop/", key="tp_few")).status for _ in range(5)]
        assert statuses == [200] * 7 + [429] * 3

    async def test_without_a_key_the_address_is_limited(self, serving: Gateway) -> None:
        statuses = [(await serving.ask("/open/")).status for _ in range(130)]
        assert 0 < statuses.count(200) <= 120
        assert statuses == sorted(statuses)
        assert statuses[-1] == 429
        # Guessing keys is limited the same way; a good key is not held up by its neighbours.
        assert (await serving.ask("/shop/", key="tp_guess")).status == 429
        assert (await serving.ask("/shop/", key=KEY)).status == 200
