"""Custom domains: which names there are, what is wrong with records, and when a domain fails."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.custom_domains.custom_domain import CUSTOM_DOMAIN, CheckedJustNow, CustomDomain
from domain.custom_domains.events import (
    DomainAdded,
    DomainCheckFailed,
    DomainCheckPassed,
    DomainCheckRequested,
    DomainFailed,
    DomainMoved,
    DomainRemoved,
    DomainTransferred,
    DomainVerified,
)
from domain.custom_domains.values import (
    Answer,
    DomainStatus,
    Fault,
    InvalidDomain,
    RecordProblem,
    ReservedDomain,
    Schedule,
    Sighting,
    Wanted,
    domain_name,
    words_of,
)
from domain.kernel.events import Event
from tests.scenario import Action, given

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SCHEDULE = Schedule()
Texts = Answer | tuple[str, ...]
OURS = ("apps.example.net", "api.example.net")
MISSING = RecordProblem(fault=Fault.MISSING, type="TXT", name="_tallyport.a.b", expected=("x",))
TIMEOUT = RecordProblem(fault=Fault.TIMEOUT, type="TXT", name="_tallyport.a.b", expected=("x",))

added = DomainAdded(
    domain_id="dom-0000000001",
    deployment_id="dpl-0000000001",
    team_id="org-0000000001",
    name="www.example.com",
    token="abc",
    added_by="usr-0000000001",
    added_at=NOON,
)
WHAT: dict[str, Any] = {"name": added.name, "deployment_id": added.deployment_id}
verified = DomainVerified(
    **WHAT, previously=DomainStatus.PENDING, verified_at=NOON, next_check_at=NOON + DAY
)
WANTED = Wanted(name="www.example.com", token="abc", host="shop.apps.example.net")
DIRECT = Wanted(
    name="example.com",
    token="abc",
    host="shop.apps.example.net",
    addresses=("203.0.113.9", "2001:db8::9"),
)


def failing(
    at: datetime,
    *problems: RecordProblem,
    again: datetime,
    until: datetime | None = None,
    status: DomainStatus = DomainStatus.PENDING,
    recurring: bool = False,
) -> DomainCheckFailed:
    return DomainCheckFailed(
        **WHAT,
        problems=problems,
        checked_at=at,
        next_check_at=again,
        routed_until=until,
        status=status,
        recurring=recurring,
    )


def checked(*problems: RecordProblem, at: datetime, due: datetime | None = None) -> Action:
    return lambda domain: domain.checked(
        problems, due_at=due or domain.next_check_at, now=at, schedule=SCHEDULE
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("www.example.com", "www.example.com"),
        ("WWW.Example.COM.", "www.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a.b", "a.b"),
        ("1.example.com", "1.example.com"),
        (".".join(["a" * 60] * 3 + ["com"]), ".".join(["a" * 60] * 3 + ["com"])),
    ],
)
def test_a_name_is_kept_in_one_form(text: str, name: str) -> None:
    assert domain_name(text, platform_hosts=OURS) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "example",
        "localhost",
        "..",
        "a..b",
        ".example.com",
        "example.com..",
        "*.example.com",
        "https://www.example.com",
        "www.example.com:443",
        "www.example.com/path",
        "user@example.com",
        "www example.com",
        " www.example.com",
        "www.example.com\n",
        "www.exa\u0000mple.com",
        "_tallyport.example.com",
        "-www.example.com",
        "www-.example.com",
        "203.0.113.9",
        "1.2.3",
        "127.1",
        "0x7f.0x1",
        "2001:db8::9",
        "[2001:db8::9]",
        "xn--a.example",
        "a" * 64 + ".example.com",
        ".".join(["a" * 60] * 4 + ["com"]),
        ".".join(["a" * 60] * 4),
        "a." * 2000,
        "\U0001f600\ufe0f.example.com\u202e",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidDomain):
        domain_name(text, platform_hosts=OURS)


@pytest.mark.parametrize(
    "text", ["apps.example.net", "shop.apps.example.net", "API.example.net.", "a.b.api.example.net"]
)
def test_the_platform_s_own_names_are_refused(text: str) -> None:
    with pytest.raises(ReservedDomain):
        domain_name(text, platform_hosts=OURS)


def test_a_name_that_only_ends_like_one_of_the_platform_is_not_its_own() -> None:
    assert domain_name("myapps.example.net", platform_hosts=OURS) == "myapps.example.net"
    assert domain_name("example.net", platform_hosts=OURS) == "example.net"


PROOF = "tallyport-domain-verification=abc"
NO_NAME, NO_RECORD = Answer(fault=Fault.NO_SUCH_NAME), Answer(fault=Fault.MISSING)


def seen(
    *, aliases: Texts = NO_RECORD, addresses: Texts = NO_RECORD, texts: Texts = (PROOF,)
) -> Sighting:
    return Sighting(
        aliases=aliases if isinstance(aliases, Answer) else Answer(values=aliases),
        addresses=addresses if isinstance(addresses, Answer) else Answer(values=addresses),
        texts=texts if isinstance(texts, Answer) else Answer(values=texts),
    )


def test_the_records_to_be_made_are_a_cname_and_a_proof() -> None:
    assert [(each.type, each.name, each.value, each.required) for each in WANTED.records()] == [
        ("CNAME", "www.example.com", "shop.apps.example.net", True),
        ("TXT", "_tallyport.www.example.com", PROOF, True),
    ]
    assert [(each.type, each.value) for each in DIRECT.records() if not each.required] == [
        ("A", "203.0.113.9"),
        ("AAAA", "2001:db8::9"),
    ]


@pytest.mark.parametrize(
    ("wanted", "sighting"),
    [
        (WANTED, seen(aliases=("shop.apps.example.net",))),
        (WANTED, seen(aliases=("cdn.example.org", "shop.apps.example.net", "gw.example.net"))),
        (WANTED, seen(aliases=("shop.apps.example.net",), texts=("other", f' "{PROOF}" '))),
        (DIRECT, seen(addresses=("203.0.113.9",))),
        (DIRECT, seen(addresses=("2001:db8::9", "203.0.113.9"))),
        (DIRECT, seen(aliases=("alias.example.com",), addresses=("203.0.113.9",))),
    ],
)
def test_records_that_are_right_have_no_problem(wanted: Wanted, sighting: Sighting) -> None:
    assert wanted.problems(sighting) == ()


@pytest.mark.parametrize(
    ("wanted", "sighting", "fault", "kind", "found"),
    [
        (WANTED, seen(aliases=("old.example.org",)), Fault.WRONG, "CNAME", ("old.example.org",)),
        (WANTED, seen(addresses=("203.0.113.9",)), Fault.WRONG, "CNAME", ("203.0.113.9",)),
        (WANTED, seen(aliases=NO_NAME, addresses=NO_NAME), Fault.NO_SUCH_NAME, "CNAME", ()),
        (WANTED, seen(), Fault.MISSING, "CNAME", ()),
        (WANTED, seen(aliases=Answer(fault=Fault.TIMEOUT)), Fault.TIMEOUT, "CNAME", ()),
        (
            DIRECT,
            seen(addresses=("203.0.113.9", "198.51.100.1")),
            Fault.WRONG,
            "CNAME",
            ("203.0.113.9", "198.51.100.1"),
        ),
        (
            DIRECT,
            seen(addresses=Answer(fault=Fault.SERVER_FAILURE)),
            Fault.SERVER_FAILURE,
            "CNAME",
            (),
        ),
    ],
)
def test_a_wrong_way_is_told_by_record_with_what_was_found(
    wanted: Wanted, sighting: Sighting, fault: Fault, kind: str, found: tuple[str, ...]
) -> None:
    [problem] = wanted.problems(sighting)
    assert (problem.fault, problem.type, problem.found) == (fault, kind, found)
    assert problem.expected[0] == "shop.apps.example.net"
    assert words_of([problem])


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        (NO_NAME, Fault.NO_SUCH_NAME),
        (NO_RECORD, Fault.MISSING),
        (("tallyport-domain-verification=abd",), Fault.WRONG),
        (("TALLYPORT-domain-verification=abc",), Fault.WRONG),
        (Answer(fault=Fault.SERVER_FAILURE), Fault.SERVER_FAILURE),
    ],
)
def test_a_wrong_proof_is_told_with_what_was_found(texts: Texts, fault: Fault) -> None:
    sighting = seen(aliases=("shop.apps.example.net",), texts=texts)
    [problem] = WANTED.problems(sighting)
    assert (problem.fault, problem.name) == (fault, "_tallyport.www.example.com")
    assert problem.expected == (PROOF,)


def test_what_strangers_write_into_dns_is_told_in_part_only() -> None:
    [problem] = WANTED.problems(
        seen(aliases=("shop.apps.example.net",), texts=tuple("x" * 9000 for _ in range(99)))
    )
    assert len(problem.found) == 5
    assert {len(text) for text in problem.found} == {255}


def test_a_domain_is_verified_by_the_first_check_without_a_problem() -> None:
    (
        given(CUSTOM_DOMAIN, added)
        .when(checked(at=NOON))
        .then(verified)
        .then_state(status=DomainStatus.ACTIVE, next_check_at=NOON + DAY)
    )


def test_a_check_that_is_reported_twice_counts_once() -> None:
    again = NOON + timedelta(seconds=10)
    (
        given(CUSTOM_DOMAIN, added)
        .when(checked(MISSING, at=NOON))
        .then(failing(NOON, MISSING, again=again))
        .and_then()
        .when(checked(MISSING, at=NOON, due=NOON))
        .then_nothing_happened()
    )


def test_failed_checks_come_at_growing_intervals() -> None:
    scenario, at, waits = given(CUSTOM_DOMAIN, added), NOON, list[float]()
    for _ in range(12):
        scenario.when(checked(MISSING, at=at))
        [event] = scenario.events
        assert isinstance(event, DomainCheckFailed)
        waits.append((event.next_check_at - at).total_seconds())
        at = event.next_check_at
        scenario = scenario.and_then()
    assert waits == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]


def test_the_same_problem_again_is_marked_until_somebody_asks() -> None:
    soon = NOON + timedelta(seconds=10)
    first = failing(NOON, MISSING, again=soon)
    asked = DomainCheckRequested(requested_by="usr-1", requested_at=soon)

    def marks(*past: Event, problem: RecordProblem = MISSING) -> bool:
        [event] = given(CUSTOM_DOMAIN, added, *past).when(checked(problem, at=soon)).events
        assert isinstance(event, DomainCheckFailed)
        return event.recurring

    assert not marks()
    assert marks(first)
    assert not marks(first, problem=TIMEOUT)
    assert not marks(first, asked)


def test_a_pending_domain_fails_after_a_week_and_begins_anew_when_somebody_asks() -> None:
    late = NOON + 7 * DAY
    asked = DomainCheckRequested(requested_by="usr-1", requested_at=late + MINUTE)
    ended = DomainFailed(
        **WHAT, previously=DomainStatus.PENDING, problems=(MISSING,), failed_at=late
    )
    (
        given(CUSTOM_DOMAIN, added)
        .when(checked(MISSING, at=late))
        .then(ended)
        .then_state(status=DomainStatus.FAILED, next_check_at=None)
        .and_then()
        .when(lambda domain: domain.ask_for_check(now=late + MINUTE, by="usr-1"))
        .then(asked)
        .then_state(status=DomainStatus.PENDING, next_check_at=late + MINUTE, failures=0)
        .and_then()
        .when(checked(MISSING, at=late + MINUTE))
        .then(failing(late + MINUTE, MISSING, again=late + MINUTE + timedelta(seconds=10)))
    )


def test_who_asks_again_and_again_is_told_to_wait() -> None:
    asked = DomainCheckRequested(requested_by="usr-1", requested_at=NOON)
    soon = NOON + timedelta(seconds=4)
    scenario = given(CUSTOM_DOMAIN, added, asked).when(
        lambda domain: domain.ask_for_check(now=soon, by="usr-1")
    )
    scenario.then_refused(CheckedJustNow)
    assert scenario.refusal is not None
    assert scenario.refusal.details == {"retry_after_seconds": 7}


def test_an_active_domain_stays_active_while_its_records_are_right() -> None:
    (
        given(CUSTOM_DOMAIN, added, verified)
        .when(checked(at=NOON + DAY))
        .then(DomainCheckPassed(checked_at=NOON + DAY, next_check_at=NOON + 2 * DAY))
    )


def test_an_active_domain_whose_records_are_gone_stays_routed_for_three_days() -> None:
    gone, hour = NOON + DAY, timedelta(hours=1)
    active, until = DomainStatus.ACTIVE, gone + 3 * DAY
    warned = failing(gone, MISSING, again=gone + hour, until=until, status=active)
    (
        given(CUSTOM_DOMAIN, added, verified)
        .when(checked(MISSING, at=gone))
        .then(warned)
        .then_state(status=DomainStatus.ACTIVE)
        .and_then()
        .when(checked(MISSING, at=until - MINUTE))
        .then(
            failing(
                until - MINUTE, MISSING, again=until, until=until, status=active, recurring=True
            )
        )
        .and_then()
        .when(checked(MISSING, at=gone + 3 * DAY))
        .then(
            DomainFailed(
                **WHAT,
                previously=DomainStatus.ACTIVE,
                problems=(MISSING,),
                failed_at=gone + 3 * DAY,
            )
        )
    )


def test_records_that_come_back_in_time_end_the_warning() -> None:
    gone = NOON + DAY
    warned = failing(gone, MISSING, again=gone + MINUTE, until=gone + 3 * DAY)
    (
        given(CUSTOM_DOMAIN, added, verified, warned)
        .when(checked(at=gone + MINUTE))
        .then(DomainCheckPassed(checked_at=gone + MINUTE, next_check_at=gone + MINUTE + DAY))
        .then_state(routed_until=None, failures=0)
    )


def test_dns_servers_that_do_not_answer_take_no_active_domain_away() -> None:
    gone = NOON + DAY
    warned = failing(gone, MISSING, again=gone + MINUTE, until=gone + 3 * DAY)
    late, again, active = gone + 30 * DAY, gone + 30 * DAY + timedelta(hours=1), DomainStatus.ACTIVE
    (
        given(CUSTOM_DOMAIN, added, verified)
        .when(checked(TIMEOUT, at=late))
        .then(failing(late, TIMEOUT, again=again, status=active))
    )
    (
        given(CUSTOM_DOMAIN, added, verified, warned)
        .when(checked(TIMEOUT, at=late))
        .then(failing(late, TIMEOUT, again=again, until=gone + 3 * DAY, status=active))
    )


def test_who_loses_the_name_to_another_domain_has_failed_at_once() -> None:
    (
        given(CUSTOM_DOMAIN, added, verified)
        .when(lambda domain: domain.give_way((MISSING,), now=NOON + MINUTE))
        .then(
            DomainFailed(
                **WHAT,
                previously=DomainStatus.ACTIVE,
                problems=(MISSING,),
                failed_at=NOON + MINUTE,
                displaced=True,
            )
        )
    )


def test_a_domain_goes_along_and_goes_away_once() -> None:
    moved = DomainTransferred(team_id="org-2", from_team_id="org-0000000001")
    gone = DomainRemoved(**WHAT, previously=DomainStatus.PENDING, removed_by="usr-1")
    (
        given(CUSTOM_DOMAIN, added)
        .when(lambda domain: domain.transfer("org-2"))
        .then(moved)
        .and_then()
        .when(lambda domain: domain.transfer("org-2"))
        .then_nothing_happened()
        .and_then()
        .when(lambda domain: domain.remove(by="usr-1"))
        .then(gone)
        .and_then()
        .when(lambda domain: domain.remove(by="usr-1"))
        .then_nothing_happened()
        .when(checked(at=NOON))
        .then_nothing_happened()
    )


def test_a_domain_that_is_moved_leads_elsewhere_and_is_looked_at_anew() -> None:
    moved = DomainMoved(
        name=added.name,
        deployment_id="dpl-2",
        from_deployment_id=added.deployment_id,
        moved_by="usr-1",
        moved_at=NOON + DAY,
    )

    def move(domain: CustomDomain) -> list[Event]:
        return domain.move("dpl-2", by="usr-1", now=NOON + DAY)

    (
        given(CUSTOM_DOMAIN, added, verified)
        .when(move)
        .then(moved)
        .then_state(
            deployment_id="dpl-2", status=DomainStatus.ACTIVE, next_check_at=NOON + DAY, problems=()
        )
        .and_then()
        .when(move)
        .then_nothing_happened()
    )
    failed = DomainFailed(
        **WHAT, previously=DomainStatus.PENDING, problems=(MISSING,), failed_at=NOON
    )
    (
        given(CUSTOM_DOMAIN, added, failed)
        .when(move)
        .then_state(status=DomainStatus.PENDING, trying_since=NOON + DAY, next_check_at=NOON + DAY)
    )
