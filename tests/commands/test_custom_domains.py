"""Custom domains: added by anybody, active for whoever's records are in DNS."""

import asyncio
from datetime import timedelta

import pytest

from commands.bus import Bus, Context
from commands.custom_domains import (
    AddDomain,
    ChangedDomain,
    DomainTaken,
    FollowDeployment,
    RemoveDomain,
    ReportDomainCheck,
    RequestDomainCheck,
)
from commands.deployments import DeleteDeployment, ReportReplicas, TransferDeployment
from commands.work import Actor
from domain.custom_domains.custom_domain import CUSTOM_DOMAIN, CustomDomain, TooManyDomains
from domain.custom_domains.values import (
    Answer,
    DomainStatus,
    Fault,
    InvalidDomain,
    ReservedDomain,
    Sighting,
    Target,
)
from domain.deployments.deployment import DeploymentIsGoing
from domain.kernel.errors import DomainError, NotAllowed, NotFound
from domain.teams.values import Role
from tests.wiring import Clock, Installation, Person

CHECKER = Context(actor=Actor(id="domain checker"))
TARGET = Target(apps_domain="apps.example.net", addresses=("203.0.113.9",))
NO_RECORD = Answer(fault=Fault.MISSING)


class Scene:
    """Deployments with domains, and DNS as it is seen."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.clock = Clock()
        self.bus: Bus = installation.another_bus(self.clock)

    async def add(
        self, person: Person, deployment_id: str, domain: str = "www.example.com", present: int = 0
    ) -> CustomDomain:
        command = AddDomain(
            deployment_id=deployment_id,
            domain=domain,
            platform_hosts=("apps.example.net",),
            present=present,
            domains_max=3,
        )
        changed: ChangedDomain = (await self.bus.dispatch(command, person.context)).result
        return changed.domain

    async def now(self, domain: CustomDomain) -> CustomDomain:
        loaded = await self.installation.bus.load(CUSTOM_DOMAIN, domain.domain_id, fresh=True)
        return loaded.present

    async def check(
        self, domain: CustomDomain, *, leads_to: str, proofs: tuple[CustomDomain, ...] = ()
    ) -> CustomDomain:
        """Report what is in DNS: where the name leads, and which domains' proofs are there."""
        due_at = (await self.now(domain)).next_check_at
        assert due_at is not None
        self.clock.now = max(self.clock.now, due_at)
        command = ReportDomainCheck(
            domain_id=domain.domain_id,
            due_at=due_at,
            seen=sighting(leads_to, *proofs),
            target=TARGET,
        )
        await self.bus.dispatch(command, CHECKER)
        return await self.now(domain)

    async def follow(self, domain: CustomDomain) -> CustomDomain:
        await self.bus.dispatch(FollowDeployment(domain_id=domain.domain_id), CHECKER)
        return await self.now(domain)


def sighting(leads_to: str, *proofs: CustomDomain) -> Sighting:
    direct = leads_to.replace(".", "").isdigit()
    texts = tuple(f"tallyport-domain-verification={each.token}" for each in proofs)
    return Sighting(
        aliases=NO_RECORD if direct else Answer(values=(leads_to,)),
        addresses=Answer(values=(leads_to,)) if direct else NO_RECORD,
        texts=Answer(values=texts) if texts else NO_RECORD,
    )


@pytest.fixture
def scene(installation: Installation) -> Scene:
    return Scene(installation)


async def shop_of(installation: Installation, person: Person, app_name: str = "shop") -> str:
    return (await installation.deploy(person, app_name)).deployment_id


async def test_a_domain_is_active_when_its_records_are_right(
    installation: Installation, scene: Scene
) -> None:
    anna = await installation.register()
    domain = await scene.add(anna, await shop_of(installation, anna), "WWW.Example.com.")
    assert (domain.name, domain.status) == ("www.example.com", DomainStatus.PENDING)
    wrong = await scene.check(domain, leads_to="old.example.org", proofs=(domain,))
    assert wrong.status is DomainStatus.PENDING
    right = await scene.check(domain, leads_to="shop.apps.example.net", proofs=(domain,))
    assert right.status is DomainStatus.ACTIVE


@pytest.mark.parametrize(
    ("wish", "refusal"),
    [
        ({"domain": "203.0.113.9"}, InvalidDomain),
        ({"domain": "shop.apps.example.net"}, ReservedDomain),
        ({"present": 3}, TooManyDomains),
    ],
)
async def test_a_wish_that_breaks_a_rule_leaves_no_trace(
    installation: Installation,
    scene: Scene,
    wish: dict[str, object],
    refusal: type[DomainError],
) -> None:
    anna = await installation.register()
    shop = await shop_of(installation, anna)
    before = await installation.store.last_position()
    with pytest.raises(refusal):
        await scene.add(anna, shop, **wish)  # type: ignore[arg-type]
    assert await installation.store.last_position() == before


