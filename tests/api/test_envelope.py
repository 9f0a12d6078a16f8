"""What every answer has, and what happens when a part is away."""

import asyncio
import re
from dataclasses import replace

import httpx
import psycopg
import uvicorn
from psycopg_pool import AsyncConnectionPool

from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from projections.analytics.logs import LogQueries
from projections.analytics.queries import AnalyticsQueries
from projections.catalogue import VIEWS
from projections.reading import Reader
from tests.api.conftest import Api, held_back
from tests.api.test_routes import is_problem

HEADERS = {
    "cache-control": "no-store",
    "vary": "Authorization, X-API-Key, Origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none';.* frame-ancestors 'none'",
    "x-request-id": "req-[0-9a-f]{20}",
    "x-ratelimit-limit": "[1-9][0-9]*",
    "x-ratelimit-remaining": "[0-9]+",
    "x-ratelimit-reset": "[0-9]{10}",
    "ratelimit": '"[a-z]+";r=[0-9]+;t=[0-9]+',
    "ratelimit-policy": '"[a-z]+";q=[0-9]+;w=60',
}
UNWANTED = {"server", "access-control-allow-origin", "x-powered-by", "set-cookie"}


async def test_every_answer_has_its_headers(api: Api) -> None:
    anna = await api.join()
    document = (await api.client.get("/openapi.json")).json()
    pages = ["/docs", "/redoc", "/openapi.json", "/problems", "/problems/not_found", "/nope"]
    pages += [
        "/help",
        "/help/search?q=key",
        "/help/settings",
        "/help/errors/not_found",
        "/help/nope",
    ]
    pages += ["/static/swagger-ui.css", "/static/nope", "/v1/nope", "/v1/deployments/", "/%00"]
    pages += [f"/v1/user/profile{end}" for end in ("/x.css", "/..%2fx.css", ";x.css", "%3fx.css")]
    for path in [*document["paths"], *pages]:
        for method in ("GET", "HEAD", "OPTIONS", "POST", "TRACE"):
            for who in (anna, api.nobody):
                answer = await who.ask(method, path)
                lacking = {
                    name: answer.headers.get(name)
                    for name, form in HEADERS.items()
                    if re.fullmatch(form, answer.headers.get(name, "")) is None
                }
                assert not lacking, (method, path)
                assert not UNWANTED & set(answer.headers), (method, path)
                kind = answer.headers.get("content-type", "")
                assert not kind.startswith("text/") or kind.endswith("; charset=utf-8"), path
        if path == "/v1/auth/logout":
            anna = await api.sign_in("anna@example.com")


async def test_over_tls_browsers_are_told_to_stay_there(api: Api) -> None:
    secure = api.another(https_only=True)
    for path in ("/v1/images", "/docs", "/nope"):
        answer = await secure.client.get(path)
        assert answer.headers["strict-transport-security"].startswith("max-age=63072000;")
        assert "strict-transport-security" not in (await api.client.get(path)).headers
    await secure.close()


