"""DNS asked through dnspython: without a cache, because whoever asks wants to know what is new."""

import asyncio
from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.TXT import TXT

from infrastructure.dns import Lookup, Outcome, RecordType

TRY_SECONDS = 2.0
"""How long one server is waited for before the question is asked again."""
ANSWER_SECONDS = 6.0
PORT = 53
VALUES_MAX = 100
TEXT_LENGTH_MAX = 1_000


class DnsResolver:
    """Asks the servers it is given, or those of this machine."""

    def __init__(
        self,
        servers: Sequence[tuple[str, int]] = (),
        *,
        try_seconds: float = TRY_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._resolver = _resolver(servers)
        self._resolver.timeout = try_seconds
        self._resolver.lifetime = answer_seconds

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        """Return the records of one type that a name has itself."""
        if not self._resolver.nameservers:
            return Lookup(outcome=Outcome.SERVER_FAILURE)
        try:
            answer = await self._resolver.resolve(
                dns.name.from_text(name), kind, raise_on_no_answer=False, search=False
            )
        except dns.resolver.NXDOMAIN:
            return Lookup(outcome=Outcome.NO_SUCH_NAME)
        except dns.exception.Timeout:
            return Lookup(outcome=Outcome.TIMEOUT)
        except (dns.exception.DNSException, OSError, EOFError, asyncio.IncompleteReadError):
            return Lookup(outcome=Outcome.SERVER_FAILURE)
        values = [_text(record) for record in list(answer.rrset or ())[:VALUES_MAX]]
        found = Outcome.FOUND if values else Outcome.NO_RECORD
        return Lookup(outcome=found, values=tuple(values))


def _resolver(servers: Sequence[tuple[str, int]]) -> dns.asyncresolver.Resolver:
    if servers:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(address, port) for address, port in servers
        ]
        return resolver
    try:
        return dns.asyncresolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return dns.asyncresolver.Resolver(configure=False)


def _text(record: object) -> str:
    match record:
        case TXT():
            text = b"".join(record.strings).decode("ascii", "backslashreplace")
            return "".join(c if c.isprintable() else "?" for c in text[:TEXT_LENGTH_MAX])
        case CNAME():
            return record.target.to_text(omit_final_dot=True).lower()
    return str(record)