async def test_a_team_adds_a_name_once_and_may_add_it_again_when_it_is_removed(
    installation: Installation, scene: Scene
) -> None:
    anna = await installation.register()
    first = await shop_of(installation, anna, "shop")
    second = await shop_of(installation, anna, "till")
    domain = await scene.add(anna, first)
    for deployment_id in (first, second):
        with pytest.raises(DomainTaken):
            await scene.add(anna, deployment_id)
    remove = RemoveDomain(deployment_id=first, domain_id=domain.domain_id)
    await scene.bus.dispatch(remove, anna.context)
    with pytest.raises(NotFound):
        await scene.bus.dispatch(remove, anna.context)
    await scene.add(anna, second)


async def test_who_adds_a_name_without_owning_it_does_not_keep_its_owner_out(
    installation: Installation, scene: Scene
) -> None:
    mallory, anna = await installation.register("mallory"), await installation.register("anna")
    squatted = await scene.add(mallory, await shop_of(installation, mallory, "evil"))
    domain = await scene.add(anna, await shop_of(installation, anna))
    theirs = (domain,)
    assert (
        await scene.check(squatted, leads_to="shop.apps.example.net", proofs=theirs)
    ).status is DomainStatus.PENDING
    assert (
        await scene.check(domain, leads_to="shop.apps.example.net", proofs=theirs)
    ).status is DomainStatus.ACTIVE