async def test_head_is_get_without_the_body_and_options_tells_what_may_be_sent(api: Api) -> None:
    anna = await api.join()
    for path in ("/v1/deployments", "/v1/user/profile", "/v1/nope", "/docs", "/health/live"):
        got, head = await anna.get(path), await anna.ask("HEAD", path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    for path, allowed in (
        ("/v1/deployments", "GET, POST, HEAD, OPTIONS"),
        ("/v1/auth/login", "POST, OPTIONS"),
        ("/v1/user/passkeys/options", "POST, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
    ):
        answer = await api.nobody.ask("OPTIONS", path)
        assert (answer.status_code, answer.headers["allow"]) == (204, allowed)
        assert (await api.nobody.ask("TRACE", path)).headers["allow"] == allowed
    assert is_problem(await api.nobody.ask("OPTIONS", "/v1/nope"), 404)


async def test_a_page_of_another_site_changes_nothing_whatever_it_sends(api: Api) -> None:
    anna = await api.join()
    shared = api.another(cors_origins=("https://panel.example.com",))
    key = {"name": "a key"}
    for one, origin, site, status in (
        (api, "https://evil.test", "cross-site", 403),
        (api, "null", None, 403),
        (api, "http://api.test", "same-origin", 201),
        (api, None, "none", 201),
        (api, None, None, 201),
        (shared, "https://panel.example.com", "cross-site", 201),
        (shared, "https://panel.example.com.evil.test", "cross-site", 403),
    ):
        told = {"Origin": origin, "Sec-Fetch-Site": site}
        sent = {**anna.headers, **{name: value for name, value in told.items() if value}}
        answer = await one.client.post("/v1/api-keys", json=key, headers=sent)
        assert answer.status_code == status, (origin, site)
        assert status == 201 or answer.json()["error"]["code"] == "cross_site_request"
        assert (await one.client.get("/v1/api-keys", headers=sent)).status_code == 200
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
        headers = {**anna.headers, "Content-Type": kind}
        answer = await api.client.post("/v1/api-keys", content=b'{"name":"k"}', headers=headers)
        assert is_problem(answer, 415), kind
    await shared.close()


async def test_a_request_id_is_kept_if_it_is_one(api: Api) -> None:
    for sent in ("abc-123", "a" * 128, "trace:1/2=3@x+y"):
        answer = await api.nobody.ask("GET", "/health/live", X_Request_Id=sent)
        assert answer.headers["x-request-id"] == sent
    for sent in ("a" * 129, "a b", "<script>", "a\tb", '"'):
        answer = await api.nobody.ask("GET", "/health/live", X_Request_Id=sent)
        assert answer.headers["x-request-id"].startswith("req-")


async def test_only_listed_origins_may_read_from_a_browser(api: Api) -> None:
    shared = api.another(cors_origins=("https://panel.example.com",))
    preflight = {"Access-Control-Request-Method": "POST"}
    good = {"Origin": "https://panel.example.com"}
    answer = await shared.client.options("/v1/deployments", headers={**good, **preflight})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == good["Origin"]
    assert "Idempotency-Key" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    answer = await shared.client.get("/v1/images", headers=good)
    assert answer.headers["access-control-allow-origin"] == good["Origin"]
    assert "Origin" in answer.headers["vary"]
    for origin in (
        "null",
        "https://panel.example.com.evil.test",
        "https://evil.test",
        "http://panel.example.com",
        "https://panel.example.com:444",
    ):
        answer = await shared.client.options(
            "/v1/deployments", headers={"Origin": origin, **preflight}
        )
        assert "access-control-allow-origin" not in answer.headers, origin
    await shared.close()


async def test_a_read_waits_for_the_position_it_asks_for(api: Api) -> None:
    anna = await api.join()
    impatient = api.another(wait_seconds_max=0.3)
    for _ in range(10):
        made = await anna.create_key()
        assert (await anna.get(f"/v1/api-keys/{made['id']}")).status_code == 200

    async with held_back(api):
        await anna.create_key()
        headers = {**anna.headers, "X-Tallyport-Min-Position": anna.position}
        for path in ("/v1/api-keys", "/v1/deployments", "/v1/audit", "/v1/user/profile"):
            answer = await impatient.client.get(path, headers=headers)
            assert is_problem(answer, 503), path
            assert answer.json()["error"]["code"] == "view_behind"
            assert int(answer.headers["retry-after"]) > 0
    assert (await anna.get("/v1/api-keys")).status_code == 200
    for path in ("/v1/api-keys", "/v1/usage", "/v1/analytics/overview"):
        beyond = {**anna.headers, "X-Tallyport-Min-Position": "1000000"}
        assert is_problem(await api.client.get(path, headers=beyond), 422), path
    for wrong in ("-1", "one", "1.5", "9" * 19, "\u0663"):
        bad = [(b"authorization", anna.headers["Authorization"].encode())]
        bad.append((b"x-tallyport-min-position", wrong.encode()))
        assert is_problem(await impatient.client.get("/v1/api-keys", headers=bad), 400), wrong
    await impatient.close()


async def test_the_views_notice_a_lost_connection_and_listen_again(api: Api) -> None:
    anna = await api.join()
    await api.installation.as_admin(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'tallyport reader' AND datname = current_database()"
    )
    for _ in range(3):
        made = await anna.create_key()
        assert (await anna.get(f"/v1/api-keys/{made['id']}")).status_code == 200


async def test_ready_names_the_part_that_is_down(api: Api) -> None:
    async def broken() -> None:
        raise OSError("it is gone, and here is a secret")

    async def stuck() -> None:
        await asyncio.sleep(60)

    checks = {**api.services.checks, "clickhouse": broken, "kafka": stuck}
    limping = Api(api.installation, replace(api.services, checks=checks), api.reader)
    answer = await limping.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"] == {
        "database": "up",
        "counters": "up",
        "clickhouse": "down",
        "kafka": "down",
    }
    assert "secret" not in answer.text
    assert answer.headers["retry-after"]
    assert (await limping.client.get("/health/live")).json() == {"status": "ok"}
    assert (await api.client.get("/health/ready")).json()["status"] == "ready"
    await limping.close()


async def test_metrics_tell_how_far_each_view_is(api: Api) -> None:
    await api.join()
    await api.installation.caught_up()
    text = (await api.client.get("/metrics")).text
    position = await api.installation.store.last_position()
    assert f"tallyport_log_position {float(position)}" in text
    for view in VIEWS:
        assert f'tallyport_view_behind{{view="{view.name}"}} 0.0' in text
    assert 'tallyport_api_requests_total{method="POST",route="/v1/auth/login",status="200"}' in text


def without_clickhouse(api: Api) -> tuple[Api, ClickHouseClient]:
    """Return an application that does not find ClickHouse."""
    nowhere = ClickHouseClient(
        ClickHouseOptions(url="http://tallyport@127.0.0.1:1/default", retries_max=0)
    )
    services = replace(api.services, analytics=AnalyticsQueries(nowhere), logs=LogQueries(nowhere))
    return Api(api.installation, services, api.reader), nowhere


async def test_without_the_database_the_answer_is_503_too(api: Api) -> None:
    anna = await api.join()
    pool = AsyncConnectionPool("host=127.0.0.1 port=1", open=False, min_size=0, max_size=2)
    await pool.open()
    nowhere = Reader(pool, "host=127.0.0.1 port=1", VIEWS, connection_wait_seconds=0.2)
    limping = Api(api.installation, replace(api.services, views=nowhere), api.reader)
    for path in ("/v1/deployments", "/v1/images"):
        answer = await limping.client.get(path, headers=anna.headers)
        assert is_problem(answer, 503), path
        assert answer.headers["retry-after"]
    assert (await limping.client.get("/health/live")).status_code == 200
    await limping.close()
    await pool.close()


async def test_without_a_part_the_answer_is_503_and_says_when_to_come_back(api: Api) -> None:
    anna = await api.join()
    deployment_id = await anna.deploy()
    await anna.get("/v1/deployments")
    limping, clickhouse = without_clickhouse(api)
    for path in ("/v1/analytics/overview", f"/v1/deployments/{deployment_id}/logs"):
        answer = await limping.client.get(path, headers=anna.headers)
        assert is_problem(answer, 503), path
        assert answer.json()["error"]["code"] == "part_unavailable"
        assert answer.headers["retry-after"]
        assert "127.0.0.1" not in answer.text
    assert (await limping.client.get("/v1/deployments", headers=anna.headers)).status_code == 200
    await limping.close()
    await clickhouse.close()


async def test_an_error_nobody_expected_is_a_500_that_says_nothing(api: Api) -> None:
    class Broken(Reader):
        async def number(self, *_: object) -> int:
            raise psycopg.errors.SyntaxError("secret table layout")

        async def rows(self, *_: object) -> list[object]:  # type: ignore[override]
            raise ZeroDivisionError("a canary secret")

    anna = await api.join()
    await anna.get("/v1/user/profile")
    broken = Broken(api.installation.pool, api.installation.conninfo, VIEWS)
    limping = Api(api.installation, replace(api.services, views=broken), api.reader)
    answer = await limping.client.get("/v1/user/profile", headers=anna.headers)
    assert is_problem(answer, 500)
    assert answer.json()["error"] == {
        "code": "internal_error",
        "message": "Something went wrong on our side.",
        "details": [],
    }
    assert is_problem(await limping.client.get("/v1/images"), 401)
    await limping.close()


async def test_asked_over_a_socket_it_answers_alike(api: Api) -> None:
    server = uvicorn.Server(
        uvicorn.Config(api.app, port=0, log_config=None, server_header=False, lifespan="off")
    )
    serving = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    anna = await api.join()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get("/v1/user/profile", headers=anna.headers)
        assert answer.status_code == 200
        assert "server" not in answer.headers
        big = await client.post(
            "/v1/deployments",
            content=b" " * 2_000_000,
            headers={**anna.headers, "Content-Type": "application/json"},
        )
        assert is_problem(big, 413)
    server.should_exit = True
    await serving
