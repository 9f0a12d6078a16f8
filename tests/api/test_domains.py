"""Domains over HTTP: the records to be made, and which of them is wrong."""

from datetime import UTC, datetime

from commands.bus import Context
from commands.custom_domains import ReportDomainCheck
from commands.work import Actor
from domain.custom_domains.values import Answer, Fault, Sighting, Target
from domain.deployments.values import ReplicaPhase
from projections.gateway import HOSTS
from tests.api.conftest import Api, Body, Visitor
from tests.api.test_routes import is_problem

CHECKER = Context(actor=Actor(id="domain checker"))
TARGET = Target(apps_domain="apps.localhost")
NOTHING = Answer(fault=Fault.NO_SUCH_NAME)
PROOF = "tallyport-domain-verification="


def path_of(domain: Body) -> str:
    return f"/v1/deployments/{domain['deploymentId']}/domains/{domain['id']}"


async def check(api: Api, domain: Body, *, alias: str | None, text: str | None) -> None:
    """Report what DNS says, as the checker does."""
    seen = Sighting(
        aliases=NOTHING if alias is None else Answer(values=(alias,)),
        addresses=NOTHING,
        texts=NOTHING if text is None else Answer(values=(text,)),
    )
    command = ReportDomainCheck(
        domain_id=domain["id"],
        due_at=datetime.fromisoformat(domain["nextCheckAt"]).astimezone(UTC),
        seen=seen,
        target=TARGET,
    )
    receipt = await api.installation.dispatch(command, CHECKER)
    await api.reader.wait_for("custom_domains", receipt.position, timeout_seconds=20)


async def shown(visitor: Visitor, domain: Body) -> Body:
    answer = await visitor.get(path_of(domain))
    assert answer.status_code == 200, answer.text
    found: Body = answer.json()
    return found


async def test_a_domain_is_added_with_the_records_to_be_made(api: Api) -> None:
    anna = await api.join()
    shop = await anna.deploy("shop")
    answer = await anna.post(f"/v1/deployments/{shop}/domains", {"domain": "WWW.Example.com"})
    assert answer.status_code == 201
    domain = answer.json()
    assert domain["domain"] == "www.example.com"
    assert domain["status"] == "pending"
    assert answer.headers["location"] == path_of(domain)
    alias, proof = domain["dnsRecords"]
    assert alias == {
        "type": "CNAME",
        "name": "www.example.com",
        "value": "shop.apps.localhost",
        "purpose": "routing",
        "required": True,
    }
    assert (proof["type"], proof["name"]) == ("TXT", "_tallyport.www.example.com")
    assert proof["value"].startswith(PROOF)
    assert await shown(anna, domain) == domain

    second = await anna.add_domain(shop, "bücher.example")
    listed = (await anna.get(f"/v1/deployments/{shop}/domains?sort=domain")).json()
    assert [each["domain"] for each in listed["domains"]] == [
        "www.example.com",
        "xn--bcher-kva.example",
    ]
    assert second["dnsRecords"][1]["value"] != proof["value"]
    assert listed["pagination"]["total"] == 2


async def test_with_the_gateway_s_addresses_a_name_needs_no_cname(api: Api) -> None:
    direct = api.another(
        domain_target=Target(apps_domain="apps.localhost", addresses=("203.0.113.9", "2001:db8::9"))
    )
    anna = (await api.join()).at(direct)
    shop = await anna.deploy("shop")
    domain = await anna.add_domain(shop, "example.com")
    assert [(each["type"], each["value"]) for each in domain["dnsRecords"][2:]] == [
        ("A", "203.0.113.9"),
        ("AAAA", "2001:db8::9"),
    ]
    assert {each["required"] for each in domain["dnsRecords"][2:]} == {False}
    await direct.close()


async def test_a_failing_domain_tells_which_record_is_wrong(api: Api) -> None:
    anna = await api.join()
    domain = await anna.add_domain(await anna.deploy("shop"))
    await check(api, domain, alias="old.example.org", text=None)
    failing = await shown(anna, domain)
    assert failing["status"] == "pending"
    assert failing["lastCheckedAt"] < failing["nextCheckAt"]
    alias, proof = failing["problems"]
    assert (alias["code"], alias["expected"], alias["found"]) == (
        "wrong",
        ["shop.apps.localhost"],
        ["old.example.org"],
    )
    assert (proof["code"], proof["name"]) == ("no_such_name", "_tallyport.www.example.com")
    for words in ("CNAME", "old.example.org", "shop.apps.localhost", "TXT", "NXDOMAIN"):
        assert words in failing["failure"]

    text = failing["dnsRecords"][1]["value"]
    await check(api, failing, alias="shop.apps.localhost", text=text)
    right = await shown(anna, domain)
    assert (right["status"], right["failure"], right["problems"]) == ("active", None, [])
    assert right["verifiedAt"] is not None
    [listed] = (await anna.get(f"/v1/deployments/{domain['deploymentId']}/domains")).json()[
        "domains"
    ]
    assert listed == right


async def test_a_check_may_be_asked_for_but_not_all_the_time(api: Api) -> None:
    anna = await api.join()
    domain = await anna.add_domain(await anna.deploy("shop"))
    asked = await anna.post(f"{path_of(domain)}/verify")
    assert asked.status_code == 202
    assert asked.json() == {
        "id": domain["id"],
        "domain": "www.example.com",
        "status": "pending",
        "message": "Domain is being checked",
    }
    assert (await shown(anna, domain))["nextCheckAt"] > domain["nextCheckAt"]
    again = await anna.post(f"{path_of(domain)}/verify")
    assert is_problem(again, 429)
    assert 1 <= int(again.headers["retry-after"]) <= 11


