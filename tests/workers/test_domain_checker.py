"""Domains looked up in a real DNS server, decided by the real commands, seen in the real views."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import dns.rcode
import pytest

from commands.bus import Context
from commands.custom_domains import AddDomain, RequestDomainCheck
from commands.deployments import DeleteDeployment, ReportReplicas, TransferDeployment
from commands.work import Actor
from domain.custom_domains.custom_domain import CustomDomain
from domain.custom_domains.events import DomainCheckFailed
from domain.custom_domains.values import Schedule, Target
from domain.teams.values import Role
from infrastructure.dns.dnspython import DnsResolver
from infrastructure.ending import end
from projections.catalogue import VIEWS
from projections.custom_domains import CUSTOM_DOMAINS
from projections.deployments import DEPLOYMENTS
from projections.gateway import HOSTS
from projections.news import ViewNews
from projections.reading import Reader
from tests.dns_server import DnsServer, running_dns_server
from tests.wiring import Clock, Installation, Person
from workers.domain_checker import DomainChecker, look_up

TARGET = Target(apps_domain="apps.example.net", addresses=("203.0.113.9", "2001:db8::9"))
WATCHED = (CUSTOM_DOMAINS, DEPLOYMENTS, HOSTS)
PATIENT = {"try_seconds": 10.0, "answer_seconds": 60.0}
"""What is not answered in time is then a slow machine's fault."""


class Scene:
    """A deployment, a DNS server, and one checker whose clock stands still."""

    def __init__(self, installation: Installation, server: DnsServer, shop: str) -> None:
        self.installation = installation
        self.server = server
        self.shop = shop
        self.clock = Clock()
        self.bus = installation.another_bus(self.clock)
        self.news: list[ViewNews] = []
        self.checker = self.another_checker()

    def another_checker(self, **patience: float) -> DomainChecker:
        installation = self.installation
        news = ViewNews(installation.conninfo, {view.name for view in WATCHED})
        self.news.append(news)
        return DomainChecker(
            installation.another_bus(self.clock),
            Reader(installation.pool, installation.conninfo, VIEWS),
            news,
            DnsResolver([self.server.address], **(patience or PATIENT)),
            TARGET,
            schedule=Schedule(),
            clock=self.clock,
        )

    async def add(
        self, person: Person, domain: str = "www.example.com", deployment_id: str | None = None
    ) -> CustomDomain:
        command = AddDomain(
            deployment_id=deployment_id or self.shop,
            domain=domain,
            platform_hosts=(),
            present=0,
            domains_max=9,
        )
        added: CustomDomain = (await self.bus.dispatch(command, person.context)).result.domain
        await self.installation.caught_up(WATCHED)
        return added

    async def look(self, **passed: float) -> None:
        """Let time pass, and let the checker look."""
        self.clock.pass_by(**passed)
        await self.checker.look()
        await self.installation.caught_up(WATCHED)

    async def row(self, domain: CustomDomain) -> Any:
        [row] = await self.installation.query(
            "SELECT * FROM views.custom_domains WHERE id = %s", domain.domain_id
        )
        return row

    async def problems(self, domain: CustomDomain) -> list[tuple[str, str, list[str]]]:
        """Return code, type and what was found of each record that is wrong."""
        row = await self.row(domain)
        return [(each["fault"], each["type"], each["found"]) for each in row["problems"]]

    async def hosts(self) -> list[str]:
        rows = await self.installation.query("SELECT name FROM views.gateway_hosts ORDER BY name")
        return [row["name"] for row in rows]

    def put_right(self, domain: CustomDomain, app_name: str = "shop") -> None:
        self.server.put(domain.name, CNAME=f"{app_name}.apps.example.net")
        self.put_proof(domain)

    def put_proof(self, *domains: CustomDomain) -> None:
        texts = tuple(f"tallyport-domain-verification={each.token}" for each in domains)
        self.server.put(f"_tallyport.{domains[0].name}", TXT=texts)


@pytest.fixture
async def anna(installation: Installation) -> Person:
    return await installation.register("anna")


@pytest.fixture
async def scene(installation: Installation, anna: Person) -> AsyncIterator[Scene]:
    installation.start_views(WATCHED)
    shop = (await installation.deploy(anna, "shop")).deployment_id
    async with running_dns_server() as server:
        server.put("shop.apps.example.net", A="203.0.113.9")
        scene = Scene(installation, server, shop)
        yield scene
        for news in scene.news:
            await news.close()


async def test_a_domain_is_active_and_routed_once_its_records_are_there(
    scene: Scene, anna: Person
) -> None:
    domain = await scene.add(anna)
    await scene.look()
    assert await scene.problems(domain) == [
        ("no_such_name", "CNAME", []),
        ("no_such_name", "TXT", []),
    ]
    asked = scene.server.asked.total()
    await scene.look(seconds=9)
    assert scene.server.asked.total() == asked, "it is not due yet"
    scene.put_right(domain)
    await scene.look(seconds=2)
    row = await scene.row(domain)
    assert (row["status"], row["problems"]) == ("active", [])
    assert await scene.hosts() == ["www.example.com"]
    await scene.look(hours=23)
    assert (await scene.row(domain))["version"] == row["version"]
    await scene.look(hours=2)
    assert (await scene.row(domain))["checked_at"] == scene.clock.now