async def test_a_name_goes_over_only_when_the_records_of_its_owner_are_gone(
    installation: Installation, scene: Scene
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    hers = await scene.add(anna, await shop_of(installation, anna), "example.com")
    his = await scene.add(bert, await shop_of(installation, bert, "till"), "example.com")
    ours = "203.0.113.9"  # an apex leads to the gateway, not to one app
    assert (await scene.check(hers, leads_to=ours, proofs=(hers,))).status is DomainStatus.ACTIVE
    both = await scene.check(his, leads_to=ours, proofs=(hers, his))
    assert both.status is DomainStatus.PENDING
    assert (await scene.now(hers)).status is DomainStatus.ACTIVE
    moved = await scene.check(his, leads_to=ours, proofs=(his,))
    assert moved.status is DomainStatus.ACTIVE
    assert (await scene.now(hers)).status is DomainStatus.FAILED
    # And back again, without a moment in which nobody has it.
    asked = RequestDomainCheck(deployment_id=hers.deployment_id, domain_id=hers.domain_id)
    await scene.bus.dispatch(asked, anna.context)
    back = await scene.check(hers, leads_to=ours, proofs=(hers,))
    assert back.status is DomainStatus.ACTIVE
    assert (await scene.now(his)).status is DomainStatus.FAILED


async def test_of_many_who_prove_a_name_at_the_same_time_one_has_it(
    installation: Installation, scene: Scene
) -> None:
    people = [await installation.register(f"person{number}") for number in range(5)]
    domains = [
        await scene.add(person, await shop_of(installation, person, f"app{number}"), "example.com")
        for number, person in enumerate(people)
    ]
    seen = sighting("203.0.113.9", *domains)
    await asyncio.gather(
        *(
            installation.another_bus(scene.clock).dispatch(
                ReportDomainCheck(
                    domain_id=each.domain_id,
                    due_at=each.next_check_at or scene.clock.now,
                    seen=seen,
                    target=TARGET,
                ),
                CHECKER,
            )
            for each in domains
        )
    )
    statuses = [(await scene.now(each)).status for each in domains]
    assert sorted(statuses) == [DomainStatus.ACTIVE] + [DomainStatus.PENDING] * 4


async def test_a_check_that_is_reported_again_or_late_changes_nothing(
    installation: Installation, scene: Scene
) -> None:
    anna = await installation.register()
    domain = await scene.add(anna, await shop_of(installation, anna))
    await scene.check(domain, leads_to="shop.apps.example.net", proofs=(domain,))
    before = await installation.store.last_position()
    again = ReportDomainCheck(
        domain_id=domain.domain_id,
        due_at=domain.next_check_at or scene.clock.now,
        seen=sighting("old.example.org"),
        target=TARGET,
    )
    await scene.bus.dispatch(again, CHECKER)
    assert await installation.store.last_position() == before


async def test_a_domain_that_failed_is_free_for_others(
    installation: Installation, scene: Scene
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    hers = await scene.add(anna, await shop_of(installation, anna))
    await scene.check(hers, leads_to="shop.apps.example.net", proofs=(hers,))
    state = await scene.check(hers, leads_to="old.example.org")
    assert state.status is DomainStatus.ACTIVE
    while state.next_check_at is not None:
        scene.clock.now = max(scene.clock.now, state.routed_until or scene.clock.now)
        state = await scene.check(hers, leads_to="old.example.org")
    assert state.status is DomainStatus.FAILED
    his = await scene.add(bert, await shop_of(installation, bert, "till"))
    taken = await scene.check(his, leads_to="till.apps.example.net", proofs=(his,))
    assert taken.status is DomainStatus.ACTIVE


async def test_with_its_deployment_a_domain_goes_and_its_name_is_free(
    installation: Installation, scene: Scene
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    shop = await shop_of(installation, anna)
    domain = await scene.add(anna, shop)
    await scene.check(domain, leads_to="shop.apps.example.net", proofs=(domain,))
    assert not (await scene.follow(domain)).removed
    await installation.dispatch(DeleteDeployment(deployment_id=shop), anna.context)
    with pytest.raises(DeploymentIsGoing):
        await scene.add(anna, shop, "other.example.com")
    assert (await scene.follow(domain)).removed
    assert (await scene.follow(domain)).removed
    await installation.dispatch(
        ReportReplicas(deployment_id=shop, replicas=()), Context(actor=Actor(id="provisioner"))
    )
    with pytest.raises(NotFound):
        await scene.add(anna, shop, "other.example.com")
    his = await scene.add(bert, await shop_of(installation, bert))
    again = await scene.check(his, leads_to="shop.apps.example.net", proofs=(his,))
    assert again.status is DomainStatus.ACTIVE


async def test_a_deployment_that_is_transferred_takes_its_domains_along(
    installation: Installation, scene: Scene
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    shop = await shop_of(installation, anna)
    domain = await scene.add(anna, shop)
    await scene.check(domain, leads_to="shop.apps.example.net", proofs=(domain,))
    team = await installation.found_team(bert)
    await installation.add_member(team, anna, Role.DEVELOPER)
    await installation.dispatch(TransferDeployment(deployment_id=shop, team_id=team), anna.context)
    removal = RemoveDomain(deployment_id=shop, domain_id=domain.domain_id)
    outsider = await installation.register("carl")
    with pytest.raises(NotFound):
        await scene.bus.dispatch(removal, outsider.context)
    moved = await scene.follow(domain)
    assert (moved.team_id, moved.status) == (team, DomainStatus.ACTIVE)
    before = await installation.store.last_position()
    await scene.follow(domain)
    assert await installation.store.last_position() == before
    with pytest.raises(DomainTaken):
        await scene.add(bert, (await installation.deploy(bert, "till", team_id=team)).deployment_id)
    await scene.add(anna, await shop_of(installation, anna, "another"))
    await scene.bus.dispatch(removal, bert.context)


async def test_who_may_only_look_changes_no_domain(
    installation: Installation, scene: Scene
) -> None:
    anna, viewer = await installation.register("anna"), await installation.register("viewer")
    team = await installation.found_team(anna)
    await installation.add_member(team, viewer, Role.VIEWER)
    outsider = await installation.register("outsider")
    shop = (await installation.deploy(anna, "shop", team_id=team)).deployment_id
    other = (await installation.deploy(anna, "other", team_id=team)).deployment_id
    domain = await scene.add(anna, shop)
    for person, refusal in ((viewer, NotAllowed), (outsider, NotFound)):
        with pytest.raises(refusal):
            await scene.add(person, shop, "other.example.com")
        for command in (
            RemoveDomain(deployment_id=shop, domain_id=domain.domain_id),
            RequestDomainCheck(deployment_id=shop, domain_id=domain.domain_id),
        ):
            with pytest.raises(refusal):
                await scene.bus.dispatch(command, person.context)
    with pytest.raises(NotFound):
        await scene.bus.dispatch(
            RemoveDomain(deployment_id=other, domain_id=domain.domain_id), anna.context
        )


async def test_asking_for_a_check_makes_one_due_now(
    installation: Installation, scene: Scene
) -> None:
    anna = await installation.register()
    shop = await shop_of(installation, anna)
    domain = await scene.add(anna, shop)
    await scene.check(domain, leads_to="old.example.org")
    scene.clock.now += timedelta(seconds=3)
    asked = RequestDomainCheck(deployment_id=shop, domain_id=domain.domain_id)
    await scene.bus.dispatch(asked, anna.context)
    assert (await scene.now(domain)).next_check_at == scene.clock.now