async def test_a_removed_domain_is_gone_and_may_be_added_again(api: Api) -> None:
    anna = await api.join()
    shop = await anna.deploy("shop")
    domain = await anna.add_domain(shop)
    twice = await anna.post(f"/v1/deployments/{shop}/domains", {"domain": "www.example.com"})
    assert is_problem(twice, 409)
    assert twice.json()["error"]["code"] == "domain_taken"
    removed = await anna.ask("DELETE", path_of(domain))
    assert removed.json() == {"message": "Domain removed successfully"}
    assert is_problem(await anna.get(path_of(domain)), 404)
    assert is_problem(await anna.ask("DELETE", path_of(domain)), 404)
    await anna.add_domain(shop)
    history = (await anna.get(f"/v1/history/{domain['id']}")).json()["events"]
    assert [each["type"].partition(".")[2] for each in history] == ["DomainAdded", "DomainRemoved"]


async def test_what_cannot_be_a_domain_is_422(api: Api) -> None:
    anna = await api.join()
    shop = await anna.deploy("shop")
    before = await api.installation.store.last_position()
    for name, code in {
        "https://www.example.com/": "invalid_domain",
        "localhost": "invalid_domain",
        "203.0.113.9": "invalid_domain",
        "*.example.com": "invalid_domain",
        "shop.apps.localhost": "reserved_domain",
    }.items():
        refused = await anna.post(f"/v1/deployments/{shop}/domains", {"domain": name})
        assert is_problem(refused, 422)
        assert refused.json()["error"]["code"] == code, name
    assert await api.installation.store.last_position() == before


async def test_a_deployment_has_a_limited_number_of_domains(api: Api) -> None:
    small = api.another(domains_max=1)
    anna = (await api.join()).at(small)
    shop = await anna.deploy("shop")
    await anna.add_domain(shop)
    await api.installation.caught_up()
    refused = await anna.post(f"/v1/deployments/{shop}/domains", {"domain": "b.example.com"})
    assert is_problem(refused, 422)
    assert refused.json()["error"]["code"] == "too_many_domains"
    await small.close()


async def test_a_domain_is_found_under_its_own_deployment_only(api: Api) -> None:
    anna = await api.join()
    domain = await anna.add_domain(await anna.deploy("shop"))
    till = await anna.deploy("till")
    await api.report(till, ReplicaPhase.READY)
    elsewhere = f"/v1/deployments/{till}/domains/{domain['id']}"
    for method, path in (
        ("GET", elsewhere),
        ("DELETE", elsewhere),
        ("POST", f"{elsewhere}/verify"),
    ):
        assert is_problem(await anna.ask(method, path, X_Tallyport_Min_Position=anna.position), 404)


async def test_a_change_of_a_version_that_is_no_more_is_412(api: Api) -> None:
    anna = await api.join()
    domain = await anna.add_domain(await anna.deploy("shop"))
    tag = (await anna.get(path_of(domain))).headers["etag"]
    assert tag == '"1"'
    await check(api, domain, alias=None, text=None)
    stale = await anna.ask("DELETE", path_of(domain), If_Match=tag)
    assert is_problem(stale, 412)
    tag = (await anna.get(path_of(domain))).headers["etag"]
    assert (await anna.ask("DELETE", path_of(domain), If_Match=tag)).status_code == 200


async def test_a_domain_is_moved_to_another_deployment_of_the_team_and_served_throughout(
    api: Api,
) -> None:
    anna = await api.join()
    blue, green = await anna.deploy("blue"), await anna.deploy("green")
    domain = await anna.add_domain(blue)
    proof = domain["dnsRecords"][1]["value"]
    await check(api, domain, alias="blue.apps.localhost", text=proof)
    moved = await anna.ask("PATCH", path_of(domain), {"deploymentId": green})
    assert moved.status_code == 200
    assert moved.json() == {
        "id": domain["id"],
        "deploymentId": green,
        "domain": "www.example.com",
        "status": "active",
        "message": "Domain moved",
    }
    assert is_problem(await anna.get(path_of(domain)), 404)
    domain["deploymentId"] = green
    now = await shown(anna, domain)
    assert (now["status"], now["failure"]) == ("active", None)
    await api.installation.caught_up([HOSTS])
    [[host]] = await api.installation.as_admin("SELECT deployment_id FROM views.gateway_hosts")
    assert host == green

    await check(api, now, alias="blue.apps.localhost", text=proof)
    late = await shown(anna, domain)
    assert late["status"] == "active"
    assert late["routedUntil"] is not None
    assert "green.apps.localhost" in late["failure"]
    await check(api, late, alias="green.apps.localhost", text=proof)
    assert (await shown(anna, domain))["routedUntil"] is None


async def test_a_domain_goes_to_no_deployment_that_is_not_the_teams_or_has_no_room(
    api: Api,
) -> None:
    few = api.another(domains_max=1)
    anna, berta = (await api.join()).at(few), (await api.join("berta")).at(few)
    domain = await anna.add_domain(await anna.deploy("blue"))
    theirs, full = await berta.deploy("theirs"), await anna.deploy("full")
    await anna.add_domain(full, "www.example.org")
    before = await api.installation.store.last_position()
    for other in (theirs, "dpl-0000000000", "no id", domain["id"]):
        answer = await anna.ask("PATCH", path_of(domain), {"deploymentId": other})
        assert is_problem(answer, 422)
        assert answer.json()["error"]["code"] == "unknown_deployment"
    refused = await anna.ask("PATCH", path_of(domain), {"deploymentId": full})
    assert refused.json()["error"]["code"] == "too_many_domains"
    same = await anna.ask("PATCH", path_of(domain), {"deploymentId": domain["deploymentId"]})
    assert same.status_code == 200
    assert await api.installation.store.last_position() == before