async def test_each_way_in_which_a_record_is_wrong_is_told_apart(
    scene: Scene, anna: Person
) -> None:
    names = ("cname", "txt", "none", "fails", "elsewhere")
    domains = {name: await scene.add(anna, f"{name}.example.com") for name in names}
    for domain in domains.values():
        scene.put_right(domain)
    server = scene.server
    server.put("cname.example.com", CNAME="old.example.org")
    server.put("_tallyport.txt.example.com", TXT=("v=spf1 -all", "tallyport-domain-verification="))
    server.put("none.example.com", TXT="something else")
    server.broken["fails.example.com"] = dns.rcode.SERVFAIL
    server.put("elsewhere.example.com", A="198.51.100.7")
    await scene.look()
    found = {name: await scene.problems(domain) for name, domain in domains.items()}
    [[fault, kind, texts]] = found.pop("txt")
    assert (fault, kind, set(texts)) == (
        "wrong",
        "TXT",
        {"v=spf1 -all", "tallyport-domain-verification="},
    )
    assert found == {
        "cname": [("wrong", "CNAME", ["old.example.org"])],
        "none": [("missing", "CNAME", [])],
        "fails": [("server_failure", "CNAME", [])],
        "elsewhere": [("wrong", "CNAME", ["198.51.100.7"])],
    }


async def test_servers_that_say_nothing_are_told_as_such(scene: Scene, anna: Person) -> None:
    domain = await scene.add(anna)
    scene.server.silent |= {"www.example.com", "_tallyport.www.example.com"}
    scene.checker = scene.another_checker(try_seconds=0.1, answer_seconds=0.2)
    await scene.look()
    assert await scene.problems(domain) == [("timeout", "CNAME", []), ("timeout", "TXT", [])]


async def test_a_chain_of_names_and_an_apex_with_addresses_are_right_too(
    scene: Scene, anna: Person
) -> None:
    chained = await scene.add(anna, "www.example.com")
    apex = await scene.add(anna, "example.com")
    looped = await scene.add(anna, "loop.example.com")
    for domain in (chained, apex, looped):
        scene.put_proof(domain)
    # Servers of different zones: each tells its own record only.
    scene.server.alone |= {"www.example.com", "cdn.example.org"}
    scene.server.put("www.example.com", CNAME="cdn.example.org")
    scene.server.put("cdn.example.org", CNAME="Shop.apps.example.net")
    scene.server.put("example.com", A="203.0.113.9", AAAA="2001:db8::9")
    scene.server.put("loop.example.com", CNAME="loop2.example.com")
    scene.server.put("loop2.example.com", CNAME="loop.example.com")
    await scene.look()
    assert await scene.hosts() == ["example.com", "www.example.com"]
    assert await scene.problems(looped) == [
        ("server_failure", "CNAME", ["loop2.example.com", "loop.example.com"])
    ]


async def test_records_that_vanish_cost_the_domain_after_the_grace_only(
    scene: Scene, anna: Person
) -> None:
    domain = await scene.add(anna)
    scene.put_right(domain)
    await scene.look()
    scene.server.remove("www.example.com", "_tallyport.www.example.com")
    await scene.look(days=1)
    row = await scene.row(domain)
    gone_at = scene.clock.now
    assert (row["status"], row["routed_until"]) == ("active", gone_at + timedelta(days=3))
    assert await scene.hosts() == ["www.example.com"]
    await scene.look(days=2)
    assert await scene.hosts() == ["www.example.com"]
    await scene.look(days=1)
    row = await scene.row(domain)
    assert (row["status"], row["next_check_at"]) == ("failed", None)
    assert await scene.hosts() == []
    scene.put_right(domain)
    await scene.look(days=9)
    assert (await scene.row(domain))["status"] == "failed"
    asked = RequestDomainCheck(deployment_id=scene.shop, domain_id=domain.domain_id)
    await scene.bus.dispatch(asked, anna.context)
    await scene.installation.caught_up(WATCHED)
    await scene.look()
    assert (await scene.row(domain))["status"] == "active"


async def test_servers_that_are_away_cost_no_domain(scene: Scene, anna: Person) -> None:
    domain = await scene.add(anna)
    scene.put_right(domain)
    await scene.look()
    scene.server.broken["_tallyport.www.example.com"] = dns.rcode.SERVFAIL
    for _ in range(8):
        await scene.look(days=1)
    row = await scene.row(domain)
    assert (row["status"], row["routed_until"]) == ("active", None)
    assert await scene.problems(domain) == [("server_failure", "TXT", [])]
    assert await scene.hosts() == ["www.example.com"]


