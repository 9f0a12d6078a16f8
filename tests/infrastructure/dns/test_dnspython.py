"""What DNS says, told apart: a record, none, no such name, servers that fail or are silent."""

from collections.abc import AsyncIterator

import dns.rcode
import pytest

from infrastructure.dns import Lookup, Outcome, RecordType
from infrastructure.dns.dnspython import VALUES_MAX, DnsResolver
from tests.dns_server import DnsServer, running_dns_server


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    async with running_dns_server() as server:
        server.put("www.example.com", CNAME="Shop.Apps.Example.NET")
        server.put("shop.apps.example.net", A=("203.0.113.9", "203.0.113.10"), AAAA="2001:db8::9")
        server.put("_proof.example.com", TXT=("one", "x" * 300 + '"quoted" \\'))
        yield server


@pytest.fixture
def resolver(server: DnsServer) -> DnsResolver:
    """It waits for long: what is not answered in time here is a slow machine's fault."""
    return DnsResolver([server.address], try_seconds=10, answer_seconds=60)


@pytest.mark.parametrize(
    ("name", "kind", "values"),
    [
        ("www.example.com", "CNAME", {"shop.apps.example.net"}),
        ("WWW.EXAMPLE.COM", "CNAME", {"shop.apps.example.net"}),
        ("www.example.com", "A", {"203.0.113.9", "203.0.113.10"}),
        ("shop.apps.example.net", "AAAA", {"2001:db8::9"}),
        ("_proof.example.com", "TXT", {"one", "x" * 300 + '"quoted" \\'}),
    ],
)
async def test_what_there_is_is_found(
    resolver: DnsResolver, name: str, kind: RecordType, values: set[str]
) -> None:
    found = await resolver.lookup(name, kind)
    assert (found.outcome, set(found.values)) == (Outcome.FOUND, values)


@pytest.mark.parametrize(
    ("name", "kind", "outcome"),
    [
        ("shop.apps.example.net", "TXT", Outcome.NO_RECORD),
        ("shop.apps.example.net", "CNAME", Outcome.NO_RECORD),
        ("apps.example.net", "A", Outcome.NO_RECORD),
        ("nothing.example.com", "A", Outcome.NO_SUCH_NAME),
        ("nothing.example.com", "TXT", Outcome.NO_SUCH_NAME),
        ("broken.example.com", "A", Outcome.SERVER_FAILURE),
        ("refused.example.com", "A", Outcome.SERVER_FAILURE),
    ],
)
async def test_what_there_is_not_is_told_apart(
    server: DnsServer, resolver: DnsResolver, name: str, kind: RecordType, outcome: Outcome
) -> None:
    server.broken["broken.example.com"] = dns.rcode.SERVFAIL
    server.broken["refused.example.com"] = dns.rcode.REFUSED
    assert await resolver.lookup(name, kind) == Lookup(outcome=outcome)


async def test_a_server_that_says_nothing_or_nonsense_is_waited_for_only_so_long(
    server: DnsServer,
) -> None:
    server.silent.add("silent.example.com")
    server.garbled.add("garbled.example.com")
    resolver = DnsResolver([server.address], try_seconds=0.1, answer_seconds=0.2)
    for name in ("silent.example.com", "garbled.example.com"):
        assert await resolver.lookup(name, "A") == Lookup(outcome=Outcome.TIMEOUT)


async def test_an_answer_that_is_too_long_for_a_datagram_comes_over_tcp(
    server: DnsServer, resolver: DnsResolver
) -> None:
    server.put("long.example.com", TXT=tuple(f"{number} {'x' * 200}" for number in range(20)))
    found = await resolver.lookup("long.example.com", "TXT")
    assert len(found.values) == 20
    assert server.over_tcp == 1


async def test_of_what_strangers_write_only_so_much_is_taken_and_made_printable(
    server: DnsServer, resolver: DnsResolver
) -> None:
    server.put("odd.example.com", TXT=("a\tb\x7fc", "y" * 2000))
    server.put("many.example.com", TXT=tuple(f"{number}" for number in range(300)))
    odd = await resolver.lookup("odd.example.com", "TXT")
    assert set(odd.values) == {"a?b?c", "y" * 1000}
    assert len((await resolver.lookup("many.example.com", "TXT")).values) == VALUES_MAX


async def test_nothing_is_remembered_from_one_question_to_the_next(
    server: DnsServer, resolver: DnsResolver
) -> None:
    assert (await resolver.lookup("_proof.example.com", "TXT")).values
    server.put("_proof.example.com", TXT="two")
    assert (await resolver.lookup("_proof.example.com", "TXT")).values == ("two",)


async def test_when_one_server_does_not_answer_the_next_one_is_asked(server: DnsServer) -> None:
    async with running_dns_server() as mute:
        mute.silent.add("www.example.com")
        resolver = DnsResolver([mute.address, server.address], try_seconds=1, answer_seconds=60)
        assert (await resolver.lookup("www.example.com", "CNAME")).outcome is Outcome.FOUND


async def test_without_any_server_nothing_can_be_said() -> None:
    resolver = DnsResolver([("127.0.0.1", 1)], try_seconds=0.2, answer_seconds=0.5)
    assert (await resolver.lookup("www.example.com", "A")).outcome in {
        Outcome.SERVER_FAILURE,
        Outcome.TIMEOUT,
    }


async def test_the_servers_of_the_machine_are_taken_unless_others_are_named() -> None:
    assert DnsResolver()._resolver.nameservers
