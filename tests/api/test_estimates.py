"""What a deployment costs a month, before and after."""

from decimal import Decimal

from tests.api.conftest import Api
from tests.api.test_routes import is_problem
from tests.api.test_usage import serve

HALF_CORE = {"cpu": "500m", "memory": "512Mi"}


def priced(api: Api) -> Api:
    """Return one where a core costs 2 cents an hour, a GiB 1 cent, and a million requests 50."""
    return api.another(price_per_core_hour=Decimal("0.02"), price_per_gib_hour=Decimal("0.01"))


async def test_a_new_deployment_is_priced_before_it_is_made(api: Api) -> None:
    anna = await priced(api).join()
    wish = {"appName": "shop", "image": "tallyport/echo", "port": 8080, "replicas": 3}
    before = await api.installation.store.last_position()
    answer = await anna.post(
        "/v1/estimate", {**wish, "resources": HALF_CORE, "requestsPerMonth": 2_500_000}
    )
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert await api.installation.store.last_position() == before, "nothing is made"
    assert shown["currency"] == "EUR"
    assert shown["prices"] == {
        "perMillionRequests": "0.5",
        "perCoreHour": "0.02",
        "perGibHour": "0.01",
    }
    nothing = {"compute": "0", "requests": "0", "total": "0"}
    assert shown["before"]["perMonth"] == nothing
    # 730 hours of 1.5 cores for 2 cents and of 1.5 GiB for 1 cent; 2.5 million for 50 cents each.
    assert shown["after"] == {
        "replicas": 3,
        "cpu": "1500m",
        "memory": "1536Mi",
        "requests": 2_500_000,
        "perMonth": {"compute": "32.85", "requests": "1.25", "total": "34.1"},
    }
    assert shown["difference"] == "34.1"
    assert any("730 hours" in each for each in shown["assumptions"])


async def test_a_change_is_priced_against_what_there_is(api: Api) -> None:
    here = priced(api)
    anna = await here.join()
    shop = await anna.deploy("shop", replicas=2, resources=HALF_CORE)
    await serve(api, anna, *[200] * 4, frame=1, deployment=shop)
    path = f"/v1/deployments/{shop}/estimate"
    as_it_is = (await anna.get(path)).json()
    assert as_it_is["before"] == as_it_is["after"]
    assert as_it_is["before"]["perMonth"] == {
        "compute": "21.9",
        "requests": "0.000002",
        "total": "21.900002",
    }
    assert as_it_is["difference"] == "0"

    smaller = (await anna.get(f"{path}?replicas=1&cpu=250m&memory=256Mi")).json()
    assert smaller["after"]["perMonth"]["compute"] == "5.475"
    assert smaller["difference"] == "-16.425"
    change = {"deploymentId": shop, "replicas": 4, "requestsPerMonth": 1_000_000}
    larger = (await anna.post("/v1/estimate", change)).json()
    assert larger["before"] == as_it_is["before"]
    assert larger["after"]["perMonth"] == {"compute": "43.8", "requests": "0.5", "total": "44.3"}

    await anna.post(f"/v1/deployments/{shop}/stop")
    stopped = (await anna.get(path)).json()
    assert stopped["before"]["perMonth"]["compute"] == "0", "what is stopped reserves nothing"


async def test_what_cannot_be_priced_is_refused(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    shop = await anna.deploy("shop")
    berta.position = anna.position
    for wrong in (
        {"deploymentId": shop, "teamId": anna.account["teamId"]},
        {"resources": {"cpu": "100000m"}},
        {"requestsPerMonth": 10**13},
        {"replicas": True},
        {"price": 0},
    ):
        assert is_problem(await anna.post("/v1/estimate", wrong), 422), wrong
    for path in ("?replicas=-1", "?cpu=1e3", "?memory=12", "?disk=1"):
        assert is_problem(await anna.get(f"/v1/deployments/{shop}/estimate{path}"), 422), path
    assert is_problem(await berta.get(f"/v1/deployments/{shop}/estimate"), 404)
    for theirs in ({"deploymentId": shop}, {"teamId": anna.account["teamId"]}):
        assert is_problem(await berta.post("/v1/estimate", theirs), 404)