async def test_a_name_goes_over_to_whoever_has_the_records_without_a_gap(
    scene: Scene, anna: Person, installation: Installation
) -> None:
    bert = await installation.register("bert")
    till = (await installation.deploy(bert, "till")).deployment_id
    hers = await scene.add(anna)
    scene.put_right(hers)
    await scene.look()
    his = await scene.add(bert, deployment_id=till)
    scene.put_right(his, "till")
    await scene.look()
    assert (await scene.row(hers))["status"] == "failed"
    assert (await scene.row(hers))["displaced"]
    assert (await scene.row(his))["status"] == "active"
    [host] = await installation.query("SELECT * FROM views.gateway_hosts")
    assert host["deployment_id"] == till


async def test_two_checkers_at_once_decide_once(
    scene: Scene, anna: Person, installation: Installation
) -> None:
    domain = await scene.add(anna)
    await asyncio.gather(*(scene.another_checker().look() for _ in range(4)))
    recorded = await installation.store.read_stream(domain.domain_id)
    events = await installation.codec.decode_all(recorded)
    assert [type(event) for event in events[1:]] == [DomainCheckFailed]


async def test_domains_follow_their_deployment(
    scene: Scene, anna: Person, installation: Installation
) -> None:
    domain = await scene.add(anna)
    scene.put_right(domain)
    await scene.look()
    bert = await installation.register("bert")
    team = await installation.found_team(bert)
    await installation.add_member(team, anna, Role.DEVELOPER)
    move = TransferDeployment(deployment_id=scene.shop, team_id=team)
    await installation.dispatch(move, anna.context)
    await installation.caught_up(WATCHED)
    await scene.look()
    assert (await scene.row(domain))["team_id"] == team
    assert await scene.hosts() == ["www.example.com"]
    delete = DeleteDeployment(deployment_id=scene.shop)
    await installation.dispatch(delete, Context(actor=bert.context.actor))
    await installation.caught_up(WATCHED)
    await scene.look()
    assert await installation.rows(CUSTOM_DOMAINS) == []
    assert await scene.hosts() == []


async def test_records_left_behind_by_a_deleted_app_give_its_name_to_nobody(
    scene: Scene, anna: Person, installation: Installation
) -> None:
    domain = await scene.add(anna)
    scene.put_right(domain)
    await scene.look()
    await installation.dispatch(DeleteDeployment(deployment_id=scene.shop), anna.context)
    gone = ReportReplicas(deployment_id=scene.shop, replicas=())
    await installation.dispatch(gone, Context(actor=Actor(id="provisioner")))
    await installation.caught_up(WATCHED)
    await scene.look()
    mallory = await installation.register("mallory")
    hers = (await installation.deploy(mallory, "shop")).deployment_id
    wanted = await scene.add(mallory, deployment_id=hers)
    await scene.look()
    assert [(fault, kind) for fault, kind, _ in await scene.problems(wanted)] == [("wrong", "TXT")]
    assert await scene.hosts() == []


async def test_a_domain_whose_deployment_the_view_has_not_heard_of_stays(
    scene: Scene, anna: Person, installation: Installation
) -> None:
    domain = await scene.add(anna)
    await installation.as_admin("DELETE FROM views.deployments")
    await scene.look()
    assert (await scene.row(domain))["status"] == "pending"


async def test_one_domain_that_cannot_be_decided_does_not_keep_the_others_waiting(
    scene: Scene, anna: Person, installation: Installation
) -> None:
    lost, domain = await scene.add(anna, "lost.example.com"), await scene.add(anna)
    scene.put_right(domain)
    # A row that the log knows nothing of: as from a log that was restored from a backup.
    await installation.as_admin(
        "UPDATE views.custom_domains SET id = 'dom-zzzzzzzzzz' WHERE id = %s", lost.domain_id
    )
    await scene.look()
    assert await scene.hosts() == ["www.example.com"]


async def test_a_new_domain_is_looked_up_at_once_and_again_when_it_is_due(
    scene: Scene, anna: Person, installation: Installation
) -> None:
    running = asyncio.create_task(scene.checker.run())
    try:
        domain = await scene.add(anna)
        await installation.until(
            "EXISTS (SELECT FROM views.custom_domains WHERE checked_at IS NOT NULL)"
        )
        scene.put_right(domain)
        scene.clock.pass_by(hours=1)
        asked = RequestDomainCheck(deployment_id=scene.shop, domain_id=domain.domain_id)
        await scene.bus.dispatch(asked, anna.context)
        await installation.until("EXISTS (SELECT FROM views.gateway_hosts)")
    finally:
        await end(running)


async def test_a_name_with_slow_servers_is_given_up_in_time(scene: Scene) -> None:
    scene.server.silent |= {"slow.example.com", "_tallyport.slow.example.com"}
    resolver = DnsResolver([scene.server.address], **PATIENT)
    seen = await look_up(resolver, "slow.example.com", timeout_seconds=0.2)
    assert {seen.aliases.fault, seen.addresses.fault, seen.texts.fault} == {"timeout"}
